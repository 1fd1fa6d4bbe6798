"""A table for many steps of the same rows: what is more than an addition runs on the rows that it edits, and on no others.

Which rows these are is read on the host, so this is for a CPU; where a step is recorded, or the device would be waited for, every
edit runs on the whole batch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from torch import Tensor

from actors.steering import ADDED, AFFINE, SteeringBank, SteeringTable

MANY = 1 / 4
"""From this share of the rows on an addition is made to the whole batch: then that is no more work than to pick them out."""


@dataclass(frozen=True, eq=False)
class ActingRows:
    """The rows ``index`` ``[n]`` of a batch that one kind of edit changes at a layer, and the ``table`` of them alone."""

    index: Tensor
    table: SteeringTable

    def edited(self, layer: int, hidden: Tensor, share: Tensor | None) -> Tensor:
        """Those rows of ``hidden`` ``[rows, T, d]``, edited: ``[n, T, d]``."""
        table = self.table if share is None else replace(self.table, share=share.index_select(0, self.index))
        return table.everywhere(layer, hidden.index_select(0, self.index))


@dataclass(frozen=True)
class CompactTable(SteeringTable):
    """``shifts[l]``: what is added where many rows are added to and no more; ``acting[l]``: the others edited at layer l.

    ``in_place``: nothing else reads what stands where it edits (``actors.engine.in_place``)."""

    acting: dict[int, tuple[ActingRows, ...]] = field(default_factory=dict)
    in_place: bool = False

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream; ``hidden`` ``[rows, T, d]`` is left as it is, or given back edited where it may be."""
        if not self.in_place or layer in self.shifts:
            return super().apply(layer, hidden)
        for some in self.acting.get(layer, ()):
            hidden.index_copy_(0, some.index, some.edited(layer, hidden, self.share))
        return hidden

    def everywhere(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream; ``hidden`` itself at a layer without edits."""
        shift, acting = self.shifts.get(layer), self.acting.get(layer, ())
        if shift is not None:
            edited = self._moved(layer, hidden)
        elif acting:
            edited = hidden.clone()
        else:
            return hidden
        for some in acting:
            edited.index_copy_(0, some.index, some.edited(layer, hidden, self.share))
        return edited


def compact(bank: SteeringBank, numbers: Tensor, prompts: Tensor | None = None, *, in_place: bool = False) -> CompactTable:
    """What ``bank.rows`` gives for these rows on a CPU, at the cost of what they use of it."""
    shifts, acting = dict[int, Tensor](), dict[int, tuple[ActingRows, ...]]()
    for layer in bank.layers:
        kinds = bank.kinds(layer, numbers)
        count = Counter(kinds.tolist())
        if count[ADDED] >= len(numbers) * MANY:
            shifts[layer] = bank.shifts(layer, numbers)
        elif count[ADDED]:
            kinds = kinds.masked_fill(kinds == ADDED, AFFINE)
            count[AFFINE] += 1
        chosen = ((kinds == kind).nonzero()[:, 0] for kind in sorted(count) if kind >= AFFINE)
        if groups := tuple(ActingRows(index, bank.at_layer(layer, numbers[index])) for index in chosen):
            acting[layer] = groups
    return CompactTable(shifts, fading=bank.fading(numbers, prompts), acting=acting, in_place=in_place)
