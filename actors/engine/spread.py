"""A model whose blocks lie on several devices: edits go to where the residual stream is, what was seen comes back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from actors.steering import SteeringTable, Witness


@dataclass(frozen=True)
class FollowingTable(SteeringTable):
    """A table whose edits are brought to the device of the residual stream that they act on."""

    @classmethod
    def of(cls, table: SteeringTable) -> FollowingTable:
        """The same edits."""
        return cls(table.shifts, table.axes, table.replaced)

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream, where it was."""
        kinds = (self.shifts, self.axes, self.replaced)
        here = ({layer: edits[layer].to(hidden.device)} if layer in edits else {} for edits in kinds)
        return SteeringTable(*here).apply(layer, hidden)


def gather(witness: Witness, device: torch.device) -> Witness:
    """What every block put out and passed on, on one device."""
    raw, seen = ({layer: state.to(device) for layer, state in states.items()} for states in (witness.raw, witness.seen))
    return Witness(raw, seen)
