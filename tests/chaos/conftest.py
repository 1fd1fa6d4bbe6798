"""The cluster that all chaos runs share, what an undisturbed run gives on it, and the tally at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from rich.console import Console

from orchestrator.run import RunOptions, prepare, run_sweep
from tests.chaos.chaos_run import ChaosRun
from tests.chaos.checks import Content, complaints, content_of
from tests.chaos.cluster import SimulatedCluster
from tests.chaos.sweep import Asked, narrow_sweep, wide_sweep
from tests.chaos.tally import Tally

RUNS = 50
"""Seeded runs of ``make chaos``, beside those that are written down."""

SECONDS_TO_GO = 30.0
"""For so long a worker may outlive its driver."""

TALLY = pytest.StashKey[Tally]()


@dataclass(frozen=True)
class Undisturbed:
    """A sweep, and what is in its results folder after a run that nothing disturbed."""

    asked: Asked
    content: Content


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--chaos-seed N``: of the seeded runs only this one."""
    parser.addoption("--chaos-seed", type=int, action="append", help="Run only the chaos run of this seed (may be repeated).")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The seeds of the many runs."""
    if "any_seed" in metafunc.fixturenames:
        metafunc.parametrize("any_seed", metafunc.config.getoption("--chaos-seed", default=None) or range(RUNS))


def pytest_configure(config: pytest.Config) -> None:
    """One tally for the session."""
    config.stash[TALLY] = Tally()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was struck, and where."""
    lines = config.stash[TALLY].lines() if TALLY in config.stash else []
    if lines:
        terminalreporter.section("chaos")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tally(request: pytest.FixtureRequest) -> Tally:
    """What has happened so far."""
    return request.config.stash[TALLY]


@pytest.fixture(scope="package")
def cluster() -> Iterator[SimulatedCluster]:
    """One cluster for all runs, gone when they are over; each begins with all its nodes."""
    if " " in sys.executable:
        pytest.skip("on the nodes of a cluster Ray starts no worker whose Python lies in a path with a space")
    with SimulatedCluster() as running:
        yield running


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The small sweep, undisturbed, and in this process: another pool gives the same bits."""
    folder = tmp_path_factory.mktemp("narrow")
    asked, results, threads = narrow_sweep(folder / "sweep"), folder / "results", torch.get_num_threads()
    summary = run_sweep(prepare(asked.path, results), RunOptions(pool="local", quiet=True), Console(quiet=True))
    torch.set_num_threads(threads)
    assert summary.exit_code == 0
    assert complaints(results, asked) == []
    return Undisturbed(asked, content_of(results))


@pytest.fixture(scope="package")
def wide(cluster: SimulatedCluster, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The large sweep, undisturbed."""
    folder = tmp_path_factory.mktemp("wide")
    return _undisturbed(cluster, wide_sweep(folder / "sweep"), folder / "results")


def _undisturbed(cluster: SimulatedCluster, asked: Asked, results: Path) -> Undisturbed:
    run = ChaosRun(cluster, asked, results, [])
    story = run.run()
    assert story.exits == [0], story.told()
    assert complaints(results, asked) == []
    assert run.orphans(SECONDS_TO_GO) == []
    return Undisturbed(asked, content_of(results))
