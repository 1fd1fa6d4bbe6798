"""What a worker's process tells the libraries before they are loaded."""

from __future__ import annotations

import os

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
