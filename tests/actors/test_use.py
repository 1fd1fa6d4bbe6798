"""What a worker says of its memory and its GPU: measured, seldom, and between the results of a task."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from actors.boundary import Generate, Load, perform
from actors.types import Decoding, EngineOptions, GenerationJob, ModelSpec, Prompt, Resources
from actors.use import USE_SECONDS, Use, UseMeter, use_now
from tests.fakes import FakeWorker

GENERATE = Generate(tuple(GenerationJob(f"cell-{n}", (Prompt("p", "hello"),), Decoding(8), None) for n in range(3)))


class Clock:
    """Stands still unless it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def resident_by_the_kernel() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cuda(busy: float | Exception | None = None, **more: object) -> SimpleNamespace:
    """A torch that holds 3 GiB on a GPU of 80."""

    def utilization() -> float:
        if isinstance(busy, Exception):
            raise busy
        assert busy is not None
        return busy

    device = {
        "is_initialized": lambda: True,
        "memory_allocated": lambda: 3 * 2**30,
        "memory_reserved": lambda: 4 * 2**30,
        "max_memory_allocated": lambda: 5 * 2**30,
        "current_device": lambda: 0,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=80 * 2**30),
        "utilization": utilization,
    }
    return SimpleNamespace(cuda=SimpleNamespace(**{**device, **more}))


@pytest.fixture
def no_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


class Refused(Exception):
    """What the management library raises."""


@pytest.fixture
def bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=Refused))


def test_memory_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    before = use_now()
    assert before.resident == pytest.approx(resident_by_the_kernel(), rel=0.05)
    held = np.ones(64 * 2**20, dtype=np.uint8)
    assert use_now().resident - before.resident == pytest.approx(held.nbytes, rel=0.2)
    assert (before.gpu_allocated, before.gpu_reserved, before.gpu_peak, before.gpu_total, before.gpu_busy) == (None,) * 5


def test_a_gpu_that_nobody_uses_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", cuda(is_initialized=lambda: False))
    assert use_now().gpu_allocated is None


@pytest.mark.usefixtures("no_bindings")
def test_a_gpu_in_use_tells_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", cuda())
    found = use_now()
    assert (found.gpu_allocated, found.gpu_reserved, found.gpu_peak, found.gpu_total) == (3 << 30, 4 << 30, 5 << 30, 80 << 30)
    assert found.gpu_busy is None


@pytest.mark.usefixtures("bindings")
@pytest.mark.parametrize(("said", "share"), [(87.0, 0.87), (Refused("not supported"), None), (RuntimeError("no driver"), None)])
def test_how_busy_it_is_where_that_can_be_known(monkeypatch: pytest.MonkeyPatch, said: float, share: float | None) -> None:
    monkeypatch.setitem(sys.modules, "torch", cuda(said))
    assert use_now().gpu_busy == share


def test_it_is_told_once_and_again_when_the_time_has_passed() -> None:
    clock = Clock()
    meter = UseMeter(clock)
    assert len(list(meter.due())) == 1
    clock.now += USE_SECONDS - 0.1
    assert list(meter.due()) == []
    clock.now += 0.1
    assert len(list(meter.due())) == 1
    assert list(meter.due()) == []


def test_it_comes_between_results_and_over_tasks() -> None:
    clock, worker = Clock(), FakeWorker()
    meter = UseMeter(clock)
    load = Load("v", ModelSpec("folder", "f"), EngineOptions(), Resources())
    kinds = [type(one).__name__ for one in perform(lambda: worker, load, meter)]
    assert kinds == ["ModelInfo", "Use"]
    kinds = []
    for outcome in perform(lambda: worker, GENERATE, meter):
        kinds.append(type(outcome).__name__)
        clock.now += USE_SECONDS / 2
    assert kinds == ["Answered", "Answered", "Use", "Answered", "Use"], "five seconds after each other"


def test_without_a_meter_nothing_is_told() -> None:
    worker = FakeWorker()
    worker.load(ModelSpec("folder", "f"), EngineOptions())
    assert not any(isinstance(one, Use) for one in perform(lambda: worker, GENERATE))
