"""The loop: admit waiting rows into free slots, advance every slot by a token, release what has ended.

Rows are grouped by cache capacity, which follows from the row alone; within a group any mix of cells shares the batch. A row's
tokens depend on the row, the model and the slot step only: not on its neighbours, their order, or a resume.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from actors.engine.attention import slot_attention_in
from actors.engine.decode import BatchShape, SlotBatch, choose
from actors.engine.firing import record_firing
from actors.engine.memory import SLOT_STEP, round_up, slots_that_fit
from actors.engine.prefill import Prefilled, Prefiller
from actors.engine.rows import Row
from actors.engine.segments import HEAD_POSITIONS, SegmentRunner
from actors.engine.stopwatch import Stopwatch
from actors.errors import OutOfMemoryError
from actors.families import Decoder
from actors.steering import SteeringBank, SteeringHooks, steered
from actors.types import Steering

logger = logging.getLogger(__name__)

FIXED_CPU_SLOTS = 32
"""Slots on a CPU where the batch must keep its shape: free slots cost as much as used ones."""
FIXED_PREFILL_ROWS = 16
"""Rows of a prefill forward where its shape must not change."""
REFILL_SHARE = 8
"""Waiting rows are admitted when a slot in this many is free: prefilling a single row costs almost a whole step."""


@dataclass(frozen=True)
class EngineModel:
    """What the engine needs of a loaded model. ``batch_dependence``: see :func:`batch_dependence`."""

    model: Any
    decoder: Decoder
    device: torch.device
    dtype: torch.dtype
    d_model: int
    stop_tokens: frozenset[int]
    batch_dependence: str | None


class Engine:
    """Generates rows under their steerings. ``slots``: rows in flight at most (None: what fits in memory)."""

    def __init__(self, loaded: EngineModel, slots: int | None = None) -> None:
        self._loaded = loaded
        self._slots = slots

    def slots(self, capacity: int) -> int:
        """Slots for rows of ``capacity`` tokens."""
        if self._slots is not None:
            return self._slots
        fitting = slots_that_fit(self._loaded.model.config, capacity, self._loaded.dtype, self._loaded.device)
        fixed_on_cpu = self._loaded.batch_dependence is not None and not on_cuda(self._loaded.device)
        return min(fitting, FIXED_CPU_SLOTS) if fixed_on_cpu else fitting

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], steerings: Sequence[Steering]) -> Iterator[Row]:
        """Yield each row when it has ended. Row.steering n refers to ``steerings[n - 1]``; 0 is unsteered.

        Out of memory halves the slots and goes on with the rows that have not ended; ``OutOfMemoryError`` at one step.
        """
        loaded = self._loaded
        bank = SteeringBank(steerings, (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        by_capacity: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            by_capacity[row.capacity].append(row)
        with slot_attention_in(loaded.model), steered(loaded.decoder) as hooks:
            for capacity, group in by_capacity.items():
                yield from self._run_group(group, capacity, bank, hooks)

    def _run_group(self, group: Sequence[Row], capacity: int, bank: SteeringBank, hooks: SteeringHooks) -> Iterator[Row]:
        slots = self.slots(capacity)
        while left := [row for row in group if row.finish is None]:
            for row in left:
                row.restart()
            shape = self._shape(slots, capacity, len(left))
            try:
                yield from self._run_batch(left, shape, bank, hooks)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if slots <= SLOT_STEP:
                    raise OutOfMemoryError(f"out of memory with {slots} slots of {capacity} tokens: {error}") from error
                slots = max(SLOT_STEP, round_up(slots // 2))
                logger.warning("out of memory: going on with %d slots", slots)
            if on_cuda(self._loaded.device):
                torch.cuda.empty_cache()

    def _shape(self, slots: int, capacity: int, n_rows: int) -> BatchShape:
        fixed = self._loaded.batch_dependence is not None
        return BatchShape(
            slots=slots if fixed else min(round_up(slots), round_up(n_rows)),
            capacity=capacity,
            fixed=fixed,
            steps_per_sync=8 if on_cuda(self._loaded.device) else 1,
        )

    def _run_batch(self, rows: Sequence[Row], shape: BatchShape, bank: SteeringBank, hooks: SteeringHooks) -> Iterator[Row]:
        loaded = self._loaded
        runner = SegmentRunner(loaded.model, loaded.decoder, hooks, loaded.device, FIXED_PREFILL_ROWS if shape.fixed else None)
        prefiller = Prefiller(runner, bank, {row.first_layer for row in rows if row.first_layer is not None}, loaded.device)
        batch = SlotBatch(loaded.model, loaded.decoder, shape, bank, loaded.device)
        waiting = deque(rows)
        stopwatch = Stopwatch()
        while waiting or batch.n_active:
            if waiting and (batch.n_active == 0 or batch.n_free * REFILL_SHARE >= shape.slots):
                admitted = [waiting.popleft() for _ in range(min(batch.n_free, len(waiting)))]
                for prefilled in prefiller.run(admitted):
                    yield from stopwatch.pausing(self._begin(prefilled, batch, bank, stopwatch))
                prefiller.forget_steerings({row.steering for row in waiting})
            elif batch.n_active:
                yield from stopwatch.pausing(self._advance(batch, hooks, stopwatch))

    def _begin(self, prefilled: Prefilled, batch: SlotBatch, bank: SteeringBank, stopwatch: Stopwatch) -> Iterator[Row]:
        """Take the first token of prefilled rows and seat those that go on."""
        record_firing(prefilled, bank)
        tokens, finite = choose(prefilled.logits)
        chosen = list(zip(prefilled.rows, tokens.tolist(), finite.tolist(), strict=True))
        stopwatch.charge(prefilled.rows)
        for row, token, is_finite in chosen:
            if self._accept(row, token, is_finite):
                yield row
        batch.admit(prefilled, tokens)

    def _advance(self, batch: SlotBatch, hooks: SteeringHooks, stopwatch: Stopwatch) -> Iterator[Row]:
        tokens, finite = batch.step(hooks)
        in_flight = [(slot, row) for slot, row in enumerate(batch.rows) if row is not None]
        stopwatch.charge([row for _, row in in_flight])
        for step_tokens, step_finite in zip(tokens.tolist(), finite.tolist(), strict=True):
            for slot, row in in_flight:
                if row.finish is None and self._accept(row, step_tokens[slot], step_finite[slot]):
                    batch.release(slot)
                    yield row

    def _accept(self, row: Row, token: int, finite: bool) -> bool:
        if not finite:
            row.finite = False
            row.finish = "stop"
            return True
        return row.accept(token, self._loaded.stop_tokens)


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA's own class, or the CPU allocator's RuntimeError, which has no class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error) or "not enough memory" in str(error)


def on_cuda(device: torch.device) -> bool:
    """Whether the device is a CUDA device."""
    return device.type == "cuda"


@torch.inference_mode()
def batch_dependence(model: Any, probe_rows: int = 256) -> str | None:
    """Why a row's bits may depend on its batch on this machine, or None when they do not.

    Dense layers on the CPU are measured: the widest and the narrowest one must give a row the same bits at every batch
    size that the engine uses. What cannot be measured once for all is named: bitsandbytes INT8 chooses its outlier columns
    over the whole batch, experts see as many rows as the router sends them, CUDA chooses kernels by batch size.
    """
    text = model.config.get_text_config()
    if next(model.parameters()).device.type != "cpu":
        return "CUDA chooses kernels by batch size"
    if any(getattr(text, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        return "mixture of experts: an expert's rows depend on the whole batch"
    linears = [module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    if any(type(module).__name__ == "Linear8bitLt" for module in linears):
        return "INT8 chooses outlier columns over the whole batch"
    for linear in {min(linears, key=_size), max(linears, key=_size)}:
        width = linear.weight.shape[0] if isinstance(linear, Conv1D) else linear.in_features
        inputs = torch.randn(probe_rows, width, generator=torch.Generator().manual_seed(0)).to(model.dtype)
        whole = linear(inputs)
        sizes = (HEAD_POSITIONS, 3 * HEAD_POSITIONS, SLOT_STEP, 2 * SLOT_STEP, 5 * SLOT_STEP, probe_rows - SLOT_STEP)
        if not all(torch.equal(linear(inputs[:rows]), whole[:rows]) for rows in sizes):
            return f"this machine's matrix products depend on the batch size ({type(linear).__name__}, {model.dtype})"
    return None


def _size(linear: Any) -> int:
    return int(linear.weight.numel())
