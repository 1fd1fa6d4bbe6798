"""Recorded decoding on the CPU: a recorder of tensor operations stands in for a CUDA graph.

Like a graph it repeats operations on the tensors that they ran on, and runs no Python of the model: a step that read anything
but fixed tensors would go wrong under it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from actors.engine import engine as engine_module
from actors.engine import graphs
from actors.engine.engine import Engine
from actors.engine.graphs import EAGER, GRAPH, CudaStepGraph, Recorded, recorded, refusal, same_bits
from actors.types import CellResult, Decoding, GenerationJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.tiny import tiny_model

Loader = Callable[..., ModelWorker]
PROMPTS = tuple(Prompt(f"P{i}", text) for i, text in enumerate(["How do I bake a cake?", "Hi", "Why is the sky blue?", "x" * 30]))


class RecordedOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every tensor operation with the tensors it ran on; a replay repeats them into the same results."""

    made: list[RecordedOperations] = []  # noqa: RUF012 - the tests look at what was made
    spoil = False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0
        self.made.append(self)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        self.operations.append((function, args, kwargs or {}, result))
        return result

    def capture(self, step: Callable[[], None]) -> None:
        with self:
            step()

    def replay(self) -> None:
        self.replays += 1
        for function, args, kwargs, result in self.operations:
            again = function(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)
                    if self.spoil and old.is_floating_point():
                        old.mul_(1.0001)


@pytest.fixture
def on_recorder(monkeypatch: pytest.MonkeyPatch) -> type[RecordedOperations]:
    """The engine records its steps, as it would on CUDA."""
    monkeypatch.setattr(engine_module, "CudaStepGraph", RecordedOperations)
    monkeypatch.setattr(engine_module, "refusal", lambda *_: None)
    monkeypatch.setattr(RecordedOperations, "made", [])
    monkeypatch.setattr(RecordedOperations, "spoil", False)
    return RecordedOperations


def jobs(n_new: int = 12) -> list[GenerationJob]:
    """More rows than slots, so that slots are refilled under other steerings while the recording stays in use."""
    rng = np.random.default_rng(2)
    found = [GenerationJob("base", PROMPTS, Decoding(n_new))]
    for number, kind in enumerate(["addition", "ablation", "replacement", "addition", "addition", "rotation"]):
        vector = rng.standard_normal((1, 64)).astype(np.float32)
        layers = tuple(range(number % 3, 5))
        vectors = np.repeat(vector / np.linalg.norm(vector), len(layers), axis=0)
        strength = {"ablation": 1.0, "rotation": 30.0}.get(kind, 9.0 - 5 * number)
        positions = ("all", "all", "from:2", "generation", "last_prompt+first:3", "all")[number]
        schedule = ("constant", "exponential:3", "constant", "linear:5", "constant", "constant")[number]
        steering = Steering(layers, vectors, strength, kind, positions=positions, schedule=schedule)
        found.append(GenerationJob(f"cell{number}", PROMPTS, Decoding(n_new - number), steering))
    return found


def fixed(worker: ModelWorker) -> Engine:
    """The worker's engine as if its batches had to keep their shape, as on CUDA."""
    engine = worker._engine
    assert engine is not None
    engine._loaded = dataclasses.replace(engine._loaded, batch_dependence="as on CUDA")
    return engine


def tokens(worker: ModelWorker) -> dict[tuple[str, str], tuple[int, ...]]:
    """Every row's tokens."""
    results = list(worker.generate(jobs()))
    assert all(isinstance(result, CellResult) for result in results)
    return {(r.cell_id, one.prompt_id): one.token_ids for r in results if isinstance(r, CellResult) for one in r.responses}


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_replayed_decoding_gives_the_eager_tokens(
    family: str, tiny_worker: Loader, on_recorder: type[RecordedOperations], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker(family, slots=16)
    engine = fixed(worker)
    replayed = tokens(worker)
    assert engine.decoding == GRAPH
    assert sum(graph.replays for graph in on_recorder.made) > 12
    assert all(any("copy_" in str(operation[0]) for operation in graph.operations) for graph in on_recorder.made)
    monkeypatch.setattr(engine_module, "refusal", lambda *_: "for comparison")
    assert tokens(worker) == replayed
    assert engine.decoding == EAGER


def test_a_recording_serves_the_next_calls_until_its_memory_is_needed(
    tiny_worker: Loader, on_recorder: type[RecordedOperations], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=16)
    engine = fixed(worker)
    first = tokens(worker)
    recordings = len(on_recorder.made)
    steering = jobs()[1].steering
    assert steering is not None
    others = [GenerationJob("other", PROMPTS, Decoding(12), dataclasses.replace(steering, multiplier=0.5))]
    list(worker.generate([*jobs(), *others]))  # the same layers, other edits
    assert tokens(worker) == first
    assert len(on_recorder.made) == recordings, "one recording per slots, capacity and layers"
    monkeypatch.setattr(engine, "_fitting", lambda *_: 16 if not len(engine._recorded) else 0)
    list(worker.generate(others))
    assert len(on_recorder.made) > recordings, "one layer is another layout"
    assert len(engine._recorded) == 1, "what was kept has made room for the next"


POOL = (0, 7)


class FakeCuda:
    """Streams and captures as ``torch.cuda`` has them, for one thread; a capture that cannot be ended raises, as CUDA does, and
    leaves the allocator and the generator of random numbers in it, as PyTorch does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        graphs._side_stream.cache_clear()
        self.current: object = self
        self.captures = 0
        self.sync: object = 0
        self.ends = False
        self.left: list[object] = []
        self.used: list[object] = []
        self.waited: list[object] = []
        for name, stand_in in {
            "CUDAGraph": lambda: self,
            "Stream": lambda: FakeStream(),
            "current_device": lambda: 0,
            "current_stream": lambda: self.current,
            "default_generators": [self],
            "set_stream": lambda stream: setattr(self, "current", stream),
            "stream": self._on,
            "graph": self._capturing,
            "graph_pool_handle": lambda: POOL,
            "get_sync_debug_mode": lambda: self.sync,
            "set_sync_debug_mode": lambda mode: setattr(self, "sync", mode),
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self._end, raising=False)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", lambda _device, _pool: self.left.remove("memory"), raising=False)

    def wait_stream(self, stream: object) -> None:
        """At once."""
        self.waited.append(stream)

    def clone_state(self) -> FakeCuda:
        """Of the generator: a state that is in no capture."""
        return self

    def graphsafe_set_state(self, _state: FakeCuda) -> None:
        """Of the generator."""
        self.left.remove("generator")

    def replay(self) -> None:
        """Nothing was recorded."""

    def _end(self, device: int, pool: tuple[int, int]) -> None:
        if "allocator" not in self.left:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        assert (device, pool) == (0, POOL)
        self.left.remove("allocator")

    @contextmanager
    def _on(self, stream: Any) -> Iterator[None]:
        self.used.append(stream)
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def _capturing(self, _graph: object, pool: tuple[int, int], stream: object) -> Iterator[None]:
        assert pool == POOL
        self.captures += 1
        self.used.append(stream)
        before, self.current = self.current, stream
        try:
            yield
        finally:
            if not self.ends:
                self.left += ["allocator", "memory", "generator"]
                raise RuntimeError("operation failed due to a previous error during capture")
        self.current = before


class FakeStream:
    """Another stream."""

    def wait_stream(self, stream: object) -> None:
        """At once."""


def test_a_capture_that_cannot_be_ended_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    state = torch.zeros(2)
    outcome = recorded(lambda: None, [state], lambda: [state], CudaStepGraph)
    assert outcome.replay is None
    assert "previous error during capture" in outcome.mode
    assert (cuda.captures, cuda.current, cuda.sync) == (1, cuda, 0)
    assert cuda.left == []


@pytest.mark.parametrize("memory", [True, False])
def test_what_ended_a_capture_is_told_and_not_what_came_of_it(memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to PyTorch 2.12 memory that is asked for in vain breaks the capture, too."""
    cuda, state = FakeCuda(monkeypatch), torch.zeros(2)

    def step() -> None:
        if cuda.captures:
            raise torch.OutOfMemoryError("CUDA out of memory") if memory else RuntimeError("operation not permitted: capturing")

    if memory:
        with pytest.raises(torch.OutOfMemoryError):
            recorded(step, [state], lambda: [state], CudaStepGraph)
    else:
        assert "not permitted" in recorded(step, [state], lambda: [state], CudaStepGraph).mode
    assert (cuda.left, cuda.current) == ([], cuda)


def test_steps_are_tried_and_recorded_on_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    cuda.ends, state = True, torch.zeros(2)
    for _ in range(3):
        assert recorded(lambda: None, [state], lambda: [state], CudaStepGraph).mode == GRAPH
    assert len(cuda.used) == 6
    assert len(set(cuda.used)) == 1, "cuBLAS keeps a workspace for every stream"


def test_a_step_that_waits_for_the_device_is_refused_before_a_capture_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(monkeypatch)
    state = torch.zeros(2)

    def waits() -> None:
        if cuda.sync == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    outcome = recorded(waits, [state], lambda: [state], CudaStepGraph)
    assert outcome.mode == "eager: a step cannot be recorded (called a synchronizing CUDA operation)"
    assert (cuda.captures, cuda.current, cuda.sync) == (0, cuda, 0)
    assert cuda.waited == cuda.used, "what has begun on the other stream may still run there"


@pytest.mark.parametrize(
    ("experts", "capability", "refused"),
    [
        ("grouped_mm", (8, 0), "cards before Hopper"),
        ("grouped_mm", (9, 0), None),
        ("batched_mm", (8, 0), None),
        ("eager", (9, 0), "on the host"),
    ],
)
def test_experts_are_recorded_where_they_can_be(
    experts: str, capability: tuple[int, int], refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    model = tiny_model("mixtral")
    model.set_experts_implementation(experts)
    found = refusal(model, torch.device("cuda"))
    assert found is None if refused is None else refused in str(found)


def test_a_replay_that_differs_falls_back(
    tiny_worker: Loader, on_recorder: type[RecordedOperations], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=16)
    engine = fixed(worker)
    expected = tokens(worker)
    engine._recorded.clear()
    monkeypatch.setattr(RecordedOperations, "spoil", True)
    assert tokens(worker) == expected
    assert "differs" in engine.decoding
    assert engine.decoding.startswith(EAGER)


def test_a_capture_that_fails_falls_back_and_says_why(
    tiny_worker: Loader, on_recorder: type[RecordedOperations], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=16)
    engine = fixed(worker)
    expected = tokens(worker)

    def broken(self: RecordedOperations, step: Callable[[], None]) -> None:
        step()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    engine._recorded.clear()
    monkeypatch.setattr(RecordedOperations, "capture", broken)
    assert tokens(worker) == expected
    assert engine.decoding == "eager: a step cannot be recorded (operation not permitted when stream is capturing)"


def test_out_of_memory_while_recording_is_not_swallowed() -> None:
    def full() -> RecordedOperations:
        raise torch.OutOfMemoryError("simulated")

    state = torch.zeros(2)
    with pytest.raises(torch.OutOfMemoryError):
        recorded(lambda: None, [state], lambda: [state], full)


def test_recording_leaves_the_state_as_it_was() -> None:
    state, result = torch.zeros(3), torch.zeros(3)

    def step() -> None:
        state.add_(1)
        result.copy_(state * 2)

    outcome = recorded(step, [state], lambda: [result], RecordedOperations)
    assert isinstance(outcome, Recorded)
    assert outcome.mode == GRAPH
    assert outcome.replay is not None
    assert torch.equal(state, torch.zeros(3))
    outcome.replay()
    outcome.replay()
    assert torch.equal(state, torch.full((3,), 2.0))
    assert torch.equal(result, torch.full((3,), 4.0))


def test_bits_are_compared_not_values() -> None:
    nan = torch.tensor([float("nan"), 1.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert same_bits(torch.tensor([True]), torch.tensor([True]))
    assert not same_bits(torch.zeros(1), torch.zeros(2))


def test_what_is_not_recorded_says_so(tiny_worker: Loader) -> None:
    assert "not on CUDA" in str(refusal(tiny_model("llama"), torch.device("cpu")))
    assert refusal(tiny_model("llama"), torch.device("cuda")) is None
    quantized = tiny_worker("llama", "float32", "int8")._held().model
    assert "INT8" in str(refusal(quantized, torch.device("cuda")))


def test_a_dead_device_while_recording_is_not_swallowed() -> None:
    def dead() -> RecordedOperations:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    state = torch.zeros(2)
    with pytest.raises(torch.AcceleratorError):
        recorded(lambda: None, [state], lambda: [state], dead)
