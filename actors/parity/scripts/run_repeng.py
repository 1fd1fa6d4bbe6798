"""repeng: its own ``batched_get_hiddens``, which takes text, tokenizes it and finds the last token by itself."""

from __future__ import annotations

import numpy as np
import torch
import transformers
from job_files import FOLDER, OUT, job, model_of  # type: ignore[import-not-found]
from repeng.extract import batched_get_hiddens  # type: ignore[import-not-found]

told = job()
tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
layers = list(range(told["n_layers"]))
with torch.no_grad():
    found = batched_get_hiddens(model_of(told), tokenizer, [one["rendered"] for one in told["prompts"]], layers, told["batch"])
np.savez(OUT, activations=np.stack([found[layer] for layer in layers], axis=1).astype(np.float32))
