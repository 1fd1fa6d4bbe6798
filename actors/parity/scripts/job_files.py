"""What the scripts have in common: ``MODEL_FOLDER JOB.json OUT.npz``, as ``actors.parity.outside`` says. Imports no project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

FOLDER, JOB, OUT = (sys.argv + [""] * 3)[1:4]


class Batch(NamedTuple):
    """Left-padded token ids, mask and positions ``[B, T]``, and the rendered texts."""

    token_ids: torch.Tensor
    mask: torch.Tensor
    position_ids: torch.Tensor
    texts: list[str]

    @property
    def inputs(self) -> dict[str, torch.Tensor]:
        """As the reference passes them: positions only where something is padded."""
        plain = {"input_ids": self.token_ids, "attention_mask": self.mask}
        return plain if bool(self.mask.all()) else {**plain, "position_ids": self.position_ids}


def job() -> dict[str, Any]:
    """What is asked; also sets as many threads as the worker has, for sums in the same order."""
    told: dict[str, Any] = json.loads(Path(JOB).read_text(encoding="utf-8"))
    torch.set_num_threads(told["threads"])
    return told


def model_of(told: dict[str, Any]) -> Any:
    """The model by transformers, in the job's dtype, where the worker's is."""
    dtype = getattr(torch, told["dtype"])
    config = transformers.AutoConfig.from_pretrained(FOLDER)
    rope = getattr(config, "rope_parameters", None)
    named = "dtype"
    if int(transformers.__version__.partition(".")[0]) < 5:  # which reads what version 5 wrote under another name
        named = "torch_dtype"
        if rope and "rope_theta" in rope:
            config.rope_theta = rope["rope_theta"]
            if rope.get("rope_type", "default") != "default":
                config.rope_scaling = {name: value for name, value in rope.items() if name != "rope_theta"}
    return transformers.AutoModelForCausalLM.from_pretrained(FOLDER, config=config, **{named: dtype}).eval().to(told["device"])


def batches(told: dict[str, Any]) -> Iterator[Batch]:
    """The prompts, ``batch`` at a time."""
    for start in range(0, len(told["prompts"]), told["batch"]):
        prompts = told["prompts"][start : start + told["batch"]]
        rows = [prompt["token_ids"] for prompt in prompts]
        longest = max(map(len, rows))
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=told["device"])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=told["device"])
        yield Batch(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), [prompt["rendered"] for prompt in prompts])


def answer(told: dict[str, Any], read: Callable[[Batch], list[torch.Tensor]]) -> None:
    """Write ``activations``: ``read`` gives a batch's last-token activations ``[B, d]`` of every layer."""
    with torch.no_grad():
        parts = [torch.stack([one.float().cpu() for one in read(batch)], dim=1) for batch in batches(told)]
    np.savez(OUT, activations=torch.cat(parts).numpy())


def answer_steered(told: dict[str, Any], answered: Callable[[Batch, int], tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Write ``tokens`` and ``logits``: ``answered`` gives a batch's greedy tokens ``[B, T]`` and all logits ``[B, T, V]``."""
    with torch.no_grad():
        (batch,) = batches(told)
        tokens, logits = answered(batch, told["tokens"])
    np.savez(OUT, tokens=tokens.cpu().numpy(), logits=logits.float()[:, :, told["probes"]].cpu().numpy())


def vector_of(told: dict[str, Any]) -> torch.Tensor:
    """What is to be added, ``[d]``, in the job's dtype, where the model is."""
    return torch.tensor(told["vector"], dtype=torch.float32, device=told["device"]).to(getattr(torch, told["dtype"]))


def by_generate(model: Any, batch: Batch, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As transformers' ``generate`` answers, greedily and whatever ends an answer."""
    model.generation_config = transformers.GenerationConfig(pad_token_id=0)
    told = model.generate(
        input_ids=batch.token_ids,
        attention_mask=batch.mask,
        do_sample=False,
        max_new_tokens=steps,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return told.sequences[:, batch.token_ids.shape[1] :], torch.stack(told.logits, dim=1)


def by_forward(forward: Callable[[Batch], torch.Tensor], batch: Batch, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Answer without a cache: ``forward`` gives the logits ``[B, V]`` of the last token of a batch."""
    tokens, logits = list[torch.Tensor](), list[torch.Tensor]()
    for _ in range(steps):
        logits.append(forward(batch))
        tokens.append(logits[-1].argmax(dim=-1))
        mask = torch.cat([batch.mask, torch.ones_like(tokens[-1])[:, None]], dim=1)
        ids = torch.cat([batch.token_ids, tokens[-1][:, None]], dim=1)
        batch = Batch(ids, mask, (mask.cumsum(-1) - 1).clamp(min=0), batch.texts)
    return torch.stack(tokens, dim=1), torch.stack(logits, dim=1)
