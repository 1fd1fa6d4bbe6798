"""What measuring damage adds to the quickstart, as a share of the processor's seconds that the whole command takes without it.

``python -m benchmarks.damage_cost``. Each round is a process of its own that runs the quickstart with ``damage: true`` in an
empty results folder, and clocks what its worker does: so what damage takes and what all the rest takes are parts of one run, and
their ratio does not rest on the difference of two runs, which differ by more. Then the same worker measures the run's very damage
jobs under other settings, and the driver runs alone, with damage and without, beside a worker that only repeats what it gave.
Seconds of a processor, not of a clock: the machines are shared. ``--json FILE`` keeps the rounds and goes on with those that the
file has; ``--seconds`` ends a call before a round that would not fit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml
from rich.console import Console

from actors.boundary import Answered, Ask, Outcome, Task, item_ids
from actors.damage import DamageMeter
from actors.library_settings import start_again
from actors.types import DamageJob, Failure, ModelInfo
from actors.worker import ModelWorker
from orchestrator.pool import POOLS, Event, Pool, PoolOptions, TaskDone, WorkerGave
from orchestrator.pool.local import LocalPool
from orchestrator.run import RunOptions, prepare, run_sweep
from orchestrator.statistics import mean_of

QUICKSTART = Path(__file__).parents[1] / "sweeps" / "quickstart.yaml"
COMMAND, DRIVER, TRUE = "the whole command without damage", "the driver, for damage: true", "damage: true"
SETTINGS: dict[str, Callable[[DamageJob], DamageJob]] = {
    "8 prompts x 4 tokens, no answers": lambda job: replace(job, answers=()),
    "4 prompts x 4 tokens, no answers": lambda job: replace(job, neutral=job.neutral[:4], answers=()),
    "8 prompts x 4 tokens, first 8 of answers": lambda job: replace(job, answers=tuple((p, t[:8]) for p, t in job.answers)),
}
"""Beside ``damage: true``, which is 8 prompts x 4 tokens and all of the answers. The second is what the quickstart asks for."""
WITHOUT_ANSWERS = next(iter(SETTINGS))


def sweep_with(damage: bool, results: Path) -> dict[str, object]:
    """The quickstart in this process's own pool, with ``damage: true`` or without any, its results in ``results``; it may lie in
    any folder."""
    sweep = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    for one in sweep["models"].values():
        one["adapter"] = str(QUICKSTART.parent / one["adapter"])
    for one in sweep["behaviors"].values():
        one["file"] = str(QUICKSTART.parent / one["file"])
    return {**sweep, "damage": damage, "pool": "local", "results": str(results)}


class RecordingPool(LocalPool):
    """The pool of this process. It keeps what its worker was asked and what that gave for each item, and adds up the processor
    ``seconds`` of its tasks by what they ask for; the worker keeps its model when the run has ended."""

    def __init__(self, options: PoolOptions) -> None:
        super().__init__(options)
        self.tasks: list[Task] = []
        self.given: dict[str, Outcome] = {}
        self.seconds: dict[str, float] = defaultdict(float)

    def submit(self, worker: str, task: Task) -> None:
        """Keep it."""
        self.tasks.append(task)
        super().submit(worker, task)

    def next_event(self, timeout: float | None) -> Event | None:
        """Clock it."""
        before = time.process_time()
        event = super().next_event(timeout)
        if self.tasks:
            task = self.tasks[-1]
            self.seconds[task.what if isinstance(task, Ask) else type(task).__name__] += time.process_time() - before
        match event:
            case WorkerGave(outcome=Answered(item_id=item_id) as outcome):
                self.given[item_id] = outcome
            case WorkerGave(outcome=ModelInfo() as outcome):
                self.given[item_ids(self.tasks[-1])[0]] = outcome
        return event

    def release(self, worker: str) -> None:
        """The worker keeps its model."""

    def close(self) -> None:
        """The worker goes on."""

    def damage_seconds(self, setting: Callable[[DamageJob], DamageJob]) -> float:
        """Of a processor, to measure the damage of the run under ``setting``, by a worker that has measured none before."""
        worker = self._worker()
        assert isinstance(worker, ModelWorker)
        loaded, engine = worker._loaded, worker._engine
        assert loaded is not None
        assert engine is not None
        worker._damage = DamageMeter(loaded, engine)
        jobs = [job for task in self.tasks if isinstance(task, Ask) for job in task.jobs if isinstance(job, DamageJob)]
        before = time.process_time()
        for outcome in worker.damage([setting(job) for job in jobs]):
            if isinstance(outcome, Failure):
                raise RuntimeError(outcome.message)
        return time.process_time() - before


class RepeatingPool(LocalPool):
    """A pool whose worker gives at once what is ``given`` for each item."""

    def __init__(self, options: PoolOptions, given: Mapping[str, Outcome]) -> None:
        super().__init__(options)
        self._given = given
        self._events: Iterator[Event] = iter(())

    def submit(self, worker: str, task: Task) -> None:
        """All of it is there."""
        outcomes = [WorkerGave(worker, self._given[item_id]) for item_id in item_ids(task)]
        self._events = iter([*outcomes, TaskDone(worker)])

    def next_event(self, timeout: float | None) -> Event | None:
        """The next one."""
        return None if timeout == 0 else next(self._events, None)


def run(pool: Callable[[PoolOptions], Pool], damage: bool = True) -> float:
    """Processor seconds that the run of the quickstart takes in this process, in an empty results folder."""
    POOLS["measured"] = pool
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep_with(damage, Path(folder) / "results")), encoding="utf-8")
        before = time.process_time()
        summary = run_sweep(prepare(file), RunOptions(pool="measured", quiet=True), Console(quiet=True))
        took = time.process_time() - before
    if summary.exit_code:
        raise RuntimeError(f"the quickstart {summary.ended}: {summary.message or summary.failures}")
    return took


def one_round() -> dict[str, float]:
    """Seconds of the whole command without damage, of the tasks in it, of the driver and of every setting, by a process that has
    done nothing yet."""
    pools: list[RecordingPool] = []

    def recording(options: PoolOptions) -> Pool:
        pools.append(RecordingPool(options))
        return pools[-1]

    run(recording)
    whole, pool = time.process_time(), pools[0]  # the imports before it too
    tasks = dict(pool.seconds)
    damage = tasks.pop("damage")
    settings = {name: pool.damage_seconds(setting) for name, setting in SETTINGS.items()}

    def repeating(options: PoolOptions) -> Pool:
        return RepeatingPool(options, pool.given)

    driver = run(repeating) - run(repeating, damage=False)
    return {COMMAND: whole - damage - driver, **tasks, DRIVER: driver, TRUE: damage, **settings}


def main() -> None:
    """Measure, print a line for each part, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="at most so many in this call")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="so long by the clock at most")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help="a single round, told as JSON")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one_round()))
        return
    started, longest = time.monotonic(), 0.0
    rounds = json.loads(options.json.read_text()) if options.json and options.json.exists() else []
    for _ in range(options.rounds):
        before = time.monotonic()
        if before + longest > started + options.seconds:
            break
        command = [sys.executable, "-m", "benchmarks.damage_cost", "--one"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=QUICKSTART.parents[1])
        rounds.append(json.loads(done.stdout.splitlines()[-1]))
        longest = max(longest, time.monotonic() - before)
        if options.json:
            options.json.write_text(json.dumps(rounds, indent=1))
    print("\n".join(told(rounds)))


def told(rounds: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """The seconds of the whole command, then a line for the driver, each setting, and the answers' part of ``damage: true``: the
    median of its seconds, and the mean share of the command's in the same round, with its 95 % interval. What the driver does
    more is counted with every setting."""
    spent = [one[COMMAND] for one in rounds]
    yield f"{COMMAND}: {statistics.median(spent):.1f} s [{min(spent):.1f}, {max(spent):.1f}] in {len(rounds)} rounds"
    parts = {DRIVER: [one[DRIVER] for one in rounds]}
    parts |= {name: [one[name] + one[DRIVER] for one in rounds] for name in (TRUE, *SETTINGS)}
    parts["of damage: true, the answers"] = [one[TRUE] - one[WITHOUT_ANSWERS] for one in rounds]
    for name, seconds in parts.items():
        shares = [100 * part / whole for part, whole in zip(seconds, spent, strict=True)]
        share = mean_of(shares, [str(number) for number in range(len(shares))])
        interval = "" if share.low is None else f" [{share.low:.1f}, {share.high:.1f}]"
        yield f"{name}: {statistics.median(seconds):.2f} s, {share.value:.1f} %{interval}"


if __name__ == "__main__":
    start_again()
    main()
