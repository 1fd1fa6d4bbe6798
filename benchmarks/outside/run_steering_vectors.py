"""(c) The library steering-vectors, as its users run it: one cell at a time, ``apply`` around a padded ``generate``.

Runs in its own environment; imports nothing of this repository but what lies beside it. Argument: the folder that
``process.write_job`` wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import steering_vectors
import torch
import transformers
from conversation import Answers, Job, Row, Tool, converse  # type: ignore[import-not-found]


def model_of(job: Job) -> Any:
    """The model in float32, its end-of-sequence token off."""
    config = transformers.AutoConfig.from_pretrained(job.told["model"])
    rope = getattr(config, "rope_parameters", None)
    if rope:  # written by transformers 5, which transformers 4 would ignore without a word
        config.rope_theta = rope["rope_theta"]
    model = transformers.AutoModelForCausalLM.from_pretrained(job.told["model"], config=config, torch_dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    return model


def padded(rows: Sequence[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on the left."""
    longest = max(map(len, rows))
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def generated(model: Any, job: Job, cell: str, prompts: Sequence[str]) -> Answers:
    """One cell's prompts."""
    ids, mask = padded([job.token_ids(prompt) for prompt in prompts], job.told["pad_token"])
    directions = zip(job.layers(cell), job.vectors.get(cell, ()), strict=True)
    steering = steering_vectors.SteeringVector({layer: torch.from_numpy(vector) for layer, vector in directions})
    with torch.inference_mode(), steering.apply(model, multiplier=job.multiplier(cell)):
        output = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=job.told["new_tokens"],
            do_sample=False,
            pad_token_id=job.told["pad_token"],
        )
    new: Answers = output[:, ids.shape[1] :].tolist()
    return new


def load(job: Job) -> Tool:
    """The model, on which one cell after another is answered."""
    model = model_of(job)

    def answer(rows: Sequence[Row]) -> Answers:
        made: dict[Row, list[int]] = {}
        for cell in dict.fromkeys(cell for cell, _ in rows):
            prompts = [prompt for other, prompt in rows if other == cell]
            made |= {(cell, prompt): ids for prompt, ids in zip(prompts, generated(model, job, cell, prompts), strict=True)}
        return [made[row] for row in rows]

    about = {
        "steering-vectors": steering_vectors.__version__ if hasattr(steering_vectors, "__version__") else "0.12.2",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    return Tool(about, answer)


if __name__ == "__main__":
    converse(load)
