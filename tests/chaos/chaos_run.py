"""One run of a sweep with its faults: starts the driver, strikes when the moment has come, starts the driver again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from orchestrator.logs.entries import log_files
from tests.chaos.cluster import ROOT, SimulatedCluster
from tests.chaos.faults import Fault
from tests.chaos.sweep import Asked
from tests.chaos.watch import BUSY, Phase, Watch

LOOK_SECONDS = 0.01
PATIENCE_SECONDS = 300.0
"""A run that takes longer hangs."""

INTERRUPTED = 130
NEARLY_DONE = 0.9
"""A driver that has so many of its cells may be past its last wait when a signal reaches it."""


@dataclass
class Strike:
    """A fault that has struck: in which phase its victim was, and in words what happened."""

    fault: Fault
    phase: Phase
    seconds: float
    told: str

    @property
    def hit(self) -> bool:
        """Whether the victim was at work."""
        return self.phase in BUSY


@dataclass
class Story:
    """How a run went. ``exits``: the exit codes of its drivers, negative for a signal."""

    planned: list[Fault]
    strikes: list[Strike] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    lost: Counter[Phase] = field(default_factory=Counter)
    again: int = 0
    """Cells that were handed out more than once."""
    seconds: float = 0.0
    output: str = ""

    def told(self) -> str:
        """All of it, for whoever has to find out what went wrong."""
        lines = [f"{strike.seconds:7.2f} s  {strike.told}" for strike in self.strikes]
        planned = "\n".join(f"  {fault}" for fault in self.planned)
        return "\n".join(["planned:", planned, "struck:", *lines, f"exit codes: {self.exits}", self.output])


class ChaosError(AssertionError):
    """A run that did not go on as it should."""


class ChaosRun:
    """Runs ``asked`` into ``results`` on ``cluster``; ``faults`` strike as soon as they are due; ``seed`` chooses the victims."""

    def __init__(self, cluster: SimulatedCluster, asked: Asked, results: Path, faults: list[Fault], seed: int = 0) -> None:
        self._cluster, self._asked, self._results = cluster, asked, results
        self._command = ["run", str(asked.path), "--results", str(results), "--quiet"]
        self._rng = random.Random(-seed - 1)
        self._watch = Watch(results, asked.cells)
        self._waiting = list(faults)
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._log = results.with_suffix(".driver.log")
        self._driver: subprocess.Popen[bytes] | None = None
        self._interrupted = self._start_again_after = 0.0
        self._may_end: tuple[int, ...] = (0,)
        self._children: list[psutil.Process] = []
        self._since: dict[Phase, float] = {}
        """Since when each phase goes on, or since the last strike."""
        self._began = time.monotonic()
        self.story = Story(list(faults))

    def run(self) -> Story:
        """To the end of the sweep; ``ChaosError`` when it hangs or ends in another way than it should."""
        try:
            self._start_driver()
            while not self._is_over():
                self._look()
                time.sleep(LOOK_SECONDS)
        finally:
            self._finish()
        return self.story

    # ---- the driver --------------------------------------------------------------------------------------------

    def _start_driver(self) -> None:
        command = [sys.executable, "-m", "orchestrator", *self._command]
        options: dict[str, Any] = {"cwd": ROOT, "env": self._cluster.environment(), "stdin": subprocess.DEVNULL}
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it must not ignore what tests in the background do
        try:
            with self._log.open("ab") as log:
                self._driver = subprocess.Popen(command, stdout=log, stderr=log, **options)
        finally:
            signal.signal(signal.SIGINT, before)
        self._may_end = (0,)

    def _is_over(self) -> bool:
        """Whether the sweep is; a driver that was made to end is started again."""
        if time.monotonic() - self._began > PATIENCE_SECONDS:
            raise ChaosError(f"the run hangs\n{self.told()}")
        if self._driver is None or (code := self._driver.poll()) is None:
            return False
        self._watch.driver_is_gone()
        self.story.exits.append(code)
        self._driver = None
        if code not in self._may_end:
            raise ChaosError(f"exit code {code}, expected one of {self._may_end}\n{self.told()}")
        if code == 0:
            return True
        self._later.append((time.monotonic() + self._start_again_after, self._start_driver))
        return False

    # ---- faults ------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._watch.look()
        now = time.monotonic()
        for due in [one for one in self._later if one[0] <= now]:
            self._later.remove(due)
            due[1]()
        phases = self._watch.phases()
        self._since = {phase: self._since.get(phase, now) for phase in phases}
        if self._driver is not None and self._may_end == (0,):
            fault = next((fault for fault in self._waiting if self._is_due(fault, now)), None)
            if fault is not None:
                self._strike(fault)

    def _is_due(self, fault: Fault, now: float) -> bool:
        if fault.phase == "generate":
            return "generate" in self._since and self._watch.share_done >= fault.share
        return fault.phase in self._since and now - self._since[fault.phase] >= fault.seconds

    def _strike(self, fault: Fault) -> None:
        strike = {
            "kill worker": self._kill_worker,
            "kill node": self._kill_node,
            "add node": self._add_node,
            "kill driver": self._kill_driver,
            "interrupt driver": self._interrupt_driver,
            "freeze worker": self._freeze_worker,
        }[fault.kind]
        found = strike(fault)
        if found is None:
            return  # nobody there to be hit yet
        phase, told = found
        self._waiting.remove(fault)
        self._since = {}
        self.story.strikes.append(Strike(fault, phase, time.monotonic() - self._began, f"{fault.kind} in {phase}: {told}"))

    def _victim(self, fault: Fault) -> int | None:
        """The process of a worker that is in the fault's phase; None when there is none (yet)."""
        doing = [one for one in self._watch.workers.values() if one.phase == fault.phase]
        fitting = [one.pid for one in doing if one.pid is not None and _is_worker(one.pid)]
        if not fitting and fault.phase == "load":  # one that loads its first model has not said yet which process it is
            pids = [pid for there in self._cluster.workers().values() for pid in there]
            fitting = [pid for pid in pids if self._watch.phase_of(pid) == "load"]
        return self._rng.choice(fitting) if fitting else None

    def _kill_worker(self, fault: Fault) -> tuple[Phase, str] | None:
        victim = self._victim(fault)
        if victim is None:
            return None
        _signal(victim, signal.SIGKILL)
        return fault.phase, f"process {victim}"

    def _freeze_worker(self, fault: Fault) -> tuple[Phase, str] | None:
        victim = self._victim(fault)
        if victim is None:
            return None
        _signal(victim, signal.SIGSTOP)
        self._later.append((time.monotonic() + fault.lasts, lambda: _signal(victim, signal.SIGCONT)))
        return fault.phase, f"process {victim}, for {fault.lasts:.1f} s"

    def _kill_node(self, fault: Fault) -> tuple[Phase, str] | None:
        victim = self._victim(fault)
        node = next((node for node, pids in self._cluster.workers().items() if victim in pids), None) if victim else None
        if node is None:
            return None
        killed = self._cluster.kill_node(node)
        self._later.append((time.monotonic() + fault.lasts, self._replace_node))
        return fault.phase, f"node {node} with workers {killed}, to be replaced after {fault.lasts:.1f} s"

    def _replace_node(self) -> None:
        self._cluster.add_node()

    def _add_node(self, fault: Fault) -> tuple[Phase, str]:
        return fault.phase, f"node {self._cluster.add_node()}"

    def _kill_driver(self, fault: Fault) -> tuple[Phase, str]:
        assert self._driver is not None
        self._ends_soon(fault, -signal.SIGKILL)
        self._driver.kill()
        return self._phase_now(fault), f"process {self._driver.pid}, started again after {self._start_again_after:.1f} s"

    def _interrupt_driver(self, fault: Fault) -> tuple[Phase, str]:
        assert self._driver is not None
        number = signal.Signals[fault.signal]
        phase = self._phase_now(fault)
        # before it listens, and once nothing is left to interrupt, a signal ends it as it ends any process, or not at all
        listens = phase in BUSY and self._watch.share_done < NEARLY_DONE
        ends = (INTERRUPTED,) if listens else (INTERRUPTED, -number, 0)
        self._ends_soon(fault, *ends)
        self._driver.send_signal(number)
        return phase, f"process {self._driver.pid} by {fault.signal}, started again after {self._start_again_after:.1f} s"

    def _ends_soon(self, fault: Fault, *codes: int) -> None:
        assert self._driver is not None
        self._children += psutil.Process(self._driver.pid).children(recursive=True)
        self._may_end, self._start_again_after = codes, min(fault.lasts, 3.0)

    def _phase_now(self, fault: Fault) -> Phase:
        phases = self._watch.phases()
        return fault.phase if fault.phase in phases else next(iter(phases))

    # ---- the end -----------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Nothing stays frozen or killed, whatever happened; what is left is told."""
        if self._driver is not None:
            self._driver.kill()
            self._driver.wait()
        for _, restore in self._later:
            if restore != self._start_driver:
                restore()
        self._watch.look()
        self.story.lost = Counter(phase for phase, _ in self._watch.lost)
        self.story.again = self._watch.submitted - self._asked.cells
        self.story.seconds = time.monotonic() - self._began
        self.story.output = self._said()

    def told(self) -> str:
        """The story so far, with what the drivers said and wrote down, but for the cells that were done."""
        self.story.output = self._said()
        return self.story.told()

    def last_words(self) -> str:
        """What the drivers have printed in the end."""
        return self._log.read_text(errors="replace")[-2000:]

    def _said(self) -> str:
        events = [line for path in log_files(self._results / "logs") for line in path.read_text().splitlines()]
        kept = [line[:400] for line in events if '"event": "done"' not in line]
        return "\n".join(["drivers:", self._log.read_text(errors="replace")[-6000:], "events:", *kept[-120:]])

    def orphans(self, seconds: float) -> list[str]:
        """What of the drivers and their workers still runs ``seconds`` after the end."""
        _, alive = psutil.wait_procs(self._children, timeout=seconds)
        workers = self._cluster.no_workers_within(seconds)
        named = [one for one in psutil.process_iter(["cmdline"]) if str(self._results) in " ".join(one.info["cmdline"] or ())]
        return [*(f"child of a driver: {one}" for one in alive), *(f"worker: {one}" for one in workers.items()), *map(str, named)]


def _is_worker(pid: int) -> bool:
    try:
        return " ".join(psutil.Process(pid).cmdline()).startswith("ray::RemoteWorker")
    except psutil.Error:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    """To a worker only: another process may have got its number."""
    if _is_worker(pid):
        with suppress(ProcessLookupError):
            os.kill(pid, number)
