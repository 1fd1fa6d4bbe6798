"""The scripts that steer inside vLLM, run with stand-ins of vLLM whose "model" answers by what reached it."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import runpy
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from actors.types import Prompt, Steering
from benchmarks.mixing import configuration
from benchmarks.outside.process import MARK, write_job
from benchmarks.timing import Key
from benchmarks.workload import Bench, BenchmarkCell, Workload

OUTSIDE = Path(__file__).parents[2] / "benchmarks" / "outside"
PROMPTS = (Prompt("p1", "one"), Prompt("p2", "one and two"))
NEW_TOKENS = 3
N_LAYERS = 5


def answer(prompt: list[int], shift: dict[int, np.ndarray[Any, Any]], count: int) -> list[int]:
    """What the stand-in of a model says: tokens that tell the prompt, and what was added where."""
    moved = sum((layer + 1) * float(np.abs(np.asarray(one, dtype=np.float64)).sum()) for layer, one in shift.items())
    return [round(1000 * moved), sum(prompt), *range(count)][:count]


@dataclass
class Output:
    token_ids: list[int]

    @property
    def outputs(self) -> list[Output]:
        return [self]


class FakeLLM:
    """vLLM without steering; keeps what it was asked."""

    made: FakeLLM

    def __init__(self, **options: Any) -> None:
        self.options, self.emptied, self.calls = options, 0, 0
        self.environment = dict(os.environ)
        type(self).made = FakeLLM.made = self

    def reset_prefix_cache(self) -> None:
        self.emptied += 1

    def generate(self, prompts: list[Any], sampling: Any, *, use_tqdm: bool, steering: Any = None) -> list[Output]:
        self.calls += 1
        every = sampling if isinstance(sampling, list) else [sampling] * len(prompts)
        steered = steering if steering is not None else [None] * len(prompts)
        return [Output(self.one(*row)) for row in zip(prompts, every, steered, strict=True)]

    def one(self, prompt: dict[str, Any], sampling: Any, _steering: Any) -> list[int]:
        assert (sampling.temperature, sampling.ignore_eos, sampling.detokenize) == (0.0, True, False)
        return answer(prompt["prompt_token_ids"], {}, sampling.max_tokens)


class FakeHotwire(FakeLLM):
    """As the plug-in does: vectors from a folder, a slot for each (vector, layer, scale) or none, and a prefix cache that knows
    of steering only what the salt says."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        folder = Path(self.environment["HOTWIRE_VECTORS"])
        self.vectors = {one.stem: torch.load(one, weights_only=True).numpy() for one in folder.glob("*.pt")}
        self.taken: set[tuple[str, int, float]] = set()
        self.cached: dict[Any, list[int]] = {}

    def one(self, prompt: dict[str, Any], sampling: Any, _steering: Any) -> list[int]:
        super().one(prompt, sampling, None)
        shift = {}
        for entry in json.loads((sampling.extra_args or {}).get("hotwire", "[]")):
            slot = (entry["id"], entry["layer"], entry["scale"])
            if slot not in self.taken and len(self.taken) == int(self.environment["HOTWIRE_SLOTS"]):
                continue
            self.taken.add(slot)
            shift[entry["layer"]] = entry["scale"] * self.vectors[entry["id"]][entry["layer"]]
        ids = prompt["prompt_token_ids"]
        return self.cached.setdefault((prompt["cache_salt"], *ids), answer(ids, shift, 8))[: sampling.max_tokens]


class FakeEasySteer(FakeLLM):
    """As the fork does: one spec per prompt, refused where the engine was not told of its algorithm; files are loaded ahead."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.files: dict[str, dict[int, Any]] = {}

    def preload_steer_vectors(self, paths: list[str]) -> None:
        for path in paths:
            tensors = {tuple(tensor.name.split(".")): np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}
            self.files[path] = {int(layer): one for (word, layer), one in tensors.items() if word == "direction"}

    def one(self, prompt: dict[str, Any], sampling: Any, steering: Any) -> list[int]:
        super().one(prompt, sampling, None)
        shift = {}
        for vector in steering.vectors if steering else ():
            assert self.options["enable_steer_vector"]
            assert vector.algorithm in self.options["steer_algorithms"]
            assert (vector.apply.prompt, vector.apply.generation) == ("all", "all")
            shift = {layer: vector.scale * one for layer, one in self.files[vector.source].items()}
        return answer(prompt["prompt_token_ids"], shift, sampling.max_tokens)


@dataclass
class Sampling:
    temperature: float
    max_tokens: int
    ignore_eos: bool
    detokenize: bool
    extra_args: dict[str, str] | None = None


@dataclass
class Apply:
    prompt: str
    generation: str


@dataclass
class Vector:
    source: str
    algorithm: str
    scale: float
    apply: Apply


@dataclass
class Spec:
    vectors: list[Vector]


@dataclass
class Asked:
    """A script at work: its job, and what it says."""

    monkeypatch: pytest.MonkeyPatch
    bench: Bench
    folder: Path
    capsys: pytest.CaptureFixture[str]
    cells: tuple[BenchmarkCell, ...] = field(default=())

    def run(self, script: str, llm: type[FakeLLM], *requests: list[Key]) -> list[dict[str, Any]]:
        """The lines that it answers to ``requests``."""
        write_job(self.folder, self.bench, {"run": [Workload(self.cells, PROMPTS, NEW_TOKENS)]})
        vllm, steer = ModuleType("vllm"), ModuleType("vllm.steer_vectors")
        vllm.__dict__.update(LLM=llm, SamplingParams=Sampling)
        steer.__dict__.update(ApplySpec=Apply, SteeringSpec=Spec, VectorSpec=Vector)
        patch = self.monkeypatch
        for name, module in (("vllm", vllm), ("vllm.steer_vectors", steer)):
            patch.setitem(sys.modules, name, module)
        for name in ("HOTWIRE_VECTORS", "HOTWIRE_SLOTS"):
            patch.setenv(name, "")
        patch.setattr(importlib.metadata, "version", lambda package: f"{package} 1.2")
        patch.syspath_prepend(str(OUTSIDE))
        patch.setattr(sys, "argv", [script, str(self.folder)])
        patch.setattr(sys, "stdin", io.StringIO("".join(json.dumps({"rows": rows}) + "\n" for rows in requests)))
        try:
            runpy.run_path(str(OUTSIDE / script), run_name="__main__")
        finally:
            for name in ("conversation", "vllm_engine"):
                sys.modules.pop(name, None)
        return [
            json.loads(line.removeprefix(MARK)) for line in self.capsys.readouterr().out.splitlines() if line.startswith(MARK)
        ]

    def expected(self, key: Key) -> list[Any]:
        """What a row must say, from the cell's own steering."""
        cell, prompt = key
        steering = next(one.steering for one in self.cells if one.name == cell)
        shift = {} if steering is None else added(steering)
        ids = list(self.bench.token_ids(next(one for one in PROMPTS if one.id == prompt)))
        return [cell, prompt, answer(ids, shift, NEW_TOKENS)]


def added(steering: Steering) -> dict[int, Any]:
    """By layer, what is added there."""
    return {layer: steering.multiplier * one for layer, one in zip(steering.layers, steering.vectors, strict=True)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tiny: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    first, *others = (BenchmarkCell(f"L3 x{n}/a", configuration(n, N_LAYERS, tiny.d_model, spread=False)) for n in range(8))
    return Asked(monkeypatch, tiny, tmp_path, capsys, (BenchmarkCell("none", None), first, *others))


STEERING = [("run_hotwire.py", FakeHotwire), ("run_easysteer.py", FakeEasySteer)]


@pytest.mark.parametrize(("script", "llm"), STEERING)
def test_every_row_is_steered_by_its_own_cell(asked: Asked, script: str, llm: type[FakeLLM]) -> None:
    rows = [(cell.name, prompt.id) for prompt in PROMPTS for cell in asked.cells]
    about, first, second = asked.run(script, llm, rows, rows[:3])
    assert first["tokens"] == [asked.expected(row) for row in rows]
    assert second["tokens"] == [asked.expected(row) for row in rows[:3]]
    assert len({ids[0] for _, _, ids in first["tokens"]}) == len(asked.cells)
    assert first["seconds"] > 0
    assert about["vllm" if script == "run_easysteer.py" else "hotwire-vllm"].endswith("1.2")
    engine = FakeLLM.made
    assert engine.emptied == 2
    assert engine.calls == 4, "two to try whether steering acts, and one per run"
    assert (engine.options["max_num_seqs"], engine.options["dtype"]) == (18, "float32")


def test_easysteer_has_room_for_every_cell_at_once(asked: Asked) -> None:
    asked.run("run_easysteer.py", FakeEasySteer)
    assert FakeLLM.made.options["max_steer_vectors"] == 8
    assert FakeLLM.made.options["steer_algorithms"] == ["direct"]


def test_hotwire_has_a_slot_for_every_layer_of_every_cell_and_for_the_trial(asked: Asked) -> None:
    rows = [(cell.name, "p1") for cell in asked.cells]
    asked.run("run_hotwire.py", FakeHotwire, rows)
    steerings = [cell.steering for cell in asked.cells if cell.steering]
    needed = sum(len(one.layers) for one in steerings) + len(steerings[0].layers)
    assert isinstance(FakeLLM.made, FakeHotwire)
    assert len(FakeLLM.made.taken) == needed == int(FakeLLM.made.environment["HOTWIRE_SLOTS"])


@pytest.mark.parametrize(("script", "llm"), STEERING)
def test_unsteered_cells_alone_need_nothing_of_the_tool(asked: Asked, script: str, llm: type[FakeLLM]) -> None:
    asked.cells = asked.cells[:1]
    _, told = asked.run(script, llm, [("none", "p1")])
    assert told["tokens"] == [asked.expected(("none", "p1"))]
    assert "enable_steer_vector" not in FakeLLM.made.options


class Deaf(FakeHotwire, FakeEasySteer):
    """Where a plug-in does not reach the model."""

    def one(self, prompt: dict[str, Any], sampling: Any, steering: Any) -> list[int]:
        return FakeLLM.one(self, prompt, sampling, None)


class Late(FakeHotwire):
    """Where it reaches the model when the prompt is through."""

    def one(self, prompt: dict[str, Any], sampling: Any, steering: Any) -> list[int]:
        return [0, *super().one(prompt, sampling, steering)][: sampling.max_tokens]


@pytest.mark.parametrize(("script", "llm"), [("run_hotwire.py", Deaf), ("run_easysteer.py", Deaf), ("run_hotwire.py", Late)])
def test_a_tool_that_answers_unsteered_without_a_word_is_found_out(asked: Asked, script: str, llm: type[FakeLLM]) -> None:
    with pytest.raises(SystemExit):
        asked.run(script, llm)
    (line,) = [line for line in asked.capsys.readouterr().out.splitlines() if line.startswith(MARK)]
    assert json.loads(line.removeprefix(MARK)) == {
        "failed": "SystemExit: a steering made 100 times stronger leaves the first token as it is: prompts run unsteered here"
    }


def test_vllm_answers_unsteered(asked: Asked) -> None:
    asked.cells = tuple(replace(cell, steering=None) for cell in asked.cells)
    rows = [("none", "p1"), (asked.cells[1].name, "p2")]
    _, told = asked.run("run_vllm.py", FakeLLM, rows)
    assert told["tokens"] == [asked.expected(row) for row in rows]
