"""Several parts, positions, schedules, sites and conditions: a run that is killed and continued has the rows of one that was not,
and so has one whose cells are handed out in another order."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from actors.types import CellResult, Failure, GenerationJob, Underway
from actors.worker import ModelWorker
from orchestrator.loaded import load_results
from tests.faults.tiny_sweep import TinySweep

REPO = Path(__file__).resolve().parents[2]
HALF = 5
"""Cells after which the driver is killed."""
KILLED = f"""
import os, signal, sys
from orchestrator.results.store import Store
write, written = Store.write_responses, []

def killing(self, *given, **more):
    found = write(self, *given, **more)
    written.append(found)
    if len(written) == {HALF}:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

Store.write_responses = killing
from orchestrator.cli import app
app()
"""
MEASURED = ("cell_id", "behavior", "n", "fired", "acted_n", "hits", "misses", "false_alarms", "correct_rejections", "thresholds")
ANSWERED = ("cell_id", "behavior", "prompt_id", "token_ids", "acted", "condition_cosines")
PARTS = [
    {
        "behavior": "refusal",
        "multiplier": [0, 6],
        "positions": "last_prompt+generation",
        "schedule": {"linear": 6},
        "when": {"behavior": "long", "layer": 2, "threshold": "auto"},
    },
    {"behavior": "long", "multiplier": [0, 5], "layer": 2, "scope": "single", "site": "mlp", "positions": {"first": 3}},
    {
        "behavior": "long",
        "multiplier": [0, 4],
        "intervention": "addition",
        "keep_norm": True,
        "layer": 3,
        "when": {"behavior": "refusal", "layer": 1, "threshold": 0.0, "side": "below"},
    },
]


def long_behavior() -> str:
    """Contrast prompts that differ in their length."""
    rows = [("positive", f"y{'es' * 9} number {n}") for n in range(4)] + [("negative", f"n{n}") for n in range(4)]
    rows += [("test", "Why?")]
    return "\n".join(json.dumps({"id": f"l{n}", "role": role, "text": text}) for n, (role, text) in enumerate(rows))


def sweep(folder: Path) -> TinySweep:
    """Every pair of multipliers of two of the parts, and of those with a third one."""
    folder.mkdir(parents=True)
    (folder / "long.jsonl").write_text(long_behavior())
    made = TinySweep(folder)
    made.model()
    behaviors = {"refusal": {"file": "refusal.jsonl"}, "long": {"file": "long.jsonl"}}
    grids: dict[str, Any] = {"layers": [1], "multipliers": None, "steer": PARTS, "decoding": {"max_new_tokens": 6}}
    return made.write(behaviors=behaviors, **grids)


def rows_of(made: TinySweep) -> tuple[set[str], set[str]]:
    """What was answered and what was measured, as text."""
    found = load_results(made.out)
    answers = found.responses.select(ANSWERED).iter_rows(named=True)
    cells = found.cells.select(MEASURED).iter_rows(named=True)
    return {repr(one) for one in answers}, {repr(one) for one in cells}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """Those of a run that nothing disturbed."""
    made = sweep(tmp_path_factory.mktemp("whole") / "sweep")
    result = made.run()
    assert result.exit_code == 0, result.output
    answers, cells = rows_of(made)
    assert any("[True, False" in one for one in answers) or any("[False, True" in one for one in answers)
    assert all("'fired': False" not in one for one in cells)
    return answers, cells


def test_a_run_that_is_killed_goes_on_to_the_same_rows(whole: tuple[set[str], set[str]], tmp_path: Path) -> None:
    made = sweep(tmp_path / "sweep")
    command = [sys.executable, "-c", KILLED, "run", str(made.folder / "sweep.yaml")]
    killed = subprocess.run(command, cwd=REPO, capture_output=True, timeout=300, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    kept = made.answers()
    assert len(kept) == HALF
    result = made.run()
    assert result.exit_code == 0, result.output
    assert len(made.answers()) > HALF
    assert {cell: tokens for cell, tokens in made.answers().items() if cell in kept} == kept
    assert rows_of(made) == whole


def test_cells_in_another_order_give_the_same_rows(
    whole: tuple[set[str], set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate, told = ModelWorker.generate, list[int]()

    def shuffled(
        self: ModelWorker, jobs: Sequence[GenerationJob], often: float = float("inf")
    ) -> Iterator[CellResult | Failure | Underway]:
        mixed = list(jobs)
        Random(len(told)).shuffle(mixed)
        for start in range(0, len(mixed), 3):
            told.append(start)
            yield from generate(self, mixed[start : start + 3], often)

    monkeypatch.setattr(ModelWorker, "generate", shuffled)
    made = sweep(tmp_path / "sweep")
    result = made.run()
    assert result.exit_code == 0, result.output
    assert len(told) > 3
    assert rows_of(made) == whole
