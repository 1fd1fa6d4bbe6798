"""vLLM as the scripts here use it: on a CPU as far as its CPU build goes, on CUDA as it comes. Imports no project."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import torch

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "1" if torch.cuda.is_available() else "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")

from conversation import Answers, Job, Row  # type: ignore[import-not-found]
from vllm import LLM, SamplingParams  # type: ignore[import-not-found]

CUDA = torch.cuda.is_available()
FACTOR = 100.0
"""How much stronger than asked a steering is when it is tried whether it acts at all."""
TRIED = 1
"""New tokens of that trial: the first follows from the prompt alone."""


def engine(job: Job, **more: Any) -> Any:
    """The model, its prefix cache on. On a CPU: eager, as the compiled mode does not start there, and blocks of 32 tokens, the
    smallest there are (the default of 128 would never hit on prompts this short). On CUDA it takes the memory that it needs, as
    others are on the same GPU."""
    told = job.told
    longest = max(map(len, told["prompts"].values())) + told["new_tokens"]
    if CUDA:
        more["gpu_memory_utilization"] = round(told["bytes"] / torch.cuda.get_device_properties(0).total_memory, 3)
    else:
        more |= {"enforce_eager": True, "block_size": 32}
    return LLM(
        model=told["model"],
        dtype=told["dtype"],
        max_model_len=-(-longest // 64) * 64,
        max_num_seqs=told["rows"],
        skip_tokenizer_init=True,
        enable_prefix_caching=True,
        **more,
    )


def greedy(job: Job, new_tokens: int | None = None, **more: Any) -> Any:
    """As everyone answers here: greedily, exactly as many tokens as asked, no text."""
    count = job.told["new_tokens"] if new_tokens is None else new_tokens
    return SamplingParams(temperature=0.0, max_tokens=count, ignore_eos=True, detokenize=False, **more)


def prompts(job: Job, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows' prompts as tokens."""
    return [{"prompt_token_ids": job.token_ids(prompt)} for _, prompt in rows]


def tokens(outputs: Sequence[Any]) -> Answers:
    """What vLLM answered, in the order asked."""
    return [list(output.outputs[0].token_ids) for output in outputs]


def about(*packages: str) -> dict[str, Any]:
    """Versions, and where it runs."""
    named = {package: version(package) for package in packages}
    return {**named, "torch": torch.__version__, "threads": torch.get_num_threads(), "device": "cuda" if CUDA else "cpu"}


def require_steering(job: Job, answer: Callable[[Row, float], list[int]]) -> None:
    """End unless a much stronger steering changes the first token that the first steered cell answers: a plug-in that does not
    reach the model, or not its prompts, answers unsteered without a word. ``answer``: a row's first token, its multiplier times
    that factor."""
    if not job.steered:
        return
    row = (job.steered[0], next(iter(job.told["prompts"])))
    if answer(row, 0.0) == answer(row, FACTOR):
        raise SystemExit(f"a steering made {FACTOR:g} times stronger leaves the first token as it is: prompts run unsteered here")
