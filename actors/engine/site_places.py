"""The modules of a loaded model at which the sites of a block stand: found by watching one forward, not by a family's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn
from transformers.pytorch_utils import Conv1D

from actors.engine.residual import TensorSite, places_of
from actors.errors import JobError, UnsupportedModelError
from actors.families import Decoder
from actors.sites import HEADS, OUTPUT, head_of

TOKENS = tuple(range(1, 9))
"""The prompt that shows where the places are."""


@dataclass(frozen=True)
class SitePlaces:
    """``added[l]``: what attention and MLP of block l add, by ``attention`` and ``mlp``, or why that cannot be told;
    ``projections[l]``: the module that reads the outputs of all ``n_heads``, ``widths[l]`` numbers, or why there is none."""

    added: tuple[Mapping[str, TensorSite] | str, ...]
    projections: tuple[nn.Module | str, ...]
    widths: tuple[int, ...]
    n_heads: int
    d_model: int

    def tensor(self, site: str, layer: int) -> TensorSite:
        """What stands at ``attention``, ``mlp``, ``heads`` or ``head:3`` of a block; ``JobError`` says why there is nothing."""
        if site in ("attention", "mlp"):
            found = self.added[layer]
            if isinstance(found, str):
                raise JobError(f"site {site}: {found}")
            return found[site]
        projection, head = self.projections[layer], head_of(site)
        if isinstance(projection, str):
            raise JobError(f"site {site}: {projection}")
        if head is not None and head >= self.n_heads:
            raise JobError(f"site {site}: the model has heads 0..{self.n_heads - 1}")
        return TensorSite(projection, reads=True)

    def width(self, site: str, layer: int) -> int:
        """Numbers of the activation there; ``JobError`` where there is none."""
        self.tensor(site, layer)
        if site == HEADS:
            return self.widths[layer]
        return self.d_model if head_of(site) is None else self.widths[layer] // self.n_heads


_FOUND: WeakKeyDictionary[nn.Module, SitePlaces] = WeakKeyDictionary()


def site_places(model: Any, decoder: Decoder) -> SitePlaces:
    """Those of a loaded model, found once. What cannot be told is refused when it is asked for."""
    found = _FOUND.get(model)
    if found is None:
        found = _FOUND[model] = _find(model, decoder)
    return found


def width_at(model: Any, decoder: Decoder, d_model: int) -> Callable[[str, int], int]:
    """How wide the activation at a site of a block is; what must be found for that is found when it is asked for."""

    def width(site: str, layer: int) -> int:
        return d_model if site in (OUTPUT, "input") else site_places(model, decoder).width(site, layer)

    return width


def _find(model: Any, decoder: Decoder) -> SitePlaces:
    text = model.config.get_text_config(decoder=True)
    kind = str(model.config.model_type)
    n_heads, d_model = (int(getattr(text, name, 0) or 0) for name in ("num_attention_heads", "hidden_size"))
    ended: dict[nn.Module, int] = {}
    handles = [module.register_forward_hook(_noting(ended)) for module in model.modules()]
    try:
        places: tuple[tuple[TensorSite, ...], ...] | str = places_of(model, decoder, TOKENS)
    except UnsupportedModelError as error:
        places = f"model_type {kind!r}: what its blocks add to the residual stream is not known ({error})"
    finally:
        for handle in handles:
            handle.remove()
    added, projections = list[Mapping[str, TensorSite] | str](), list[nn.Module | str]()
    for layer, block in enumerate(decoder.blocks):
        attention = _attention(block)
        where = f"model_type {kind!r}, block {layer}"
        added.append(places if isinstance(places, str) else _split(places[layer], attention, ended, where))
        projections.append(_projection(attention, ended, n_heads, d_model) or f"{where}: no output projection of attention heads")
    widths = tuple(0 if isinstance(one, str) else _width(one) for one in projections)
    return SitePlaces(tuple(added), tuple(projections), widths, n_heads, d_model)


def _noting(ended: dict[nn.Module, int]) -> Any:
    def hook(module: nn.Module, _args: object, _output: object) -> None:
        ended[module] = len(ended) if module not in ended else ended[module]

    return hook


def _attention(block: nn.Module) -> nn.Module | None:
    """The one module of a block that is attention, without those within it; None where there are none or several."""
    named = [(name, one) for name, one in block.named_modules() if name and "attention" in type(one).__name__.lower()]
    outer = [one for name, one in named if not any(name.startswith(f"{other}.") for other, _ in named)]
    outer = [one for one in outer if any(True for _ in one.children())]  # what only computes has no projection
    return outer[0] if len(outer) == 1 else None


def _split(
    places: tuple[TensorSite, ...], attention: nn.Module | None, ended: Mapping[nn.Module, int], where: str
) -> Mapping[str, TensorSite] | str:
    """Which of the two things that a block adds comes of attention: the first to be ready that is not before attention's end."""
    if attention is None:
        return f"{where}: no one module of it is attention"
    if len(places) != 2 or any(one.reads for one in places):
        return f"{where}: it does not add the outputs of two modules to the residual stream"
    first, second = sorted(places, key=lambda one: ended[one.module])
    within = {*attention.modules()}
    if (first.module not in within and ended[first.module] < ended[attention]) or second.module in within:
        return f"{where}: which of its parts is attention cannot be told"
    return {"attention": first, "mlp": second}


def _projection(attention: nn.Module | None, ended: Mapping[nn.Module, int], n_heads: int, d_model: int) -> nn.Module | None:
    """The last linear layer to run within attention, if its inputs divide into heads and it puts out ``d_model`` numbers."""
    linear = [one for one in (attention.modules() if attention else ()) if isinstance(one, nn.Linear | Conv1D) and one in ended]
    last = max(linear, key=lambda one: ended[one], default=None)
    if last is None or not n_heads or _width(last) % n_heads:
        return None
    outputs = last.nf if isinstance(last, Conv1D) else last.out_features
    return last if outputs == d_model else None


def _width(linear: Any) -> int:
    return int(linear.weight.shape[0] if isinstance(linear, Conv1D) else linear.in_features)
