"""What keeps a driver in the background from being started is said at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.control import detached
from orchestrator.results.store import Store
from orchestrator.storage import StorageError


def test_a_pipe_in_place_of_its_log_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs" / "driver.log")
    reader = os.open(tmp_path / "logs" / "driver.log", os.O_RDONLY | os.O_NONBLOCK)  # without one the test would never end
    try:
        with pytest.raises(StorageError, match=r"driver\.log.*it is no file"):
            detached.start(["run", "no-such-sweep.yaml"], Store(tmp_path), patience=0.0)
    finally:
        os.close(reader)
