"""The work that every contender does: one model, the same rendered prompts, the same cells, the same number of new tokens.

Rows never stop early: every contender runs with its end-of-sequence token switched off, so all make exactly the same
number of tokens and none is paid for stopping.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from actors.engine.decode import SlotBatch
from actors.errors import WorkerError
from actors.prompts import Rendered
from actors.types import (
    CellResult,
    Decoding,
    DirectionSet,
    EngineOptions,
    ExtractionJob,
    GenerationJob,
    ModelSpec,
    Prompt,
    Steering,
    Underway,
)
from actors.worker import ModelWorker
from benchmarks.timing import Key, Work

REPOSITORY = Path(__file__).resolve().parent.parent
BEHAVIOR = REPOSITORY / "sweeps" / "behaviors" / "refusal.jsonl"
ADAPTER = REPOSITORY / "sweeps" / "models" / "smollm2-135m-refusal"
LAYERS = (9, 12, 15)
MULTIPLIERS = (4.0, 8.0, 12.0, 20.0)


@dataclass(frozen=True)
class BenchmarkCell:
    """A named steering (None: unsteered)."""

    name: str
    steering: Steering | None


@dataclass(frozen=True)
class Workload:
    """Every cell on every prompt, ``new_tokens`` each."""

    cells: tuple[BenchmarkCell, ...]
    prompts: tuple[Prompt, ...]
    new_tokens: int

    def jobs(self) -> list[GenerationJob]:
        """The cells as the engine takes them."""
        decoding = Decoding(max_new_tokens=self.new_tokens)
        return [GenerationJob(cell.name, self.prompts, decoding, cell.steering) for cell in self.cells]


@dataclass
class Bench:
    """A worker that holds the benchmark's model, its end-of-sequence token switched off."""

    worker: ModelWorker
    _rendered: dict[Prompt, Rendered] = field(default_factory=dict)

    @property
    def model(self) -> Any:
        """The ``transformers`` model that the worker holds; its peers here run on the very same weights."""
        return self._loaded.model

    @property
    def blocks(self) -> Sequence[Any]:
        """Its decoder blocks."""
        return self._loaded.decoder.blocks

    @property
    def n_layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self._loaded.d_model

    @property
    def folder(self) -> str:
        """Where the weights lie, for contenders that run in another process."""
        return str(self.model.config._name_or_path)

    @property
    def pad_token(self) -> int:
        """Token id for padding; masked wherever it is used."""
        return int(self._loaded.tokenizer.pad_token_id or 0)

    def token_ids(self, prompt: Prompt) -> tuple[int, ...]:
        """A prompt as the engine renders it; every contender gets these tokens."""
        if prompt not in self._rendered:
            self._rendered[prompt] = self._loaded.renderer.render(prompt)
        return self._rendered[prompt].token_ids

    @property
    def _loaded(self) -> Any:
        return self.worker._held()


def embedded_spec() -> ModelSpec:
    """The embedded model, with the stored adapter where it is complete."""
    adapter = str(ADAPTER) if (ADAPTER / "adapter_model.safetensors").is_file() else None
    return ModelSpec("embedded", "smollm2-135m-instruct", adapter=adapter)


def load(spec: ModelSpec, options: EngineOptions | None = None) -> Bench:
    """Load ``spec`` and switch its end-of-sequence token off: in the engine, and in ``generate``."""
    worker = ModelWorker()
    worker.load(spec, options or EngineOptions())
    engine = worker._engine
    assert engine is not None
    engine._loaded = replace(engine._loaded, stop_tokens=frozenset())
    bench = Bench(worker)
    bench.model.generation_config.eos_token_id = None
    return bench


def prompts_of(role: str, limit: int | None = None) -> tuple[Prompt, ...]:
    """The first ``limit`` prompts of a role in the repository's refusal behavior."""
    lines = [json.loads(line) for line in BEHAVIOR.read_text(encoding="utf-8").splitlines() if line.strip()]
    return tuple(Prompt(line["id"], line["text"]) for line in lines if line["role"] == role)[:limit]


def extracted(bench: Bench) -> DirectionSet:
    """Difference in means of the behavior's contrast prompts."""
    return bench.worker.extract(
        ExtractionJob("benchmark", prompts_of("harmful"), prompts_of("harmless"), "dim", extractor="hooks")
    )


def grid(directions: DirectionSet, n_layers: int) -> tuple[BenchmarkCell, ...]:
    """The quickstart's 13 cells: the baseline, and 3 layers x 4 multipliers from the layer on."""
    steered = tuple(
        BenchmarkCell(
            f"L{layer} x{multiplier:g}",
            Steering(
                tuple(range(layer, n_layers)), directions.at(layer).vector[None].repeat(n_layers - layer, axis=0), multiplier
            ),
        )
        for layer in LAYERS
        for multiplier in MULTIPLIERS
    )
    return (BenchmarkCell("baseline", None), *steered)


@dataclass(frozen=True)
class Engine:
    """(e) Ours: all cells in one call of ``ModelWorker.generate``. ``parts``: seconds and tokens of decoding and of the rest."""

    bench: Bench
    workloads: Sequence[Workload]
    name: str = "engine"

    def run(self, round_number: int) -> Work:
        """Run everything, whatever the round."""
        tokens: dict[Key, tuple[int, ...]] = {}
        jobs = [job for workload in self.workloads for job in workload.jobs()]
        started = time.perf_counter()
        with timed_steps() as steps:
            for result in self.bench.worker.generate(jobs):
                assert not isinstance(result, Underway), "nobody asked for it"
                if not isinstance(result, CellResult):
                    raise WorkerError(f"cell {result.item_id} failed: {result.message}")
                tokens.update({(result.cell_id, response.prompt_id): response.token_ids for response in result.responses})
        total = time.perf_counter() - started
        made = sum(len(ids) for ids in tokens.values())
        parts = {
            "decode_seconds": steps.seconds,
            "decode_cpu_seconds": steps.cpu_seconds,
            "decode_tokens": float(made - len(tokens)),  # the first token of a row comes from its prefill
            "prefill_seconds": total - steps.seconds,
        }
        return Work(len(tokens), made, parts, tokens)


@dataclass
class StepSeconds:
    """Seconds, and seconds of processor time on all threads, spent in decoding steps."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def timed_steps() -> Iterator[StepSeconds]:
    """Clock every ``SlotBatch.step`` in the ``with`` block; wait for CUDA (the engine would wait for the tokens anyway)."""
    clock, step = StepSeconds(), SlotBatch.step

    def timed(batch: SlotBatch, *args: Any) -> Any:
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            return step(batch, *args)
        finally:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            clock.seconds += time.perf_counter() - started
            clock.cpu_seconds += time.process_time() - cpu_started

    SlotBatch.step = timed  # type: ignore[method-assign,assignment]
    try:
        yield clock
    finally:
        SlotBatch.step = step  # type: ignore[method-assign]
