"""TransformerLens: the bridge around a transformers model, ``blocks.l.hook_out`` of its cache."""

from __future__ import annotations

import torch
import transformers
from job_files import FOLDER, Batch, answer, job, model_of  # type: ignore[import-not-found]
from transformer_lens.model_bridge import TransformerBridge  # type: ignore[import-not-found]

told = job()
tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
bridge = TransformerBridge.boot_transformers(
    FOLDER, hf_model=model_of(told), tokenizer=tokenizer, device=told["device"], dtype=getattr(torch, told["dtype"])
)


def read(batch: Batch) -> list[torch.Tensor]:
    """The residual stream behind every block."""
    wanted = [f"blocks.{layer}.hook_resid_post" for layer in range(told["n_layers"])]
    inputs = dict(batch.inputs)
    _, cache = bridge.run_with_cache(inputs.pop("input_ids"), names_filter=lambda name: name in wanted, **inputs)
    return [cache[name][:, -1] for name in wanted]


answer(told, read)
