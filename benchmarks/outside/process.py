"""Contenders in another process: it loads its model once, then each line we write makes one run and answers one line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from actors.environments import EnvironmentUnavailableError
from actors.library_settings import AT_START
from actors.types import Steering
from benchmarks.outside.ends_with_parent import start
from benchmarks.peers import some_cells
from benchmarks.timing import Key, Work
from benchmarks.workload import Bench, Workload

MARK = "@@"
"""Begins the lines that are ours: libraries print what they like."""
EXTRA_BYTES = 8 * 2**30
"""What a process needs on a GPU besides weights and the keys and values of its rows."""
CAUSE = re.compile(r"\b\w+(?:Error|Exception|Exit): .+")
"""What tells in a log why a process ended."""


@dataclass
class OutsideProcess:
    """Runs ``command``, which ends with the benchmark, however that ends; a context manager.

    ``runs``: the workloads of each of its contenders, by the contender's name; cells of one name are one cell.
    ``fraction``: see :class:`benchmarks.peers.PerCell`. ``steered``: whether the script steers; vLLM does not. ``large_pages``:
    whether it begins with the setting of the C library with which the engine's workers do; its own users' processes do not.
    """

    name: str
    command: Sequence[str]
    bench: Bench
    runs: Mapping[str, Sequence[Workload]]
    fraction: float = 1.0
    steered: bool = True
    large_pages: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _life: IO[bytes] | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def contenders(self) -> list[ProcessContender]:
        """One per run."""
        return [ProcessContender(name, self, workloads) for name, workloads in self.runs.items()]

    def __enter__(self) -> OutsideProcess:
        """Start it and wait until its model is loaded; ``EnvironmentUnavailableError`` with its reason when it fails."""
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        folder = Path(self._folder.name)
        write_job(folder, self.bench, self.runs, steered=self.steered)
        log = (folder / "stderr").open("w", encoding="utf-8")
        environment = {name: value for name, value in os.environ.items() if name not in AT_START}
        environment |= AT_START if self.large_pages else {}
        try:
            self._process, self._life = start(
                [*self.command, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=environment,
            )
            self.about = {key: str(value) for key, value in self._answer().items()}
        except BaseException:
            self.__exit__(None, None, None)
            raise
        finally:
            log.close()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End the process, with all that it started, and remove what it was given."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=30)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._life is not None:
            self._life.close()
        if self._folder is not None:
            self._folder.cleanup()

    def answer(self, rows: Sequence[Key]) -> Work:
        """One run over ``rows``; seconds are the script's own, without our lines."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"rows": rows}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        tokens: dict[Key, tuple[int, ...]] = {(cell, prompt): tuple(ids) for cell, prompt, ids in answer["tokens"]}
        return Work(len(tokens), sum(map(len, tokens.values())), tokens=tokens, seconds=float(answer["seconds"]))

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                if "failed" not in answer:
                    return answer
                said = answer["failed"]
                break
        assert self._folder is not None
        log = (Path(self._folder.name) / "stderr").read_text(encoding="utf-8", errors="replace")
        raise EnvironmentUnavailableError(f"{self.name} ended: {cause(said, log)}")


@dataclass(frozen=True)
class ProcessContender:
    """One of the runs of a process."""

    name: str
    process: OutsideProcess
    workloads: Sequence[Workload]

    def run(self, round_number: int) -> Work:
        """All rows of this round's cells in one run."""
        rows = [
            (cell.name, prompt.id)
            for workload in self.workloads
            for cell in some_cells(workload, self.process.fraction, round_number)
            for prompt in workload.prompts
        ]
        return self.process.answer(rows)


def cause(said: str, log: str) -> str:
    """Why a process ended: what it ``said`` itself, unless that only points at its log; else its last error, or last words."""
    if said and "root cause" not in said:
        return said
    lines = log.strip().splitlines()
    found = [match.group() for line in lines if "root cause" not in line and (match := CAUSE.search(line))]
    return (found or lines or [said or "without a word"])[-1].strip()


def write_job(folder: Path, bench: Bench, runs: Mapping[str, Sequence[Workload]], *, steered: bool = True) -> None:
    """``job.json``: model folder, prompts as tokens, cells, and what a run takes at most; ``vectors.npz``: per steered cell its
    directions ``[layers, d]``."""
    workloads = [workload for run in runs.values() for workload in run]
    vectors: dict[str, Any] = {}
    cells: dict[str, Any] = {}
    for cell in (cell for workload in workloads for cell in workload.cells):
        steering = cell.steering if steered else None
        cells[cell.name] = {"layers": steering.layers if steering else (), "multiplier": steering.multiplier if steering else 1.0}
        if steering is not None:
            vectors[cell.name] = _added_everywhere(steering).vectors
    prompts = {prompt.id: bench.token_ids(prompt) for workload in workloads for prompt in workload.prompts}
    new_tokens = max(workload.new_tokens for workload in workloads)
    rows = max(sum(len(workload.cells) * len(workload.prompts) for workload in run) for run in runs.values())
    job = {
        "model": bench.folder,
        "dtype": str(bench.model.dtype).removeprefix("torch."),
        "new_tokens": new_tokens,
        "pad_token": bench.pad_token,
        "prompts": prompts,
        "cells": cells,
        "rows": rows,
        "bytes": needed_bytes(bench, rows * (max(map(len, prompts.values())) + new_tokens)),
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "vectors.npz", **vectors)


def needed_bytes(bench: Bench, tokens: int) -> int:
    """What weights, the keys and values of ``tokens`` in flight, and the rest take on a GPU."""
    config = bench.model.config.get_text_config()
    size = bench.model.dtype.itemsize
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(weight.numel() * weight.element_size() for weight in bench.model.parameters())
    return int(weights + 2 * tokens * config.num_hidden_layers * config.num_key_value_heads * head * size + EXTRA_BYTES)


def _added_everywhere(steering: Steering) -> Steering:
    """``steering``, if it is one that every tool here can do."""
    plain = Steering(steering.layers, steering.vectors, steering.multiplier)
    if steering != plain:
        raise ValueError(f"only additions at every token are for other tools, got {steering!r}")
    return steering
