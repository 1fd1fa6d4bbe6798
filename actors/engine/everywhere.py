"""Edits at every place where the residual stream is read, not only at the outputs of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from actors.errors import UnsupportedModelError
from actors.families import Decoder
from actors.steering import SteeringHooks


@contextmanager
def edited_everywhere(decoder: Decoder, hooks: SteeringHooks) -> Iterator[None]:
    """For the duration of the ``with`` block the table's edits also act on the embeddings and between attention and MLP.

    Editing what the MLP reads is enough: what the edit would take out of the stream itself is taken out of the block's output.
    """

    def editing(layer: int) -> Callable[[nn.Module, tuple[object, ...]], tuple[object, ...]]:
        def edit(_module: nn.Module, args: tuple[object, ...]) -> tuple[object, ...]:
            if not args or not isinstance(args[0], Tensor):
                raise UnsupportedModelError(f"block {layer} does not pass the residual stream as its first argument")
            return (hooks.table.apply(layer, args[0]), *args[1:])

        return edit

    places = [(decoder.blocks[0], 0), *((reader, layer) for layer, reader in enumerate(decoder.mid_readers))]
    handles = [module.register_forward_pre_hook(editing(layer)) for module, layer in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
