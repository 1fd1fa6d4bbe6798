"""SIGINT, SIGTERM and SIGHUP at chosen moments of a real process, from its imports to its end: 130, in words, nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.control.status import read_status
from orchestrator.results.store import Store
from orchestrator.storage import Place
from tests.orchestrator.cli.test_commands import ROOT, write_sweep

BEFORE_THE_RUN = (
    "import numpy",
    "import yaml",
    "import orchestrator.run",
    "orchestrator.run:load_sweep",
    "orchestrator.run:plan_with_results",
    "orchestrator.storage.local:exclusive",
)
IN_THE_RUN = (
    "orchestrator.control.driver:Driver.__enter__",
    "orchestrator.results.store:Store.write_plan",
    "orchestrator.run:make_display",
    "orchestrator.scorekeeper:Scorekeeper.ask",
    "orchestrator.pool.local:LocalPool.__init__",
    "tests.fakes:FakeWorker.load",
    "tests.fakes:FakeWorker.extract",
    "orchestrator.results.store:Store.write_responses",
    "orchestrator.pool.local:LocalPool.close",
    "orchestrator.results.store:Store.compact",
    "orchestrator.run:write_report",
)
AFTER_IT = (
    "orchestrator.control.driver:Driver.__exit__",
    "orchestrator.logs.journal:Journal.__exit__",
    "orchestrator.run:RunSummary",
    "orchestrator.cli.commands:_show_results",
    "orchestrator.outlets:finish",
)
NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
HERE = (
    ("SIGTERM", "import yaml"),
    ("SIGHUP", "orchestrator.run:plan_with_results"),
    ("SIGHUP", "tests.fakes:FakeWorker.extract"),
    ("SIGTERM", "orchestrator.results.store:Store.compact"),
)
"""What runs in every test run; the whole matrix is slow."""


Told = subprocess.CompletedProcess[str]


def signalled(name: str, moment: str, *words: object, before: signal.Handlers = signal.SIG_DFL) -> Told:
    """The command line, in a process of its own that gets the signal then; ``before``: what it inherits for SIGHUP."""
    return subprocess.run(
        [sys.executable, "-m", "tests.signalled", name, moment, *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: (signal.signal(signal.SIGHUP, before), signal.signal(signal.SIGINT, signal.SIG_DFL)),
    )


def check(told: Told, results: Place, states: tuple[str, ...]) -> None:
    said = told.stdout + told.stderr
    assert told.returncode == 130, said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert "to continue run the same command" in said
    if (Path(str(results)) / "plan.json").exists():
        status = read_status(results)
        assert (status.beat.state if status.beat else "no driver") in states
        done = Store(results).done_cells()
        assert all(len(Store(results).read_responses(cell)) == 2 for cell in done), "what is there is whole"


def run_once(name: str, moment: str, folder: Path, *states: str) -> None:
    sweep = write_sweep(folder, "[1, 2]", texts=("one", "two"))
    check(signalled(name, moment, "run", sweep), folder / "out", states)


@pytest.mark.parametrize(("name", "moment"), HERE)
def test_a_signal(name: str, moment: str, tmp_path: Path) -> None:
    run_once(name, moment, tmp_path, "no driver", "interrupted")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moment", [*BEFORE_THE_RUN, *IN_THE_RUN])
def test_a_signal_at_every_moment(name: str, moment: str, tmp_path: Path) -> None:
    run_once(name, moment, tmp_path, "no driver", "interrupted")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("moment", AFTER_IT)
def test_a_signal_when_all_is_done(name: str, moment: str, tmp_path: Path) -> None:
    run_once(name, moment, tmp_path, "finished", "interrupted")


@pytest.mark.parametrize(("moment", "code"), [("import orchestrator.run", 130), ("orchestrator.run:prepare", 130), ("end", 0)])
def test_a_short_command_ends_at_once(moment: str, code: int, tmp_path: Path) -> None:
    told = signalled("SIGTERM", moment, "plan", write_sweep(tmp_path))
    assert told.returncode == code, told.stderr
    assert told.stderr.strip() == ("interrupted" if code else "")


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    told = signalled("SIGHUP", "orchestrator.run:prepare", "plan", write_sweep(tmp_path), before=signal.SIG_IGN)
    assert told.returncode == 0, told.stderr


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("moment", ["ray:init", "ray._private.services:start_raylet", "orchestrator.pool.ray:RayPool._check"])
def test_a_signal_while_ray_starts(name: str, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    sweep = write_sweep(tmp_path)
    check(signalled(name, moment, "run", sweep, "--pool", "ray"), tmp_path / "out", ("interrupted",))
