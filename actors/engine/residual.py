"""Where an edit must act to reach the residual stream wherever it is read, found by watching one forward.

Nothing is known by a family's name. A block's output is followed back through additions, scalings and changes of shape or dtype
until the block's input is reached; what was added on the way are outputs of modules (attention, MLP, or a norm behind either).
An edit of the block's input and of these edits every state of the stream: between attention and MLP, where the two run side by
side, and behind a third part. Where a block does more to the stream than add (weighs it number by number, goes on with a norm of
it), the edit acts on what the block's children read of it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from actors.errors import UnsupportedModelError
from actors.families import Decoder

Edit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TensorSite:
    """``module``'s output, or element ``index`` of its tuple of outputs; with ``reads``, its first argument."""

    module: nn.Module
    index: int | None = None
    reads: bool = False

    def attach(self, edit: Edit) -> RemovableHandle:
        """From now on, until the handle is removed, ``edit`` changes what stands here."""
        if self.reads:
            return self.module.register_forward_pre_hook(lambda _module, args: (edit(args[0]), *args[1:]))
        return self.module.register_forward_hook(lambda _module, _args, output: self._edited(output, edit))

    def _edited(self, output: Any, edit: Edit) -> Any:
        if self.index is None:
            return edit(output)
        return (*output[: self.index], edit(output[self.index]), *output[self.index + 1 :])


Places = tuple[tuple[TensorSite, ...], ...]
"""Per block, what stands between its input and its output."""


@torch.inference_mode(False)  # there, composite operations would not be told by their parts
@torch.no_grad()
def places_of(model: Any, decoder: Decoder, token_ids: Sequence[int]) -> Places:
    """The places of all blocks, from one forward over a few ``token_ids``; raises ``UnsupportedModelError`` with the reason."""
    found: list[tuple[TensorSite, ...]] = []
    with ExitStack() as hooks, _Watch() as watch:
        for layer, block in enumerate(decoder.blocks):
            _watch_block(hooks, watch, (layer, block), found)
        model(input_ids=torch.tensor([list(token_ids)], device=next(model.parameters()).device), use_cache=False)
    if len(found) != decoder.n_layers:
        raise UnsupportedModelError(f"{len(found)} blocks ran in one forward, of {decoder.n_layers}")
    return tuple(found)


@dataclass(eq=False)
class _Node:
    """A value with as many numbers as the stream: the sum of ``parts``, each perhaps scaled; without any, something new."""

    parts: tuple[_Node, ...] = ()

    def holds(self, other: _Node) -> bool:
        """Whether ``other`` is among what was added up."""
        return self is other or any(part.holds(other) for part in self.parts)

    @property
    def plain(self) -> _Node:
        """Without changes of shape, dtype and scale."""
        return self.parts[0].plain if len(self.parts) == 1 else self


_ADD = {"add", "add_", "sub", "sub_"}
_SCALE = {"mul", "mul_", "div", "div_"}
_SAME = {"_to_copy", "clone", "view", "_unsafe_view", "reshape", "_reshape_alias", "alias", "detach", "unsqueeze", "squeeze"}


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes how every value as large as the stream comes about, from :meth:`begin` on."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._size = self._width = 0
        self._nodes: dict[int, _Node] = {}
        self._kept: list[Tensor] = []

    def begin(self, stream: Tensor) -> _Node:
        """Forget the last block; what follows is told in terms of ``stream`` ``[1, T, d]``."""
        self._nodes, self._kept = {}, []
        self._size, self._width = stream.numel(), stream.shape[-1]
        return self._keep(stream, _Node())

    def node(self, value: object) -> _Node | None:
        """The node of a tensor as large as the stream; None for anything else."""
        if not isinstance(value, Tensor) or value.numel() != self._size or value.ndim < 2 or value.shape[-1] != self._width:
            return None
        return self._nodes.get(id(value)) or self._keep(value, _Node())

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and note its result."""
        parts = self._parts(func.overloadpacket.__name__, args)
        result = func(*args, **(kwargs or {}))
        if self.node(result) is not None:
            self._keep(result, _Node(parts))
        return result

    def _parts(self, name: str, args: Sequence[Any]) -> tuple[_Node, ...]:
        values = tuple(node for value in args[:2] if (node := self.node(value)) is not None)
        scalars = sum(not isinstance(value, Tensor) or value.numel() == 1 for value in args[:2])
        known = (name in _ADD and len(values) == 2) or (name in _SCALE and scalars == 1) or name in _SAME
        return values if known else ()

    def _keep(self, value: Tensor, node: _Node) -> _Node:
        self._nodes[id(value)] = node
        self._kept.append(value)  # its id must not pass to another
        return node


@dataclass
class _Block:
    """One block while it runs: its ``stream`` at the start, what its modules put out, and what its children read."""

    stream: _Node
    outputs: list[tuple[TensorSite, _Node]] = field(default_factory=list)
    inputs: list[tuple[TensorSite, _Node]] = field(default_factory=list)

    def places(self, output: _Node) -> tuple[TensorSite, ...]:
        """What stands between the block's input and its ``output``; ``UnsupportedModelError`` where that cannot be told."""
        try:
            if output.holds(self.stream):
                return tuple(dict.fromkeys(self._added(output)))
        except LookupError:
            pass
        own = {node.plain for _, node in self.outputs}
        readers = tuple(place for place, node in self.inputs if len(node.plain.parts) == 2 and node.plain not in own)
        if not readers or len(output.plain.parts) != 2:
            raise UnsupportedModelError("its output is not its input with the outputs of its modules added to it")
        return readers

    def _added(self, node: _Node) -> Iterator[TensorSite]:
        if node is self.stream:
            return
        if not node.holds(self.stream):
            found = next((place for place, output in reversed(self.outputs) if output.plain is node.plain), None)
            if found is not None:
                yield found
                return
            if not node.parts:
                raise LookupError("something is added that is no module's output")
        for part in node.parts:
            yield from self._added(part)


def _watch_block(hooks: ExitStack, watch: _Watch, numbered: tuple[int, nn.Module], found: list[tuple[TensorSite, ...]]) -> None:
    layer, block = numbered
    running: list[_Block] = []

    def begin(_module: nn.Module, args: tuple[Any, ...]) -> None:
        if not args or not isinstance(args[0], Tensor) or args[0].ndim != 3:
            raise UnsupportedModelError(f"block {layer} is not given the residual stream [rows, tokens, d]")
        running[:] = [_Block(watch.begin(args[0]))]

    def read(module: nn.Module, args: tuple[Any, ...]) -> None:
        node = watch.node(args[0]) if args else None
        if node is not None and running:
            running[0].inputs.append((TensorSite(module, reads=True), node))

    def put_out(module: nn.Module, _args: Any, output: Any) -> None:
        for index, value in enumerate(output if isinstance(output, tuple) else (output,)):
            node = watch.node(value)
            if node is not None and running:
                running[0].outputs.append((TensorSite(module, index if isinstance(output, tuple) else None), node))

    def end(_module: nn.Module, _args: Any, output: Any) -> None:
        node = watch.node(output[0] if isinstance(output, tuple) else output)
        if node is None:
            raise UnsupportedModelError(f"block {layer} does not put out the residual stream [rows, tokens, d]")
        try:
            found.append(running.pop().places(node))
        except UnsupportedModelError as error:
            raise UnsupportedModelError(f"block {layer}: {error}") from error

    for module in block.modules():
        if module is not block:
            hooks.callback(module.register_forward_hook(put_out).remove)
    for child in block.children():
        hooks.callback(child.register_forward_pre_hook(read).remove)
    hooks.callback(block.register_forward_pre_hook(begin).remove)
    hooks.callback(block.register_forward_hook(end).remove)
