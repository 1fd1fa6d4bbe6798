"""One token for every slot: the batch of rows in flight, its cache, and the step that moves all of them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actors.engine.attention import masks_for
from actors.engine.cache import SlotCache
from actors.engine.memory import round_up
from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.families import Decoder
from actors.steering import SteeringBank, SteeringHooks, SteeringTable


@dataclass(frozen=True)
class BatchShape:
    """``slots`` of ``capacity`` tokens. ``fixed``: the batch always has all its slots (where a matrix product's bits depend on
    its number of rows); else it shrinks in steps as rows end. ``steps_per_sync``: tokens computed before the host looks."""

    slots: int
    capacity: int
    fixed: bool
    steps_per_sync: int = 1


class SlotBatch:
    """Rows in flight. Slot r holds ``rows[r]``; free slots compute along and are ignored."""

    def __init__(self, model: Any, decoder: Decoder, shape: BatchShape, bank: SteeringBank, device: torch.device) -> None:
        self._model, self._decoder, self._bank, self._device = model, decoder, bank, device
        self.shape = shape
        self.rows: list[Row | None] = [None] * shape.slots
        self._cache = SlotCache(decoder.n_layers, shape.slots, shape.capacity)
        self._tokens = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._positions = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._steerings = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._table: SteeringTable | None = None
        self._table_rows = 0

    @property
    def n_active(self) -> int:
        """Rows in flight."""
        return sum(row is not None for row in self.rows)

    @property
    def n_free(self) -> int:
        """Slots without a row."""
        return self.shape.slots - self.n_active

    def admit(self, prefilled: Prefilled, first_tokens: Tensor) -> None:
        """Seat prefilled rows that go on (``row.finish`` is None), with the first token ``[R]`` each of them has chosen."""
        going = [index for index, row in enumerate(prefilled.rows) if row.finish is None]
        if not going:
            return
        free = [slot for slot, row in enumerate(self.rows) if row is None][: len(going)]
        for slot, index in zip(free, going, strict=True):
            self.rows[slot] = prefilled.rows[index]
        slots, picked = (torch.tensor(numbers, device=self._device) for numbers in (free, going))
        for positions, key_values in prefilled.spans:
            where = positions[picked]
            where = torch.where(where < 0, self.shape.capacity, where)
            for layer, (keys, values) in enumerate(key_values):
                self._cache.write(layer, slots, where, (keys[picked], values[picked]))
        self._tokens[slots] = first_tokens[picked]
        self._positions[slots] = torch.tensor([len(prefilled.rows[i].rendered.token_ids) for i in going], device=self._device)
        self._steerings[slots] = torch.tensor([prefilled.rows[i].steering for i in going], device=self._device)
        self._table = None

    def release(self, slot: int) -> None:
        """Free a slot whose row has ended."""
        self.rows[slot] = None

    def step(self, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
        """Advance the batch; returns tokens ``[steps, B]`` and whether each was chosen from finite logits ``[steps, B]``."""
        batch = self._batch()
        if self._table is None or self._table_rows != batch:
            self._table, self._table_rows = self._bank.rows(self._steerings[:batch]), batch
        hooks.table = self._table
        try:
            chosen = [self._one_step(batch) for _ in range(self.shape.steps_per_sync)]
        finally:
            hooks.table = SteeringTable()
        return torch.stack([tokens for tokens, _ in chosen]), torch.stack([finite for _, finite in chosen])

    def _one_step(self, batch: int) -> tuple[Tensor, Tensor]:
        # A row that has ended within this block of steps writes to the spare position.
        positions = self._positions[:batch].clamp(max=self.shape.capacity)
        keys = torch.arange(self.shape.capacity, device=self._device).expand(batch, -1)
        allowed = keys <= positions[:, None]
        output = self._model(
            input_ids=self._tokens[:batch, None],
            position_ids=positions[:, None],
            attention_mask=masks_for(self._decoder, allowed[:, None, None], positions[:, None], keys),
            past_key_values=self._cache.at(positions),
            use_cache=True,
            logits_to_keep=1,
        )
        tokens, finite = choose(output.logits[:, -1])
        self._tokens[:batch] = tokens
        self._positions[:batch] += 1
        return tokens, finite

    def _batch(self) -> int:
        """Rows of the next forward: all slots, or as few as hold the rows in flight (which are moved to the front)."""
        if self.shape.fixed:
            return self.shape.slots
        active = [slot for slot, row in enumerate(self.rows) if row is not None]
        batch = min(round_up(len(active)), self.shape.slots)
        stray = [slot for slot in active if slot >= batch]
        if stray:
            self._move(stray, [slot for slot in range(batch) if self.rows[slot] is None][: len(stray)])
        return batch

    def _move(self, source: Sequence[int], target: Sequence[int]) -> None:
        source_index, target_index = (torch.tensor(slots, device=self._device) for slots in (source, target))
        self._cache.move(source_index, target_index)
        for state in (self._tokens, self._positions, self._steerings):
            state[target_index] = state[source_index]
        for old, new in zip(source, target, strict=True):
            self.rows[new], self.rows[old] = self.rows[old], None
        self._table = None


def choose(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Greedy choice: token ids ``[R]`` of logits ``[R, vocabulary]``, and whether the logits were finite ``[R]``."""
    best, tokens = logits.max(dim=-1)
    return tokens, torch.isfinite(best)
