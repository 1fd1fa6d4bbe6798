"""What the scripts have in common: the job that they are given, and the lines that they answer. Imports no project."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Row = tuple[str, str]
"""(cell, prompt) by their names."""
Answers = list[list[int]]
"""The new tokens of each row."""


class Job(NamedTuple):
    """``told``: what ``process.write_job`` wrote. ``vectors``: per steered cell its directions ``[layers, d]``, float32."""

    folder: Path
    told: dict[str, Any]
    vectors: dict[str, Any]

    @property
    def steered(self) -> list[str]:
        """The cells that are steered, by name."""
        return list(self.vectors)

    def layers(self, cell: str) -> list[int]:
        """Where it acts."""
        found: list[int] = self.told["cells"][cell]["layers"]
        return found

    def multiplier(self, cell: str) -> float:
        """What its directions are multiplied by."""
        return float(self.told["cells"][cell]["multiplier"])

    def token_ids(self, prompt: str) -> list[int]:
        """A prompt's tokens."""
        found: list[int] = self.told["prompts"][prompt]
        return found

    @classmethod
    def read(cls, folder: Path) -> Job:
        """From the folder that the script is started with."""
        with np.load(folder / "vectors.npz") as stored:
            vectors = {name: stored[name] for name in stored.files}
        return cls(folder, json.loads((folder / "job.json").read_text(encoding="utf-8")), vectors)


class Tool(NamedTuple):
    """A loaded model: ``about`` its versions; ``answer`` gives rows their new tokens; ``forget``, untimed, is called before."""

    about: dict[str, Any]
    answer: Callable[[Sequence[Row]], Answers]
    forget: Callable[[], object] | None = None


def converse(load: Callable[[Job], Tool]) -> None:
    """Load, say what is loaded, or why not; then one run per line."""
    try:
        tool = load(Job.read(Path(sys.argv[1])))
    except (Exception, SystemExit) as error:  # whatever a library raises is what is asked for
        said = str(error).strip().splitlines() or [""]
        _say({"failed": f"{type(error).__name__}: {said[0]}"})
        raise
    _say(tool.about)
    for line in sys.stdin:
        rows = [(cell, prompt) for cell, prompt in json.loads(line)["rows"]]
        if tool.forget is not None:
            tool.forget()
        started = time.perf_counter()
        made = tool.answer(rows)
        seconds = time.perf_counter() - started
        _say({"seconds": seconds, "tokens": [[*row, ids] for row, ids in zip(rows, made, strict=True)]})


def _say(what: dict[str, Any]) -> None:
    print("@@" + json.dumps(what), flush=True)
