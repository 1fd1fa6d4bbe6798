"""Edits at other sites than the outputs of blocks: hooks for the points that a batch's steerings use, and no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from actors.engine.site_places import site_places
from actors.families import Decoder
from actors.sites import head_of, place_of
from actors.steering import SteeringHooks, received

Look = Callable[[Tensor], Tensor | None]
"""Is shown what stands at a site, ``[rows, T, width]``; gives what is to stand there, or None."""


@contextmanager
def at_sites(hooks: SteeringHooks, model: Any, decoder: Decoder, points: Iterable[int]) -> Iterator[None]:
    """For the duration of the ``with`` block the table of ``hooks`` also edits those of ``points`` that are no block's output.
    What arrived is read by hooks of their own, behind those that edit."""
    by_place: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
    for point in points:
        site, layer = place_of(point, decoder.n_layers)
        if point >= decoder.n_layers:
            by_place["heads" if head_of(site) is not None else site, layer].append((site, point))
    with ExitStack() as attached:
        for (site, layer), some in by_place.items():
            n_heads = site_places(model, decoder).n_heads if site == "heads" else 1
            _attach(attached, hooks, (some, n_heads), (model, decoder, site, layer))
        yield


def _attach(
    attached: ExitStack, hooks: SteeringHooks, points: tuple[Sequence[tuple[str, int]], int], where: tuple[Any, Decoder, str, int]
) -> None:
    model, decoder, site, layer = where
    block = decoder.blocks[layer]
    looks = _editing(hooks, *points), _seeing(hooks, *points)
    if site == "input":
        for look in looks:
            attached.callback(block.register_forward_pre_hook(_before_block(look, layer), with_kwargs=True).remove)
        return

    def begin(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        hooks.rows = len(received(args, kwargs, f"input of block {layer}"))

    def shaped(value: Tensor, look: Look) -> Tensor:
        """Some modules see all tokens of all rows in one line."""
        found = look(value if value.ndim == 3 else value.reshape(hooks.rows, -1, value.shape[-1]))
        return value if found is None else found.reshape(value.shape)

    attached.callback(block.register_forward_pre_hook(begin, with_kwargs=True).remove)
    for look in looks:
        attached.callback(site_places(model, decoder).tensor(site, layer).attach(partial(shaped, look=look)).remove)


def _before_block(look: Look, layer: int) -> Any:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        edited = look(received(args, kwargs, f"input of block {layer}"))
        if edited is None:
            return None
        return ((edited, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": edited})

    return hook


def _editing(hooks: SteeringHooks, points: Sequence[tuple[str, int]], n_heads: int) -> Look:
    """Single heads before all of them: no row is edited at both (``check_steering``), and each head is read as it was given."""
    ordered = sorted(points, key=lambda point: head_of(point[0]) is None)

    def edit(value: Tensor) -> Tensor:
        edited = value
        for site, point in ordered:
            head = head_of(site)
            if head is None:
                edited = hooks.edit(point, edited)
                continue
            before = value.chunk(n_heads, dim=-1)[head]
            after = hooks.edit(point, before)
            if edited is value and after is before:  # as it was, or edited in place
                continue
            edited = edited.clone() if edited is value else edited
            edited.chunk(n_heads, dim=-1)[head].copy_(after)
        return edited

    return edit


def _seeing(hooks: SteeringHooks, points: Sequence[tuple[str, int]], n_heads: int) -> Look:
    def see(value: Tensor) -> None:
        for site, point in points if hooks.witness is not None else ():
            head = head_of(site)
            hooks.see(point, value if head is None else value.chunk(n_heads, dim=-1)[head])

    return see
