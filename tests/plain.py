"""Whether answers are what plain transformers writes: one prompt at a time, hooks on modules that are found here, no engine.

Greedy decoding takes the best token at every step, so one forward over a prompt and its answer tells whether all of it is what
would have been written: every token must be the best one after those before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from actors.types import Steering
from tests.oracle import edits_of, generate_alone, plain_hooks

PROJECTIONS = ("o_proj", "c_proj", "out_proj", "dense", "wo", "Wo")
EXACT = 1e-4


@dataclass(frozen=True)
class BlockParts:
    """The modules of a block that add attention's and the MLP's part to the residual stream, and the one that reads the heads'
    outputs; None where there is none."""

    attention: nn.Module | None
    mlp: nn.Module | None
    projection: nn.Module | None


@dataclass(frozen=True)
class Plain:
    """A model of transformers' own making, its blocks and their parts."""

    model: Any
    blocks: Sequence[Any]
    parts: Sequence[BlockParts]

    @staticmethod
    def of(model: Any, blocks: Sequence[Any]) -> Plain:
        """The parts are told by their names and by what they put out."""
        return Plain(model, blocks, [_parts(model, block) for block in blocks])

    @torch.no_grad()
    def outputs(self, token_ids: Sequence[int]) -> list[Tensor]:
        """What every block puts out at the last token of one prompt, unsteered, ``[d]`` each."""
        seen: dict[int, Tensor] = {}

        def look(layer: int) -> Any:
            return lambda hidden: seen.setdefault(layer, hidden[0, -1].clone()) is None or hidden

        with plain_hooks(self.blocks, {layer: look(layer) for layer in range(len(self.blocks))}):
            self.model(input_ids=torch.tensor([list(token_ids)]), use_cache=False)
        return [seen[layer] for layer in range(len(self.blocks))]

    @torch.no_grad()
    def writes(self, prompt: Sequence[int], steering: Steering | None, template: int, answer: Sequence[int]) -> Tensor:
        """By how much every token of ``answer`` falls short of the best one there: 0 where it is what is written."""
        ids = torch.tensor([[*prompt, *answer]])
        with self.steered(steering, len(prompt), template):
            logits = self.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
        return logits.max(dim=-1).values - logits.gather(1, torch.tensor(list(answer))[:, None])[:, 0]

    def generates(self, prompt: Sequence[int], steering: Steering | None, template: int, n: int) -> list[int]:
        """The same answer by the model's own ``generate``, at most ``n`` tokens, without what stops it."""
        with self.steered(steering, len(prompt), template):
            return generate_alone(self.model, self.blocks, prompt, None, n)

    @contextmanager
    def steered(self, steering: Steering | None, prompt: int, template: int) -> Iterator[None]:
        """One text that begins with so many tokens of a prompt is steered; every part by hooks of its own, in order."""
        counting: list[Any] = []

        def edits(part: Steering) -> dict[int, Any]:
            """Anew for every module: each counts the tokens that it has seen."""
            found = edits_of(replace(part, then=()), prompt, template)
            counting.extend(found.values())
            return found

        def begin(_module: object, _args: object, given: Any) -> None:
            for edit in counting:
                edit.begin(given["input_ids"].shape[1])

        with ExitStack() as hung:
            hung.callback(self.model.register_forward_pre_hook(begin, with_kwargs=True).remove)
            for part in () if steering is None else steering.parts:
                if part.site == "output":
                    hung.enter_context(plain_hooks(self.blocks, edits(part)))
                    continue
                for layer in part.layers:
                    for site in ("attention", "mlp") if part.site == "everywhere" else (part.site,):
                        hung.callback(self._hang(site, layer, edits(part)[layer]).remove)
                if part.site == "everywhere":
                    hung.callback(self._hang("input", part.layers[0], edits(part)[part.layers[0]]).remove)
            yield

    def _hang(self, site: str, layer: int, edit: Any) -> Any:
        if site == "input":
            return self.blocks[layer].register_forward_pre_hook(_given(edit), with_kwargs=True)
        parts = self.parts[layer]
        if site in ("attention", "mlp"):
            module = parts.attention if site == "attention" else parts.mlp
            assert module is not None, f"block {layer} has no module that is its {site}"
            return module.register_forward_hook(_put_out(edit))
        assert parts.projection is not None, f"block {layer} has no projection of its heads"
        head = int(site.partition(":")[2] or -1)
        width = self.model.config.get_text_config(decoder=True).num_attention_heads
        return parts.projection.register_forward_pre_hook(_given(edit, head, width), with_kwargs=True)


def _edited(edit: Any, value: Tensor) -> Tensor:
    """Some modules see the tokens in one line."""
    found: Tensor = edit(value if value.ndim == 3 else value[None])
    return found.reshape(value.shape)


def _put_out(edit: Any) -> Any:
    def hook(_module: object, _args: object, output: Any) -> Any:
        return (_edited(edit, output[0]), *output[1:]) if isinstance(output, tuple) else _edited(edit, output)

    return hook


def _given(edit: Any, head: int = -1, n_heads: int = 1) -> Any:
    def hook(_module: object, args: Any, kwargs: Any) -> Any:
        stream = args[0] if args else kwargs["hidden_states"]
        if head < 0:
            edited = _edited(edit, stream)
        else:
            by_head = stream.clone().unflatten(-1, (n_heads, -1))
            by_head[..., head, :] = _edited(edit, by_head[..., head, :].clone())
            edited = by_head.flatten(-2)
        return ((edited, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": edited})

    return hook


@torch.no_grad()
def _parts(model: Any, block: nn.Module) -> BlockParts:
    """Of all pairs of modules whose outputs, each perhaps scaled, sum up with the block's input to the block's output, the first
    one, from outside, of which exactly one is called attention, by its name or its class, or is the norm right behind it."""
    outputs: dict[str, Tensor] = {}
    stream: dict[str, Tensor] = {}

    def note(name: str) -> Any:
        def hook(_module: object, _args: object, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            if isinstance(value, Tensor):
                outputs.setdefault(name, value.clone())

        return hook

    def begin(_module: object, args: Any, kwargs: Any) -> None:
        stream.setdefault("given", (args[0] if args else kwargs["hidden_states"]).clone())

    with ExitStack() as hung:
        hung.callback(block.register_forward_pre_hook(begin, with_kwargs=True).remove)
        for name, module in block.named_modules():
            hung.callback(module.register_forward_hook(note(name)).remove)
        model(input_ids=torch.arange(5, 17)[None], use_cache=False)
    given, output = stream["given"].double().flatten(), outputs.pop("").double().flatten()
    same = {name: value.double().flatten() for name, value in outputs.items() if value.numel() == output.numel()}
    called = _called_attention(block)
    behind = [after for name, after in itertools.pairwise(outputs) if name in called and after not in called and "norm" in after]
    attention = [name for name in same if name in called or name in behind]
    for one in attention:
        for other in same:
            if other not in attention and _adds_up(output, (given, same[one], same[other])):
                return BlockParts(block.get_submodule(one), block.get_submodule(other), _projection(block, outputs))
    return BlockParts(None, None, _projection(block, outputs))


def _called_attention(block: nn.Module) -> set[str]:
    """The modules of ``block`` that are called attention, and all within those whose class is."""
    classes = [name for name, module in block.named_modules() if name and "attention" in type(module).__name__.lower()]
    every = [name for name, _ in block.named_modules()]
    within = {name for name in every for one in classes if name == one or name.startswith(f"{one}.")}
    return within | {name for name in every if "att" in name and "mlp" not in name and "feedforward" not in name}


def _adds_up(output: Tensor, parts: Sequence[Tensor]) -> bool:
    columns = torch.stack([*parts], dim=1)
    shares = torch.linalg.lstsq(columns, output).solution
    left = output - columns @ shares
    return bool(left.abs().max() < EXACT * output.abs().max() and (shares.abs() > EXACT).all())


def _projection(block: nn.Module, outputs: dict[str, Tensor]) -> nn.Module | None:
    called = _called_attention(block)
    linear = [
        name
        for name, module in block.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and name in called
        and name.rpartition(".")[2] in PROJECTIONS
        and name in outputs
    ]
    return block.get_submodule(linear[-1]) if linear else None
