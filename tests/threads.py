"""PyTorch on a number of threads of its own, whatever the machine has."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def on_threads(count: int) -> Iterator[int]:
    """For a fixture: ``count`` while its test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield count
    torch.set_num_threads(before)
