"""A random-weight model of any shape, held by a worker as if loaded: speed does not depend on what the weights say."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.families import decoder_of
from actors.loading import DTYPES, LoadedModel
from actors.prompts import PromptRenderer
from actors.types import DType, EngineOptions, ModelSpec
from actors.worker import ModelWorker
from benchmarks.workload import Bench

SPECIAL = ("<pad>", "<|end|>", "<|user|>", "<|assistant|>")
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and a chat template."""
    tokens = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<|end|>", chat_template=TEMPLATE)


def random_bench(config: Any, dtype: DType, device: torch.device, slots: int | None = None) -> Bench:
    """A worker that holds a random model of ``config``; answers never end early."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype]).eval()
    model.generation_config.eos_token_id = None
    tokenizer = byte_tokenizer()
    worker = ModelWorker()
    loaded = LoadedModel(
        spec=ModelSpec("folder", "random", dtype=dtype),
        model=model,
        tokenizer=tokenizer,
        decoder=decoder_of(model),
        renderer=PromptRenderer(tokenizer),
        device=device,
        dtype=DTYPES[dtype],
        d_model=int(config.get_text_config().hidden_size),
        commit="",
    )
    worker.hold(loaded, EngineOptions(slots=slots))
    return Bench(worker)
