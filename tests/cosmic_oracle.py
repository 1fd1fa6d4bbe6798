"""COSMIC written down plainly: one candidate and one prompt at a time, transformers with forward hooks, no engine.

Linear ablation is done as in the released code: on every block's input and on everything that attention and MLP add to the
residual stream. Linear addition changes the block's input in place, as the release does, so that the output of the block before
it, of which only a reference is kept, holds it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Ids = Sequence[int]
Edit = Callable[[Tensor], Tensor]

ADDED: dict[str, tuple[str, ...]] = {
    "gpt2": ("attn", "mlp"),
    "gpt_neox": ("attention", "mlp"),
    "gemma2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "gemma3_text": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "glm4": ("post_self_attn_layernorm", "post_mlp_layernorm"),
    "opt": ("self_attn", "fc2"),
    "granitemoeshared": ("self_attn", "block_sparse_moe", "shared_mlp"),
    "qwen3_5_text": ("linear_attn", "self_attn", "mlp"),
}
"""By model_type: the children of a block whose outputs are added to the stream (elsewhere: ``self_attn`` and ``mlp``), as far as
a block has them."""


@dataclass(frozen=True)
class Plain:
    """Scores by (position, layer), the evaluation layers, the differences ``[P, L, d]``, and the winner of the filters."""

    scores: dict[tuple[int, int], tuple[float, float, float]]
    evaluated: list[int]
    differences: Tensor
    best: tuple[int, int] | None


@dataclass(frozen=True)
class Prompts:
    """Token ids of one class, split."""

    extraction: Sequence[Ids]
    scoring: Sequence[Ids]


class PlainModel:
    """Runs one prompt at a time under edits of block inputs and of what blocks add."""

    def __init__(self, model: Any, blocks: Sequence[Any]) -> None:
        self.model, self.blocks = model, list(blocks)
        self.added = ADDED.get(str(model.config.model_type), ("self_attn", "mlp"))

    @torch.no_grad()
    def run(self, ids: Ids, inputs: dict[int, Edit], added: Edit | None = None, in_place: bool = False) -> tuple[Tensor, Tensor]:
        """Block outputs ``[L, T, d]`` and the next token's log-probabilities, in float64."""
        outputs: list[Tensor] = []

        def change(hidden: Tensor, edit: Edit) -> Tensor:
            return hidden.copy_(edit(hidden)) if in_place else edit(hidden)

        with ExitStack() as hooks:

            def hold(handle: Any) -> None:
                hooks.callback(handle.remove)

            for layer, edit in inputs.items():
                hold(self.blocks[layer].register_forward_pre_hook(lambda _m, args, e=edit: (change(args[0], e), *args[1:])))
            for block in self.blocks if added is not None else []:
                for name in {name for name, _ in block.named_children()} & set(self.added):
                    hold(block.get_submodule(name).register_forward_hook(lambda _m, _args, out: _edited(out, added)))
            for block in self.blocks:
                hold(block.register_forward_hook(lambda _m, _args, out: outputs.append(out[0] if in_place else out[0].clone())))
            logits = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0, -1]
        return torch.stack(outputs).double(), torch.log_softmax(logits.double(), dim=-1)


def _edited(output: Any, edit: Edit | None) -> Any:
    if edit is None:
        return output
    return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)


def plain_cosmic(
    plain: PlainModel,
    positive: Prompts,
    negative: Prompts,
    places: Iterable[tuple[int, int]],
    mode: str,
    kl_limit: float | None = 0.1,
) -> Plain:
    """Score the candidates at ``places``: (template position, layer whose output is the candidate block's input)."""
    n_positions = max((-position for position, _ in places), default=1)
    means = [
        torch.stack([plain.run(ids, {})[0][:, -n_positions:].transpose(0, 1) for ids in prompts.extraction]).mean(0)
        for prompts in (positive, negative)
    ]
    differences = means[0] - means[1]  # [P, L, d]
    n_layers = len(plain.blocks)
    cosines = torch.cosine_similarity(means[0][-1], means[1][-1], dim=-1)
    evaluated = sorted(cosines.argsort()[: max(1, n_layers // 10)].tolist())
    base = [[plain.run(ids, {}) for ids in prompts.scoring] for prompts in (positive, negative)]
    targets = [_pooled([outputs for outputs, _ in runs], evaluated) for runs in base]
    scores = {}
    for position, layer in places:
        difference = differences[position, layer]
        unit = difference / difference.norm()
        reference = float(means[1][position, layer] @ unit)
        ablation, addition = _edits(difference.float(), unit.float(), reference, layer + 1, n_layers, mode)
        ablated = [plain.run(ids, *ablation)[0] for ids in positive.scoring]
        added = [plain.run(ids, *addition, in_place=mode == "linear")[0] for ids in negative.scoring]
        kls = []
        for ids, (_, before) in zip(negative.scoring, base[1], strict=True):
            after = plain.run(ids, *ablation)[1]
            kls.append(float(torch.nn.functional.kl_div(after, before, log_target=True, reduction="sum")))
        scores[position, layer] = (
            float(torch.cosine_similarity(_pooled(ablated, evaluated), targets[1], dim=0)),
            float(torch.cosine_similarity(_pooled(added, evaluated), targets[0], dim=0)),
            sum(kls) / len(kls),
        )
    passing = {place: score[0] + score[1] for place, score in scores.items() if kl_limit is None or score[2] <= kl_limit}
    return Plain(scores, evaluated, differences, max(passing, key=lambda place: passing[place], default=None))


def _pooled(runs: Sequence[Tensor], evaluated: Sequence[int]) -> Tensor:
    """Mean over prompts and evaluation layers of the last token's block outputs."""
    return torch.stack([outputs[evaluated, -1] for outputs in runs]).mean(dim=(0, 1))


def _edits(
    difference: Tensor, unit: Tensor, reference: float, block: int, n_layers: int, mode: str
) -> tuple[tuple[dict[int, Edit], Edit | None], tuple[dict[int, Edit], Edit | None]]:
    """((ablated inputs, ablated additions), (inputs that get the candidate, None))."""

    def without(hidden: Tensor) -> Tensor:
        return hidden - (hidden @ unit).unsqueeze(-1) * unit

    if mode == "linear":
        return (dict.fromkeys(range(n_layers), without), without), ({block: lambda hidden: hidden + difference}, None)
    return (
        ({block: lambda hidden: without(hidden) + reference * unit}, None),
        ({block: lambda hidden: without(hidden) + reference * unit + difference}, None),
    )
