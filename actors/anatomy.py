"""What a model's blocks really read and put out, measured in one forward; nothing is taken from the family's name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from actors.errors import UnsupportedModelError
from actors.families import Decoder
from actors.steering import received, residual


@dataclass
class _Traffic:
    """The residual stream as the blocks of one forward passed it on: what each put out and was given, in order of running;
    ``reader``: what reads the last one's output, by which argument; ``norm``: the first module to do so by its first."""

    order: list[int] = field(default_factory=list)
    given: dict[int, Tensor] = field(default_factory=dict)
    output: dict[int, Tensor] = field(default_factory=dict)
    reader: tuple[nn.Module, int | str] | None = None
    norm: nn.Module | None = None


@torch.inference_mode()
def measured(model: Any, decoder: Decoder, token_ids: Tensor, d_model: int) -> Decoder:
    """``decoder`` with the module that reads the last block's output, by whichever argument, found by running ``token_ids``
    ``[1, T]``.

    Raises ``UnsupportedModelError`` where the blocks are no chain: each must run once, in order, read what the one before it put
    out, and put out ``[1, T, d_model]``.
    """
    traffic = _traffic_of(model, decoder, token_ids)
    if traffic.order != list(range(decoder.n_layers)):
        raise UnsupportedModelError(f"the {decoder.n_layers} blocks ran as {_some(traffic.order)}, not each once in turn")
    wanted = (*token_ids.shape, d_model)
    for layer, output in traffic.output.items():
        if tuple(output.shape) != wanted:
            raise UnsupportedModelError(f"block {layer} puts out {tuple(output.shape)}, not [rows, tokens, {d_model}]")
        following = traffic.given.get(layer + 1)
        if following is not None and not _same(following, output):
            raise UnsupportedModelError(f"block {layer + 1} does not read what block {layer} puts out")
    norm = traffic.norm or decoder.final_norm
    if norm is None and traffic.reader is None:
        raise UnsupportedModelError("no module reads what the last block puts out")
    return replace(decoder, final_norm=norm, reads_last=traffic.reader)


def _traffic_of(model: Any, decoder: Decoder, token_ids: Tensor) -> _Traffic:
    traffic = _Traffic()
    last = decoder.n_layers - 1

    def before_block(layer: int) -> Any:
        def hook(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
            traffic.order.append(layer)
            traffic.given[layer] = received(args, kwargs, f"input of block {layer}").clone()

        return hook

    def after_block(layer: int) -> Any:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            stream = residual(output, f"output of block {layer}")
            traffic.output[layer] = stream if layer == last else stream.clone()

        return hook

    def before_any(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        ended = traffic.output.get(last)
        if ended is None or traffic.norm is not None:
            return
        given: list[tuple[int | str, object]] = [*enumerate(args), *kwargs.items()]
        places = [place for place, value in given if isinstance(value, Tensor) and _shares(value, ended)]
        if places:
            traffic.reader = traffic.reader or (module, places[0])
        if 0 in places:
            traffic.norm = module

    handles = [module.register_forward_pre_hook(before_any, with_kwargs=True) for module in model.modules()]
    for layer, block in enumerate(decoder.blocks):
        handles.append(block.register_forward_pre_hook(before_block(layer), with_kwargs=True))
        handles.append(block.register_forward_hook(after_block(layer)))
    try:
        model(input_ids=token_ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return traffic


def _shares(one: Tensor, other: Tensor) -> bool:
    """Whether both are the same numbers in memory, in one shape."""
    return one.shape == other.shape and one.data_ptr() == other.data_ptr()


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal on whatever devices they lie; NaN equals NaN."""
    return one.shape == other.shape and torch.equal(one.to(other.device).nan_to_num(), other.nan_to_num())


def _some(order: list[int]) -> str:
    return f"{', '.join(map(str, order[:6]))}{', ...' if len(order) > 6 else ''}" or "none"
