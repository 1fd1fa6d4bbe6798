"""Several steerings of one row: tables and banks of their parts, applied one after the other at every layer.

The part that stands first acts first: at a layer that two parts edit, the second one is given what the first one left. A batch
whose rows have one part each has the plain table of it, and costs what that costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.compact import compact
from actors.positions import EVERYWHERE, NOWHERE, Spans
from actors.steering import SteeringBank, SteeringTable
from actors.types import Steering

Layout = tuple[tuple[object, ...], ...]


@dataclass(frozen=True)
class StackedTable:
    """The edits of a batch's rows by several parts each, in their order: ``tables`` ``[P]``, each of all rows."""

    tables: tuple[SteeringTable, ...]

    @property
    def where(self) -> Tensor | None:
        """Where the first of those parts acts that do not act everywhere; None: all do."""
        return next((table.where for table in self.tables if table.where is not None), None)

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream; ``hidden`` ``[rows, T, d]`` is left as it is."""
        for table in self.tables:
            hidden = table.apply(layer, hidden)
        return hidden

    def at(self, positions: Tensor) -> StackedTable:
        """The table for a forward whose tokens stand at ``positions`` ``[rows, T]``."""
        return StackedTable(tuple(table.at(positions) for table in self.tables))

    def map(self, change: Callable[[Tensor], Tensor]) -> StackedTable:
        """The table with ``change`` applied to every tensor of it."""
        return StackedTable(tuple(table.map(change) for table in self.tables))

    def copy_(self, other: StackedTable) -> None:
        """Take over the edits of ``other``, which has the same parts, layers and rows, in place."""
        for ours, theirs in zip(self.tables, other.tables, strict=True):
            ours.copy_(theirs)


Table = SteeringTable | StackedTable


class StackBank:
    """The edits of all parts of a set of steerings: a ``SteeringBank`` for the first part of each, one for the second, and so on.
    Steering number 0 is "unsteered". ``depth``: parts that a steering has at most, P; ``device``: where the edits are;
    ``in_place``: whether ``compact`` tables may write over what they edit."""

    def __init__(
        self, steerings: Sequence[Steering], decoder_shape: tuple[int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        self.depth = max((len(one.parts) for one in steerings), default=1)
        self.device, self.in_place = device, False
        self._banks = [
            SteeringBank(
                [one.parts[place] if place < len(one.parts) else None for one in steerings], decoder_shape, dtype, device
            )
            for place in range(self.depth)
        ]

    @property
    def steady(self) -> bool:
        """Whether all parts act at every token, and alike."""
        return all(bank.steady for bank in self._banks)

    @property
    def plain(self) -> bool:
        """Whether all parts only add, and alike at every token."""
        return all(bank.plain for bank in self._banks)

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that any part edits, ascending."""
        return tuple(sorted({layer for bank in self._banks for layer in bank.layers}))

    def points(self, number: int, part: int) -> tuple[int, ...]:
        """Where a part of steering ``number`` acts."""
        return self._banks[part].points[number]

    def order(self, number: int) -> float:
        """Where steering ``number`` stands among all when they are ordered by where they act, from 0 to below 1; where all are
        ``plain`` it does not matter, and is 0."""
        return self._order[number]

    @cached_property
    def _order(self) -> list[float]:
        acting = [*zip(*(bank.points for bank in self._banks), strict=True)]
        ranks = {one: rank for rank, one in enumerate(sorted(range(len(acting)), key=lambda one: acting[one]))}
        return [0.0 if self.plain else ranks[one] / len(acting) for one in range(len(acting))]

    @property
    def layout(self) -> tuple[Layout, ...]:
        """Of each part; see ``SteeringBank.layout``."""
        return tuple(bank.layout for bank in self._banks)

    def padded(self, row: Sequence[int]) -> list[int]:
        """The numbers of the steerings whose parts act on a row, 0 for every part that it does not have, ``[P]``."""
        return [*row, *[0] * (self.depth - len(row))]

    def numbers(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Those of several rows, ``[rows, P]`` int64."""
        return torch.tensor([self.padded(row) for row in rows], dtype=torch.long, device=self.device)

    def follows(self, numbers: Tensor) -> Tensor:
        """Of the parts of rows, ``[P, rows]``; see ``SteeringBank.follows``."""
        return torch.stack([bank.follows[numbers[:, place]] for place, bank in enumerate(self._banks)])

    @property
    def any_follows(self) -> bool:
        """Whether any part of any steering does."""
        return any(bank.any_follows for bank in self._banks)

    def concerned(self, layer: int, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Which of the rows of these parts ``[rows, P]`` are edited at ``layer``, or have a part that ``follows``."""
        return np.flatnonzero(
            np.any([bank.concerned(layer, numbers[:, place]) for place, bank in enumerate(self._banks)], axis=0)
        )

    def changes(self, layer: int, numbers: Tensor, raw: Tensor, asked: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """What each part asks for at ``layer`` of ``raw`` ``[rows, d]`` float64, after the parts before it: the whole of it,
        wherever it is asked, and ``shares`` ``[rows, P]`` of it where it is ``asked`` ``[rows, P]``; both ``[P, rows, d]``."""
        wholes, changes = [], []
        for place, bank in enumerate(self._banks):
            if layer not in bank.layers:
                wholes.append(torch.zeros_like(raw))
                changes.append(torch.zeros_like(raw))
                continue
            whole, part = bank.asked(layer, numbers[:, place], raw, shares[:, place : place + 1])
            change = torch.where(asked[:, place : place + 1], part, 0.0)
            wholes.append(whole)
            changes.append(change)
            raw = raw + change
        return torch.stack(wholes), torch.stack(changes)

    def rows(self, numbers: Tensor, prompts: Tensor | None = None, *, lasting: bool = False) -> Table:
        """The table of a batch whose row r is edited by the parts ``numbers[r]``; ``prompts`` ``[rows]``: tokens of their
        prompts, where some of their answers are read; ``lasting``: see ``SteeringBank.rows``."""
        tables = [bank.rows(numbers[:, place], None, prompts, lasting=lasting) for place, bank in enumerate(self._banks)]
        return _stacked(tables)

    def compact(self, numbers: Tensor, prompts: Tensor) -> Table:
        """What ``rows`` gives, for many steps of the same rows, which the host picks out: see ``actors.compact``."""
        some = [compact(bank, numbers[:, place], prompts, in_place=self.in_place) for place, bank in enumerate(self._banks)]
        return _stacked(some)

    def of_text(
        self,
        steerings: Sequence[int],
        spans: Sequence[Sequence[Spans]],
        lengths: Sequence[int],
        prompts: Tensor | None = None,
    ) -> Table:
        """The table of rows of so many tokens (``lengths``) under these steerings by their numbers, each part at its own
        ``spans``."""
        tables = []
        for place, bank in enumerate(self._banks):
            where = [row[place] if place < len(row) else EVERYWHERE for row in spans]
            idle = all(one == NOWHERE for one in where)
            numbers = torch.tensor([0] * len(where) if idle else list(steerings), dtype=torch.long, device=self.device)
            whole = all(one.start == 0 and one.stop >= length for one, length in zip(where, lengths, strict=True))
            tables.append(bank.rows(numbers, None if idle or whole else where, prompts))
        return _stacked(tables)


def _stacked(tables: Sequence[SteeringTable]) -> Table:
    return tables[0] if len(tables) == 1 else StackedTable(tuple(tables))
