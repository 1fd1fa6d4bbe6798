"""Batches of slots whose decoding step is recorded, kept for the next call: recording one costs as much as several steps."""

from __future__ import annotations

from collections import OrderedDict

import torch

from actors.engine.decode import SlotBatch
from actors.engine.memory import recorded_bytes
from actors.stacks import Layout

Key = tuple[int, int, tuple[Layout, ...], bool]
"""Slots, capacity, the layout of the steering tables, and whether rows may draw their tokens: what a recording is made for."""


class RecordedBatches:
    """The batches on a device that are not in use, the longest unused first."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[Key, SlotBatch] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """What dropping all of them would free: keys and values, and what their recordings work in."""
        return sum(batch.nbytes for batch in self._kept.values()) + recorded_bytes(self._device) if self._kept else 0

    def take(self, key: Key) -> SlotBatch | None:
        """The batch for ``key``, which is then the caller's; None where there is none."""
        return self._kept.pop(key, None)

    def put(self, key: Key, batch: SlotBatch) -> None:
        """Keep an empty batch, if its step is recorded."""
        if batch.recorded and not batch.n_active:
            self._kept[key] = batch

    def drop_oldest(self) -> None:
        """Give up the batch that was longest unused."""
        self._kept.popitem(last=False)

    def clear(self) -> None:
        """Give up all of them."""
        self._kept.clear()
