"""A model whose blocks lie on several devices: edits go to where the residual stream is, what was seen comes back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actors.stacks import StackedTable, Table
from actors.steering import SteeringTable, Witness


@dataclass(frozen=True)
class FollowingTable(SteeringTable):
    """A table whose edits are brought to the device of the residual stream that they act on, and to the tokens that are there."""

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream, where it was."""
        return self._beside(layer, hidden).apply(layer, hidden)

    def everywhere(self, layer: int, hidden: Tensor) -> Tensor:
        """As if every token were among those to be edited, where the stream was."""
        return self._beside(layer, hidden).everywhere(layer, hidden)

    def _beside(self, layer: int, hidden: Tensor) -> SteeringTable:
        kinds = (self.shifts, self.axes, self.replaced, self.kept)
        shifts, axes, replaced, kept = ({layer: edits[layer].to(hidden.device)} if layer in edits else {} for edits in kinds)
        grouped = {
            layer: tuple(one.map(lambda given: given.to(hidden.device)) for one in self.grouped[layer])
            for layer in {layer} & self.grouped.keys()
        }
        where, share = (one if one is None else one.to(hidden.device) for one in (self.where, self.share))
        found = SteeringTable(shifts, axes, replaced, where=where, share=share, kept=kept, grouped=grouped)
        return found.newest(hidden.shape[1])


def following(table: Table) -> Table:
    """The same edits."""
    if isinstance(table, StackedTable):
        return StackedTable(tuple(FollowingTable(**vars(one)) for one in table.tables))
    return FollowingTable(**vars(table))


def gather(witness: Witness, device: torch.device) -> Witness:
    """What every block put out and passed on, on one device."""
    return witness.map(lambda state: state.to(device))
