"""Whatever dies at whatever moment, a sweep ends with exactly the planned rows, bit for bit those of an undisturbed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.chaos_run import ChaosRun, Story
from tests.chaos.checks import complaints, content_of, stamps
from tests.chaos.cluster import ROOT, SimulatedCluster
from tests.chaos.conftest import RUNS, SECONDS_TO_GO, Undisturbed
from tests.chaos.faults import KINDS, Fault, draw
from tests.chaos.tally import Tally

pytestmark = [pytest.mark.chaos, pytest.mark.ray]

ONE_OF_EACH = [
    Fault("kill worker", "load", share=0.0, seconds=0.0, lasts=0.0, signal=""),
    Fault("kill node", "generate", share=0.0, seconds=0.0, lasts=0.5, signal=""),
    Fault("kill driver", "generate", share=0.3, seconds=0.0, lasts=0.5, signal=""),
]
"""What every test run sees, in one run of a sweep."""

HANDFUL = (0, 1, 3)
"""A killed worker, a killed node, a killed driver, each in a run of its own."""

ONE_IN = 5
"""Of the many runs one in so many runs the large sweep, which takes three times as long."""


def disturbed(cluster: SimulatedCluster, undisturbed: Undisturbed, results: Path, faults: list[Fault], seed: int = 0) -> Story:
    """One run with these faults, and everything that must hold after it; ``seed`` chooses the victims."""
    cluster.restore()
    run = ChaosRun(cluster, undisturbed.asked, results, faults, seed)
    story = run.run()
    assert f"{undisturbed.asked.cells} of {undisturbed.asked.cells} cells done;" in run.last_words(), run.told()
    wrong = complaints(results, undisturbed.asked) or undisturbed.content.differences(content_of(results))
    assert wrong == [], run.told()
    assert run.orphans(SECONDS_TO_GO) == [], run.told()
    assert changed_by_another_run(cluster, undisturbed, results) == [], run.told()
    return story


def changed_by_another_run(cluster: SimulatedCluster, undisturbed: Undisturbed, results: Path) -> list[str]:
    """The files of a finished sweep that running it again changes."""
    before = stamps(results)
    command = [
        sys.executable,
        "-m",
        "orchestrator",
        "run",
        str(undisturbed.asked.path),
        "--results",
        str(results),
        "--json",
        "-q",
    ]
    again = subprocess.run(command, cwd=ROOT, env=cluster.environment(), capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["cells"]["ran"] == 0
    after = stamps(results)
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def test_nothing_is_lost(cluster: SimulatedCluster, narrow: Undisturbed, tally: Tally, tmp_path: Path) -> None:
    story = disturbed(cluster, narrow, tmp_path / "results", ONE_OF_EACH)
    assert "kill worker" in {strike.fault.kind for strike in story.strikes}, story.told()
    tally.add(story)


@pytest.mark.slow
@pytest.mark.parametrize("seed", HANDFUL)
def test_nothing_is_lost_to_one_fault(
    seed: int, cluster: SimulatedCluster, narrow: Undisturbed, tally: Tally, tmp_path: Path
) -> None:
    tally.add(disturbed(cluster, narrow, tmp_path / "results", draw(seed, most=1), seed))


@pytest.mark.slow
def test_nothing_is_lost_in_many_runs(
    any_seed: int, cluster: SimulatedCluster, request: pytest.FixtureRequest, tally: Tally, tmp_path: Path
) -> None:
    undisturbed: Undisturbed = request.getfixturevalue("narrow" if any_seed % ONE_IN else "wide")
    tally.add(disturbed(cluster, undisturbed, tmp_path / "results", draw(any_seed, most=4), any_seed))


@pytest.mark.slow
def test_every_kind_of_fault_hit_a_worker_at_work(tally: Tally) -> None:
    if tally.runs < RUNS:
        pytest.skip(f"needs the {RUNS} runs of this file before it")
    assert [kind for kind in KINDS if not tally.hits[kind]] == []
    assert [phase for phase in ("load", "generate") if not tally.lost[phase]] == []
