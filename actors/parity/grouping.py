"""What a prompt contributes to a direction where it is padded with others, for every length that it may be padded to.

Which prompts share a batch decides what right padding, a dropped mask, ``output[0]`` and an aliased buffer make of a direction. A
direction whose prompts were read in another order, or in batches of another size, is still a sum of these parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.parity.planted import Pass

MOST = 16
"""Prompts of a class up to which all lengths are tried: their number grows with the square."""
PADDED: Mapping[tuple[str, ...], Pass] = {
    (): Pass(),
    ("right padding",): Pass("right"),
    ("mask dropped",): Pass(mask=False),
    ("right padding", "mask dropped"): Pass("right", mask=False),
}
"""By the names of the mistakes, how a padded batch may be run."""


@dataclass(frozen=True, eq=False)
class PaddedPrompt:
    """The last-token ``activations`` float32 ``[L, d]`` of prompt ``number`` of a class (``side`` 0: positive, 1: negative), run
    by ``PADDED[names]`` in a batch that is ``length`` tokens long."""

    names: tuple[str, ...]
    side: int
    number: int
    length: int
    activations: npt.NDArray[np.float32]

    @property
    def label(self) -> str:
        """All but the activations, as JSON."""
        return json.dumps([*self.names, self.side, self.number, self.length])


def lots(lengths: Sequence[int], clean: bool) -> Iterator[tuple[int, list[int]]]:
    """For every length that a batch may have, the prompts that fit into it; where padding changes nothing (``clean``) each
    alone."""
    if clean:
        yield from ((length, [number]) for number, length in enumerate(lengths))
        return
    for length in sorted(set(lengths)):
        yield length, [number for number, own in enumerate(lengths) if own <= length]
