"""The tables of docs/gpus.md, computed by the planner's own functions: ``python -m tests.docs.gpu_table``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from actors.types import ModelSpec, Quantization
from orchestrator.devices import ACCELERATORS, GIB
from orchestrator.models.known_models import KNOWN
from orchestrator.models.shapes import ModelShape, shape_from_config
from orchestrator.planning.estimate import cache_bytes, weight_bytes

PAGE = Path(__file__).parents[2] / "docs" / "gpus.md"
START, END = "<!-- computed -->\n", "<!-- /computed -->"
ROWS, TOKENS = 64, 320
"""What the page reckons with beside the weights: rows at once, and tokens of each with its prompt."""
ROOM = 1.15
"""What activations, the CUDA context and fragmentation take beside: a share on top."""
FORMS: tuple[Quantization, ...] = ("none", "int8", "nf4")
GPUS = ("T4", "L4", "A100-40G", "L40S", "A100-80G", "H200")
MODELS = (
    "Qwen/Qwen2.5-0.5B-Instruct",
    "Qwen/Qwen2.5-1.5B-Instruct",
    "Qwen/Qwen2.5-3B-Instruct",
    "Qwen/Qwen2.5-7B-Instruct",
    "Qwen/Qwen2.5-14B-Instruct",
    "Qwen/Qwen2.5-32B-Instruct",
    "Qwen/Qwen2.5-72B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
    "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/Llama-3.3-70B-Instruct",
    "google/gemma-2-2b-it",
    "google/gemma-2-9b-it",
    "google/gemma-2-27b-it",
    "mistralai/Mistral-7B-Instruct-v0.3",
    "Qwen/Qwen3-30B-A3B",
)


def needed(shape: ModelShape, spec: ModelSpec) -> float:
    """Bytes: weights and the cache of ``ROWS`` rows, with room beside."""
    return ROOM * (weight_bytes(shape, spec) + cache_bytes(shape, spec, ROWS * TOKENS))


def smallest(size: float) -> str:
    """The first of ``GPUS`` that has so many bytes; of the last as many as are needed."""
    for name in GPUS:
        if size <= (ACCELERATORS[name].memory_bytes or 0):
            return name
    return f"{-int(-size // (ACCELERATORS['A100-80G'].memory_bytes or 1))} x A100-80G"


def rewritten(page: str) -> str:
    """``page`` with its computed tables."""
    before, _, rest = page.partition(START)
    return before + START + "\n".join(_tables()) + "\n" + END + rest.partition(END)[2]


def _tables() -> Iterator[str]:
    yield f"| model | bfloat16 | int8 | nf4 | cache of {ROWS} rows | bfloat16 fits | int8 fits | nf4 fits |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in MODELS:
        shape = shape_from_config(KNOWN[name])
        specs = [ModelSpec("hub", name, dtype="bfloat16", quantization=form) for form in FORMS]
        weights = [_gib(weight_bytes(shape, spec)) for spec in specs]
        cache = _gib(cache_bytes(shape, specs[0], ROWS * TOKENS))
        yield f"| {name} | {' | '.join(weights)} | {cache} | {' | '.join(smallest(needed(shape, spec)) for spec in specs)} |"
    yield ""
    yield "| GPU | memory that a process may use |"
    yield "|---|---|"
    yield from (f"| {name} | {_gib(ACCELERATORS[name].memory_bytes or 0)} |" for name in GPUS)


def _gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
