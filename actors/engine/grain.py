"""What sizes are rounded up to, so that a row's bits do not depend on how many rows run together."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grain:
    """``rows``: batches of decoding are multiples of it. ``tokens``: padded lengths of a segment are. ``head``: positions per
    row that the output head sees in prefill."""

    rows: int = 16
    tokens: int = 16
    head: int = 4

    def rows_up(self, n: int) -> int:
        """``n`` rows rounded up."""
        return rounded_up(n, self.rows)


COARSE = Grain()
"""For PyTorch's own products, which take another path below 16 rows."""
FINE = Grain(rows=1, tokens=2, head=1)
"""For packed products. Two tokens, not one: fewer different lengths, so more rows run together."""


def rounded_up(n: int, step: int) -> int:
    """``n`` rounded up to a multiple of ``step``."""
    return -(-n // step) * step
