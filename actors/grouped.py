"""Edits that are a function of the residual stream: run once for all rows of a batch that use it at a layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.edit_vectors import NO_WIDTHS, EditVectors, GatheredVectors
from actors.interventions import Change, References, TwoStepChange
from actors.types import Steering

Arguments = tuple[Tensor, Tensor, References]


@dataclass(frozen=True, eq=False)
class Grouped:
    """One ``change`` at one layer, and what every row of the batch gives it: ``mine`` bool ``[rows, 1, 1]`` says which rows use
    it; ``vectors`` ``[rows, 1, d]``, ``strengths`` and ``components`` ``[rows, 1, 1]`` and ``bases`` ``[rows, K, d]`` are zero
    for the others.

    ``whole``: it runs on all rows and the others get back what they had, so that nothing depends on their number and nothing is
    read on the host; else on the rows that use it alone, and what does not change with the token is worked out once.
    """

    change: Change
    mine: Tensor
    vectors: Tensor
    strengths: Tensor
    components: Tensor
    bases: Tensor
    whole: bool

    @cached_property
    def _index(self) -> Tensor:
        """The rows that use it, ``[n]``."""
        return self.mine.flatten().nonzero()[:, 0]

    @cached_property
    def _given(self) -> Arguments:
        vectors, strengths, components, bases = (
            one if self.whole else one[self._index] for one in (self.vectors, self.strengths, self.components, self.bases)
        )
        return vectors, strengths, References(components, bases)

    def apply(self, hidden: Tensor, share: Tensor | None) -> Tensor:
        """``hidden`` ``[rows, T, d]`` edited, or ``share`` ``[rows, T, 1]`` of the way there."""
        if self.whole:
            return self._changed(hidden, share).where(self.mine, hidden)
        if not len(self._index):
            return hidden
        if len(self._index) == len(hidden):
            return self._changed(hidden, share)
        some = None if share is None else share[self._index]
        return hidden.index_copy(0, self._index, self._changed(hidden[self._index], some))

    @cached_property
    def _prepared(self) -> Callable[[Tensor], Tensor]:
        """The function of the rows that use it."""
        if isinstance(self.change, TwoStepChange):
            return self.change.prepare(*self._given)
        return lambda activation: self.change(activation, *self._given)

    def _changed(self, hidden: Tensor, share: Tensor | None) -> Tensor:
        before = hidden.float()
        after = self.change(before, *self._given) if self.whole else self._prepared(before)
        return (after if share is None else before + (after - before) * share).to(hidden.dtype)

    def asked(self, raw: Tensor) -> Tensor:
        """The change of ``raw`` ``[rows, d]`` float64, in float64; 0 for rows that do not use it."""
        given = self.vectors.double(), self.strengths.double(), References(self.components.double(), self.bases.double())
        after = self.change(raw[:, None], *given)[:, 0]
        return (after - raw).where(self.mine[:, 0], raw.new_zeros(()))

    def map(self, change: Callable[[Tensor], Tensor]) -> Grouped:
        """The same with ``change`` applied to every tensor of it."""
        given: dict[str, Any] = {name: change(one) for name, one in self._tensors.items()}
        return replace(self, **given)

    def copy_(self, other: Grouped) -> None:
        """Take over the rows of ``other``, in place; both run on the whole batch."""
        for ours, theirs in zip(self._tensors.values(), other._tensors.values(), strict=True):
            ours.copy_(theirs)

    @property
    def _tensors(self) -> dict[str, Tensor]:
        given = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: one for name, one in given if isinstance(one, Tensor)}


class Changes:
    """The functions that edit layers, the ``number`` of the one that each steering uses at each layer ``[steerings + 1, L]``
    (0: none), and what they are given."""

    def __init__(self, n_steerings: int, n_layers: int, d_model: int, widths: Mapping[int, int] = NO_WIDTHS) -> None:
        self._vectors, self._bases = (EditVectors(n_steerings, n_layers, d_model, widths) for _ in range(2))
        self._names: dict[str, Change] = {}
        self.number = np.zeros((n_steerings + 1, n_layers), np.int64)
        self._scalars = np.zeros((n_steerings + 1, n_layers, 2), np.float32)

    def use(self, number: int, layer: int, change: Change, steering: Steering, index: int) -> None:
        """Steering ``number``, whose ``index``-th layer is ``layer``."""
        self._names.setdefault(steering.intervention, change)
        self.number[number, layer] = 1 + list(self._names).index(steering.intervention)
        self._vectors.use(number, layer, steering.vectors[index : index + 1])
        self._bases.use(number, layer, steering.basis_at(index))
        self._scalars[number, layer] = steering.strength_at(index), steering.reference_at(index)

    def gather(self, device: torch.device) -> GatheredChanges:
        """All of it, on the device."""
        used = {int(layer): tuple(sorted(set(self.number[:, layer]) - {0})) for layer in np.flatnonzero(self.number.any(axis=0))}
        number, scalars = (torch.from_numpy(one).to(device) for one in (self.number, self._scalars))
        vectors, bases = (one.gather(torch.float32, device) for one in (self._vectors, self._bases))
        return GatheredChanges(self._names, number, scalars, vectors, bases, used)


@dataclass(frozen=True)
class GatheredChanges:
    """Functions by the names of their interventions; the number of each steering's at each layer ``[steerings + 1, L]``, from 1;
    strengths and components ``[steerings + 1, L, 2]``; ``used``: the numbers of those that any steering uses at a layer."""

    functions: Mapping[str, Change]
    number: Tensor
    scalars: Tensor
    vectors: GatheredVectors
    bases: GatheredVectors
    used: Mapping[int, tuple[int, ...]]

    @property
    def layout(self) -> tuple[object, ...]:
        """What decides the sizes of a table's tensors, and what is done with them."""
        return tuple(self.functions), tuple(self.used.items()), tuple(self.bases.used.items())

    def at(self, layer: int, numbers: Tensor, *, whole: bool) -> tuple[Grouped, ...]:
        """Of a batch whose rows have these steerings."""
        if layer not in self.used:
            return ()
        mine, functions = self.number[numbers, layer][:, None, None], tuple(self.functions.values())
        scalars = self.scalars[numbers, layer][:, None]
        strengths, components = scalars[..., :1], scalars[..., 1:]
        given = self.vectors.at(layer, numbers), strengths, components, self.bases.at(layer, numbers)
        return tuple(Grouped(functions[one - 1], mine == one, *given, whole) for one in self.used[layer])
