"""The command line in this process, for tests that run it often."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from orchestrator import run
from orchestrator.cli import app
from orchestrator.pool import POOLS
from tests.fake_cli import with_fake_worker


def quick_cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command: the local pool's workers are fake, and no report is written, whose figures take longer than all else."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    monkeypatch.setattr(run, "write_report", lambda store: None)
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])
