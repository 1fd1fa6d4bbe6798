"""All checks in parts, and each part in a process that others do not need: whatever kills one, the next runs in a new one.

A process goes on from part to part, as it takes long to start; one whose CUDA context is dead, that hangs or that is killed is
given up with the part that it was at.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from actors.faults import Fault, fault_of
from benchmarks.gpu import families, numerics, speed
from benchmarks.gpu.findings import Finding, Findings
from benchmarks.gpu.machine import Body, Machine

LOOKED = 0.2
"""Seconds between two looks at what a process has written."""
PART_SECONDS = 240
"""A part that takes longer is given up."""


def parts(quick: bool) -> dict[str, Body]:
    """Every part by its name, ``check`` or ``check: what of it``, in their order."""
    return {**numerics.PARTS, **families.parts(quick), **speed.PARTS, **numerics.LAST}


def chosen(quick: bool, only: Sequence[str]) -> list[str]:
    """The parts that ``only`` names, each by its own name or its check's; all where it names none."""
    return [name for name in parts(quick) if not only or name in only or name.partition(":")[0] in only]


def run_here(machine: Machine, names: Sequence[str], found: Findings, journal: Path | None = None) -> bool:
    """Run parts in this process; False where its CUDA context died of one, and those after it did not run. ``journal``: what is
    found and which part is at hand is written there, a JSON document a line."""
    told = partial(_write, journal)
    found.heard = lambda finding: told({"finding": asdict(finding)})
    bodies = parts(machine.quick)
    for name in names:
        told({"begun": name})
        error = found.section(name, partial(bodies[name], machine, found))
        told({"ended": name})
        dead = error is not None and fault_of(error) is Fault.DEVICE
        del error  # its frames hold what is on the card
        if dead or found.section(f"{name}: giving memory back", machine.clear) is not None:
            return False
    return True


def run_apart(program: Sequence[str], names: Sequence[str], found: Findings, seconds: float) -> None:
    """Run parts in processes of their own, for so many seconds in all; ``program`` is a command that does as
    :func:`run_here` does with the parts that ``--only`` names and the file that ``--journal`` names."""
    left, until = list(names), time.monotonic() + seconds
    while left and time.monotonic() < until:
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal"
            journal.touch()
            command = [*program, "--journal", str(journal), "--only", *left]
            follower = _Follower(left, found)
            code = follower.follow(command, journal, until)
        left = follower.left
        if follower.at:
            found.check(follower.at, False, f"its process {code}; the parts after it run in a new one")
        elif left and not follower.ended:
            found.check("process", False, f"a process that was to run {left[0]} {code} before it began")
            break
    for name in left:
        found.check(name, False, "did not run")


class _Follower:
    """What a process has done of the parts ``left``: ``ended`` are those it is through with, ``at`` is the one at hand."""

    def __init__(self, left: list[str], found: Findings) -> None:
        self.left, self._found = left, found
        self.ended, self.at, self._since, self._read = 0, "", 0.0, 0

    def follow(self, command: Sequence[str], journal: Path, until: float) -> str:
        """Wait for the process; says how it ended, empty where it did so by itself and well."""
        process = subprocess.Popen(command)
        try:
            while process.poll() is None:
                time.sleep(LOOKED)
                self._look(journal)
                if time.monotonic() > until:
                    return "was ended, as the time for all parts was over"
                if self.at and time.monotonic() - self._since > PART_SECONDS:
                    return f"took more than {PART_SECONDS} s for it and was ended"
        finally:
            process.kill()
            process.wait()
            self._look(journal)
        return f"ended with exit code {process.returncode}" if process.returncode else ""

    def _look(self, journal: Path) -> None:
        lines = journal.read_text().split("\n")[:-1]  # the last is empty, or not whole yet
        for line in lines[self._read :]:
            self._take(json.loads(line))
        self._read = len(lines)

    def _take(self, entry: dict[str, Any]) -> None:
        if "finding" in entry:
            self._found.take_over(Finding(**entry["finding"]))
            return
        if "begun" in entry:
            self.at, self._since = entry["begun"], time.monotonic()
            self.left.remove(self.at)
        else:
            self.at, self.ended = "", self.ended + 1


def _write(journal: Path | None, entry: dict[str, Any]) -> None:
    if journal is not None:
        with journal.open("a") as file:
            file.write(json.dumps(entry) + "\n")
