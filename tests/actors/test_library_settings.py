"""What a worker's process tells the libraries before they are loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.library_settings import AT_START, SETTINGS, set_up_libraries

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
WEIGHTS = """
import re, torch
weights = torch.ones(2**24)
print(re.search(r"AnonHugePages: +([0-9]+) kB", open("/proc/self/smaps_rollup").read())[1])
"""
"""64 MiB, and how many KiB of the process lie in large pages."""


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    set_up_libraries()
    told = {name: os.environ[name] for name in SETTINGS}
    assert told == {"OMP_WAIT_POLICY": "passive", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "256", "LRU_CACHE_CAPACITY": "7"}


@pytest.mark.skipif(
    not PAGES.exists() or "[madvise]" not in PAGES.read_text(), reason="large pages: never, or always, or not Linux"
)
def test_weights_lie_in_large_pages_where_the_process_began_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in AT_START}
    plain, told = (
        int(subprocess.run([sys.executable, "-c", WEIGHTS], env=env, capture_output=True, check=True, text=True).stdout)
        for env in (environment, {**environment, **AT_START})
    )
    assert plain == 0
    assert told >= 2**24 * 4 // 1024 - 4096


@pytest.mark.parametrize("name", SETTINGS)
def test_they_are_set_in_one_place(name: str) -> None:
    root = Path(__file__).parents[2]
    files = [path for package in ("actors", "orchestrator") for path in (root / package).rglob("*.py")]
    assert [path.name for path in files if name in path.read_text(encoding="utf-8")] == ["library_settings.py"]
