from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil
import pytest

from benchmarks.machine import SPINNING, CpuClock, one_core_busy, product_rate
from benchmarks.timing import Plan, Work, interleave


@dataclass
class Fake:
    name: str
    calls: list[tuple[str, int]]
    seconds: float | None = 2.0

    def run(self, round_number: int) -> Work:
        self.calls.append((self.name, round_number))
        return Work(rows=3, new_tokens=30, seconds=self.seconds)


def machine_with(monkeypatch: pytest.MonkeyPatch, others: Sequence[float]) -> None:
    """Each timed run takes one second, in which others keep ``others[i]`` cores busy (afterwards: none)."""
    clocks: Iterator[CpuClock] = iter(
        clock for load in (*others, *[0.0] * 50) for clock in (CpuClock(0.0, 0.0, 0.0), CpuClock(1.0, load + 0.5, 0.5))
    )
    monkeypatch.setattr(CpuClock, "now", lambda: next(clocks))


def test_rounds_are_interleaved(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [])
    calls: list[tuple[str, int]] = []
    done = interleave([Fake("a", calls), Fake("b", calls)], Plan(rounds=3))
    assert calls == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert len(done.kept) == 3
    assert (done.set_aside, done.disturbed) == ((), 0)


def test_a_round_to_begin_with_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [])
    calls: list[tuple[str, int]] = []
    done = interleave([Fake("a", calls), Fake("b", calls)], Plan(rounds=1, warm=True))
    assert calls == [("a", 0), ("b", 0), ("a", 0), ("b", 0)]
    assert len(done.kept) == 1


def test_a_disturbed_round_is_set_aside_whole_and_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [0.0, 1.0])
    calls: list[tuple[str, int]] = []
    done = interleave([Fake("a", calls), Fake("b", calls)], Plan(rounds=2))
    assert calls == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert [sample.others for sample in done.set_aside[0].values()] == [0.0, 1.0]
    assert [sample.others for sample in done.samples("b")] == [0.0, 0.0]


def test_without_spares_disturbed_rounds_are_kept_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [1.0] * 3)
    done = interleave([Fake("a", [])], Plan(rounds=2, spare=1))
    assert (len(done.kept), len(done.set_aside), done.disturbed) == (2, 1, 2)


def test_a_round_in_which_the_machine_changed_its_speed_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [])
    rates = iter([200.0, 190.0, 185.0, 90.0, 95.0, 100.0, 104.0, 110.0])
    done = interleave([Fake("a", []), Fake("b", [])], Plan(rounds=1, probe=lambda: next(rates)))
    assert [sample.rates for sample in done.set_aside[0].values()] == [(200.0, 190.0), (185.0, 90.0)]
    assert [sample.rates for sample in done.kept[0].values()] == [(95.0, 100.0), (104.0, 110.0)]
    assert done.disturbed == 0


def test_the_machine_s_products_are_counted() -> None:
    began = time.perf_counter()
    rate = product_rate(0.05)
    took = time.perf_counter() - began
    assert 2 * 1024**3 / took / 1e9 <= rate < 1e6  # one product at least was made, and no machine makes a petaflop


def test_speeds_come_from_the_contenders_own_clock_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, [])
    sample = interleave([Fake("a", [])], Plan(rounds=1)).samples("a")[0]
    assert (sample.tokens_per_second, sample.rows_per_second) == (15.0, 1.5)
    # The fake machine gives us half a second of processor time per run.
    assert (sample.cpu_seconds, sample.tokens_per_cpu_second) == (0.5, 60.0)


def test_others_are_everyone_less_ourselves() -> None:
    before, after = CpuClock(10.0, 100.0, 50.0), CpuClock(14.0, 108.0, 55.0)
    assert after.others_since(before) == pytest.approx((8 - 5) / 4)
    # The machine's clock ticks coarsely: never less than none.
    assert CpuClock(11.0, 100.0, 51.0).others_since(before) == 0.0


def test_the_real_clock_does_not_run_backwards() -> None:
    before = CpuClock.now()
    sum(range(10_000))
    after = CpuClock.now()
    assert after.wall > before.wall
    # Fine enough for a run of microseconds: a coarse clock would divide by nothing.
    assert after.ours > before.ours
    assert after.everyone >= before.everyone


def test_the_busy_process_is_one_of_the_others_and_ends_with_the_block() -> None:
    before = CpuClock.now()
    with one_core_busy():
        (busy,) = (child for child in psutil.Process().children() if child.cmdline()[1:][:2] == ["-c", SPINNING])
        while busy.cpu_times().user < 0.2:
            time.sleep(0.02)
        assert CpuClock.now().ours - before.ours < 0.2
    assert not busy.is_running()


def test_the_busy_process_ends_with_a_benchmark_that_is_killed() -> None:
    program = (
        "import os, signal\nfrom benchmarks.machine import one_core_busy\nwith one_core_busy(): print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as benchmark:
        assert benchmark.stdout is not None
        benchmark.stdout.readline()
        (busy,) = psutil.Process(benchmark.pid).children()
        benchmark.kill()
    busy.wait(60)
