"""What PyTorch's libraries are told by environment variables, which they read once: when they are loaded, or first used."""

from __future__ import annotations

import os

COMPILED_PRODUCTS = 256
"""Products that oneDNN, and PyTorch's layer above it, keep compiled, one for each number of rows: half a MiB each, whatever the
model. Their default is 1,024, which a worker fills in the course of hours; one that is compiled again takes a thousandth of a
second."""
SETTINGS = {
    "OMP_WAIT_POLICY": "passive",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(COMPILED_PRODUCTS),
    "LRU_CACHE_CAPACITY": str(COMPILED_PRODUCTS),
}
"""By variable. A thread that waits sleeps, as it may not be alone on its core."""


def set_up_libraries() -> None:
    """Before torch is imported. What is set already stays as it is."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
