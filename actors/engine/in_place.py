"""Whether an edit may be written over what it is made of, which spares a copy of the whole batch at every site of every block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from actors.engine.site_hooks import at_sites
from actors.engine.site_places import TOKENS
from actors.families import Decoder
from actors.steering import SteeringHooks, SteeringTable, steered

_FOUND: WeakKeyDictionary[nn.Module, dict[frozenset[int], bool]] = WeakKeyDictionary()


FORWARDS = ([TOKENS, TOKENS[::-1]], [TOKENS[:1], TOKENS[1:2]])
"""Two prompts, and two single tokens, as in a step of decoding: of one token a part is no copy."""


@dataclass(frozen=True)
class _Turned:
    """Puts every number of a state one place further, in place or not: whatever its size and dtype, that is another state."""

    points: frozenset[int]
    in_place: bool
    where: None = None
    tables: tuple[SteeringTable, ...] = ()

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """What stands there next."""
        if layer not in self.points:
            return hidden
        turned = hidden.roll(1, dims=-1)
        return hidden.copy_(turned) if self.in_place else turned


@torch.inference_mode()
def edits_in_place(model: Any, decoder: Decoder, points: Iterable[int]) -> bool:
    """Whether nothing else reads what stands at ``points`` (``actors.sites``): short forwards then give the same bits whether
    that is overwritten or replaced. Found once for a model and its points; where it cannot be overwritten, or a forward is not
    possible, no edit is made in place."""
    asked, known = frozenset(points), _FOUND.setdefault(model, {})
    if asked not in known:
        with steered(decoder) as hooks, at_sites(hooks, model, decoder, asked):
            try:
                known[asked] = all(_same(model, hooks, asked, tokens) for tokens in FORWARDS)
            except Exception:  # noqa: BLE001 - a copy is always right
                known[asked] = False
    return known[asked]


def _same(model: Any, hooks: SteeringHooks, points: frozenset[int], tokens: Sequence[Sequence[int]]) -> bool:
    logits = []
    for in_place in (True, False):
        hooks.table = _Turned(points, in_place)
        logits.append(model(input_ids=torch.tensor(tokens, device=next(model.parameters()).device), use_cache=False).logits)
    return torch.equal(*logits)
