"""A contender in another process: it loads its model once, then each line we write makes one run and answers one line."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from actors.environments import EnvironmentUnavailableError
from benchmarks.peers import some_cells
from benchmarks.timing import Key, Work
from benchmarks.workload import Bench, Workload

MARK = "@@"
"""Begins the lines that are ours: libraries print what they like."""


@dataclass
class ProcessContender:
    """Runs ``script`` with ``python``; a context manager, so that the process ends with the benchmark.

    ``steered``: whether the script steers; vLLM does not. ``fraction``: see :class:`benchmarks.peers.PerCell`.
    """

    name: str
    command: Sequence[str]
    bench: Bench
    workload: Workload
    fraction: float = 1.0
    steered: bool = True
    about: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> ProcessContender:
        """Start it and wait until its model is loaded; ``EnvironmentUnavailableError`` with its last words when it fails."""
        self._folder = tempfile.TemporaryDirectory(prefix="benchmark-")
        folder = Path(self._folder.name)
        write_job(folder, self.bench, self.workload, steered=self.steered)
        log = (folder / "stderr").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [*self.command, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder
        )
        log.close()
        self.about = {key: str(value) for key, value in self._answer().items()}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        """End the process and remove what it was given."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._folder is not None:
            self._folder.cleanup()

    def run(self, round_number: int) -> Work:
        """One run over this round's cells; seconds are the script's own, without our lines."""
        assert self._process is not None
        assert self._process.stdin is not None
        cells = [cell.name for cell in some_cells(self.workload, self.fraction, round_number)]
        self._process.stdin.write(json.dumps({"cells": cells}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        tokens: dict[Key, tuple[int, ...]] = {(cell, prompt): tuple(ids) for cell, prompt, ids in answer["tokens"]}
        return Work(len(tokens), sum(map(len, tokens.values())), tokens=tokens, seconds=float(answer["seconds"]))

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return answer
        assert self._folder is not None
        words = (Path(self._folder.name) / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise EnvironmentUnavailableError(f"{self.name} ended: {words[-1] if words else 'without a word'}")


def write_job(folder: Path, bench: Bench, workload: Workload, *, steered: bool = True) -> None:
    """``job.json``: model folder, prompts as tokens, cells; ``vectors.npz``: per cell its scaled shifts ``[layers, d]``."""
    vectors: dict[str, Any] = {}
    cells = []
    for cell in workload.cells:
        layers: list[int] = []
        if steered and cell.steering is not None:
            layers = list(cell.steering.layers)
            vectors[cell.name] = cell.steering.vectors * np.float32(cell.steering.multiplier)
        cells.append({"name": cell.name, "layers": layers})
    job = {
        "model": bench.folder,
        "new_tokens": workload.new_tokens,
        "pad_token": bench.pad_token,
        "prompts": [{"id": prompt.id, "token_ids": list(bench.token_ids(prompt))} for prompt in workload.prompts],
        "cells": cells,
    }
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "vectors.npz", **vectors)
