"""What a worker's process tells the libraries before they are loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actors.library_settings import SETTINGS, set_up_libraries


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    set_up_libraries()
    told = {name: os.environ[name] for name in SETTINGS}
    assert told == {"OMP_WAIT_POLICY": "passive", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "7"}


@pytest.mark.parametrize("name", SETTINGS)
def test_they_are_set_in_one_place(name: str) -> None:
    root = Path(__file__).parents[2]
    files = [path for package in ("actors", "orchestrator") for path in (root / package).rglob("*.py")]
    assert [path.name for path in files if name in path.read_text(encoding="utf-8")] == ["library_settings.py"]
