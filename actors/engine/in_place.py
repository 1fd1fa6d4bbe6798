"""Whether an edit may be written over what it is made of, which spares a copy of the whole batch at every site of every block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from actors.engine.site_hooks import at_sites
from actors.engine.site_places import TOKENS
from actors.families import Decoder
from actors.steering import SteeringTable, steered

_FOUND: WeakKeyDictionary[nn.Module, dict[frozenset[int], bool]] = WeakKeyDictionary()


@dataclass(frozen=True)
class _Nudge:
    """Moves every state a little, in place or not."""

    points: frozenset[int]
    in_place: bool
    where: None = None
    tables: tuple[SteeringTable, ...] = ()

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """What stands there next."""
        if layer not in self.points:
            return hidden
        moved = hidden + 0.01 * (1 + layer % 7)
        return hidden.copy_(moved) if self.in_place else moved


@torch.inference_mode()
def edits_in_place(model: Any, decoder: Decoder, points: Iterable[int]) -> bool:
    """Whether nothing else reads what stands at ``points`` (``actors.sites``): a short forward then gives the same bits whether
    that is overwritten or replaced. Found once for a model and its points."""
    asked, known = frozenset(points), _FOUND.setdefault(model, {})
    if asked not in known:
        tokens = torch.tensor([TOKENS], device=next(model.parameters()).device)
        with steered(decoder) as hooks, at_sites(hooks, model, decoder, asked):
            logits = []
            for in_place in (True, False):
                hooks.table = _Nudge(asked, in_place)
                logits.append(model(input_ids=tokens, use_cache=False).logits)
        known[asked] = torch.equal(*logits)
    return known[asked]
