"""Prefill of a row that shares nothing: its template prefix and the rest of its prompt in one forward.

Every forward reads all weights, which for a short prompt takes longer than its products; so where no other row uses the prefix,
it does not run first by itself. A row has the bits that it has among others: the pieces are padded and attend as in forwards of
their own (``attention.in_two_pieces``), and all else is computed token by token.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.engine.cache import borrows
from actors.engine.grain import Grain
from actors.engine.prefill import Prefilled, complete, of_text
from actors.engine.rows import Row
from actors.engine.segments import Segment, SegmentRunner
from actors.stacks import StackBank
from actors.steering import ForwardStart, Witness

SHORT = 256
"""Tokens of a prompt up to which it runs in one piece: of a longer one the products take much longer than reading the weights."""


def shares_nothing(rows: Sequence[Row], bank: StackBank, *, fixed: bool) -> bool:
    """Whether ``rows`` are a single one that :func:`prefilled_alone` can run: under no steering or one that acts at every token
    and unconditionally, where a row's bits do not depend on the shape of its forward."""
    if len(rows) > 1 or fixed or not bank.steady:
        return False
    return not rows[0].conditional and len(rows[0].rendered.token_ids) <= SHORT


def prefilled_alone(runner: SegmentRunner, bank: StackBank, row: Row, grain: Grain) -> Prefilled:
    """The whole prompt unsteered, then, for a steered row, once more from its first edited block on."""
    text, layer = row.rendered.token_ids, row.entry
    capture = frozenset(point for point in (layer,) if point is not None and point >= 0)
    segment = Segment([text], cut=row.rendered.prefix, capture=capture, grain=grain)
    trunk = runner.run(segment)
    unsteered = (trunk.tail,)
    shared = complete(trunk.key_values)
    if layer is None:
        return Prefilled([row], trunk.tail, [(trunk.positions, shared)], Witness(), unsteered)
    whole = layer < 0 or borrows(shared)
    number, spans = of_text(row)
    steered = runner.run(
        Segment(
            [text],
            table=bank.of_text([number], [spans], [len(text)]),
            entry=None if whole else ForwardStart(layer, trunk.captured[layer]),
            grain=grain,
            cut=row.rendered.prefix,
        )
    )
    below = 0 if whole else layer + 1
    key_values = complete([*shared[:below], *steered.key_values[below:]])
    return Prefilled([row], steered.tail, [(steered.positions, key_values)], steered.witness, unsteered)
