"""No test reaches for a hub or a network; Ray and OpenMP behave on a small machine."""

from __future__ import annotations

import gc
import os

import pytest

from tests import chromium

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = os.environ.get("WANDB_MODE", "offline")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in a browser are skipped where there is none."""
    opening = [item for item in items if item.get_closest_marker("browser") is not None]
    if opening and chromium.program() is None:
        for item in opening:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: apt-get install chromium"))


def pytest_collection_finish() -> None:
    """Every load of a model collects garbage: among what tests have made, not among all that was imported before them."""
    gc.collect()
    gc.freeze()
