"""The simulated cluster as the tests see it: a process that is told to add and to kill nodes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
NODES = 2
"""How many nodes a run begins with; each holds one worker."""


class SimulatedCluster:
    """A Ray cluster of ``NODES`` nodes beside a head. While entered it runs; afterwards nothing of it is left."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))  # short: the paths of sockets are limited
        self._process: subprocess.Popen[str] | None = None
        self._log = self._folder / "cluster.log"
        self.address = ""

    def __enter__(self) -> SimulatedCluster:
        command = [sys.executable, "-m", "tests.chaos.cluster_process"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=self.environment(), cwd=ROOT, stderr=log, start_new_session=True, **pipes
            )
        self.address = str(self._answer()["address"])
        self.restore()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        started = psutil.Process(self._process.pid).children(recursive=True)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for process in started:
            if process.is_running():
                process.kill()
        psutil.wait_procs(started, timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """The variables for whoever belongs to this cluster: nobody else finds it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "WANDB_"))}
        joining = {"RAY_ADDRESS": self.address} if self.address else {}
        return {
            **kept,
            **joining,
            "RAY_TMPDIR": str(self._folder),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
            "CUDA_VISIBLE_DEVICES": "-1",
            "OMP_WAIT_POLICY": "passive",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }

    def workers(self) -> dict[int, list[int]]:
        """The process ids of the workers on each node."""
        return {int(number): pids for number, pids in self._ask("about")["nodes"].items()}

    def add_node(self) -> int:
        """Another node joins; its number."""
        return int(self._ask("add")["node"])

    def kill_node(self, number: int) -> list[int]:
        """A node is gone, with its workers, whose process ids are returned."""
        return list(self._ask("kill", node=number)["workers"])

    def restore(self) -> None:
        """Back to ``NODES`` nodes, whatever was killed or added."""
        nodes = sorted(self.workers())
        for number in nodes[NODES:]:
            self.kill_node(number)
        for _ in range(NODES - len(nodes)):
            self.add_node()

    def no_workers_within(self, seconds: float) -> dict[int, list[int]]:
        """Wait until no node has a worker; what is left after so long."""
        until = time.monotonic() + seconds
        while any(left := self.workers().values()) and time.monotonic() < until:
            time.sleep(0.2)
        return {number: pids for number, pids in self.workers().items() if pids} if any(left) else {}

    def _ask(self, do: str, **what: object) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulated cluster has ended:\n{self._log.read_text()[-4000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer
