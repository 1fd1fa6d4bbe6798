"""(c) The library steering-vectors, as its users run it: one cell at a time, ``apply`` around a padded ``generate``.

Runs in its own environment; imports nothing of this repository. Argument: the folder that ``process.write_job`` wrote.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import steering_vectors
import torch
import transformers


def load(job: dict[str, Any]) -> Any:
    """The model in float32, its end-of-sequence token off."""
    config = transformers.AutoConfig.from_pretrained(job["model"])
    rope = getattr(config, "rope_parameters", None)
    if rope:  # written by transformers 5, which transformers 4 would ignore without a word
        config.rope_theta = rope["rope_theta"]
    model = transformers.AutoModelForCausalLM.from_pretrained(job["model"], config=config, torch_dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    return model


def padded(job: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, padded on the left."""
    rows = [prompt["token_ids"] for prompt in job["prompts"]]
    longest = max(map(len, rows))
    ids = torch.tensor([[job["pad_token"]] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def run(model: Any, job: dict[str, Any], shifts: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Generate the named cells one after another."""
    ids, mask = padded(job)
    layers = {cell["name"]: cell["layers"] for cell in job["cells"]}
    tokens = []
    started = time.perf_counter()
    for name in names:
        acting = {layer: torch.from_numpy(shift) for layer, shift in zip(layers[name], shifts.get(name, ()), strict=True)}
        with torch.inference_mode(), steering_vectors.SteeringVector(acting).apply(model):
            output = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=job["new_tokens"],
                do_sample=False,
                pad_token_id=job["pad_token"],
            )
        new = output[:, ids.shape[1] :].tolist()
        tokens += [[name, prompt["id"], row] for prompt, row in zip(job["prompts"], new, strict=True)]
    return {"seconds": time.perf_counter() - started, "tokens": tokens}


def main() -> None:
    """Load, say what is loaded, then one run per line."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with np.load(folder / "vectors.npz") as stored:
        shifts = {name: stored[name] for name in stored.files}
    model = load(job)
    about = {
        "steering-vectors": steering_vectors.__version__ if hasattr(steering_vectors, "__version__") else "0.12.2",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print("@@" + json.dumps(about), flush=True)
    for line in sys.stdin:
        print("@@" + json.dumps(run(model, job, shifts, json.loads(line)["cells"])), flush=True)


if __name__ == "__main__":
    main()
