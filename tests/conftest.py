"""No test reaches for a hub or a network; Ray and OpenMP behave on a small machine."""

from __future__ import annotations

import gc
import os

import pytest

from actors.library_settings import AT_START
from tests import chromium

os.environ.update({**AT_START, **os.environ})  # for the processes that tests run in and start, as for workers
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = os.environ.get("WANDB_MODE", "offline")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


LONGEST = ("chaos", "ray", "embedded")
"""Marks of tests that take long."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser are skipped where there is none. Files with long tests come first: of several processes none has such a
    file left when the others have ended."""
    long = {item.path for item in items if any(item.get_closest_marker(name) is not None for name in LONGEST)}
    items.sort(key=lambda item: item.path not in long)
    opening = [item for item in items if item.get_closest_marker("browser") is not None]
    if opening and chromium.program() is None:
        for item in opening:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: apt-get install chromium"))


def pytest_collection_finish() -> None:
    """Every load of a model collects garbage: among what tests have made, not among all that was imported before them."""
    gc.collect()
    gc.freeze()
