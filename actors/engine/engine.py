"""The loop: admit waiting rows into free slots, advance every slot by a token, release what has ended.

Rows are grouped by cache capacity, which follows from the row alone; within a group any mix of cells shares the batch. A row's
tokens depend on the row, the model and the slot step only: not on its neighbours, their order, or a resume.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from actors.engine.alone import AloneRunner
from actors.engine.attention import attention_keeps_bits, slot_attention_in
from actors.engine.conditions import ConditionReader
from actors.engine.decode import BatchShape, SlotBatch, choose
from actors.engine.engine_model import EngineModel
from actors.engine.firing import record_firing
from actors.engine.forced import Divergences, Forced, ForcedRow, Likelihoods, divergences, likelihoods, losses
from actors.engine.grain import COARSE, rounded_up
from actors.engine.graphs import EAGER, CudaStepGraph, has_experts, refusal
from actors.engine.in_place import edits_in_place
from actors.engine.lanes import lanes_for
from actors.engine.lone_prefill import prefilled_alone, shares_nothing
from actors.engine.memory import SHARED_PREFIX_SHARE, SLOT_STEP, free_bytes, heads_of, keep_freed_memory, rung_up, slots_that_fit
from actors.engine.outliers import outlier_threshold
from actors.engine.packing import Packing
from actors.engine.prefill import Prefilled, Prefiller
from actors.engine.recorded_batches import Key, RecordedBatches
from actors.engine.rotary import Rotary
from actors.engine.rows import Row
from actors.engine.sampling import next_draws
from actors.engine.screening import screened_head, screening
from actors.engine.segments import Forwards, SegmentRunner
from actors.engine.site_hooks import at_sites
from actors.engine.stopwatch import Stopwatch
from actors.errors import OutOfMemoryError
from actors.families import context_limit
from actors.faults import is_out_of_memory
from actors.stacks import StackBank
from actors.steering import SteeringHooks, steered
from actors.types import FloatArray, Steering

logger = logging.getLogger(__name__)

FIXED_CPU_SLOTS = 32
"""Slots on a CPU where the batch must keep its shape: free slots cost as much as used ones."""
REFILL_SHARE = 8
"""Waiting rows are admitted when a slot in this many is free: prefilling a single row costs almost a whole step."""


class Engine:
    """Generates rows under their steerings. ``slots``: rows in flight at most (None: what fits in memory).

    ``graphs``: whether decoding may be recorded and replayed; ``decoding`` says what the last run did, and why. ``screens``:
    whether the choice of a token may be screened (``actors.engine.screening``). ``by_rows``: whether a batch of fixed shape has
    no more slots than the ladder has for its rows.
    """

    def __init__(self, loaded: EngineModel, slots: int | None = None) -> None:
        self._loaded = loaded
        self._slots = slots
        self.decoding = EAGER
        self.graphs = self.screens = True
        self.by_rows = on_cuda(loaded.device)
        self._recorded = RecordedBatches(loaded.device)
        self._lanes = lanes_for(loaded.packing, may_leave=loaded.batch_dependence is None)
        self._head = screened_head(loaded.model, loaded.packing)
        self._rotary = Rotary.of(loaded.model)
        self._conditions = ConditionReader(loaded, self._lanes, self._rotary)
        self._forced = Forced(loaded, self._lanes, self._rotary, self._make_room, self._conditions)
        if not on_cuda(loaded.device):
            keep_freed_memory()

    @property
    def packing(self) -> Packing:
        """The packed products of its model."""
        return self._loaded.packing

    @property
    def products(self) -> str:
        """How matrix products are computed, for the provenance."""
        screened = "; the choice of a token is screened in bfloat16, decided in float32"
        return self._loaded.packing.description + (screened if self._head is not None else "")

    def slots(self, capacity: int) -> int:
        """Slots for rows of ``capacity`` tokens, at most."""
        if self._loaded.decoder.runs_alone:
            return 1
        if self._slots is not None:
            return self._slots
        fitting = self._fitting(capacity, self._recorded.nbytes)
        fixed_on_cpu = self._loaded.batch_dependence is not None and not on_cuda(self._loaded.device)
        return min(fitting, FIXED_CPU_SLOTS) if fixed_on_cpu else fitting

    def _fitting(self, capacity: int, kept: int = 0) -> int:
        loaded = self._loaded
        return slots_that_fit(loaded.model.config, capacity, loaded.dtype, loaded.device, loaded.token_bytes, kept)

    def run(self, rows: Sequence[Row], steerings: Sequence[Steering]) -> Iterator[Row]:
        """Yield each row when it has ended. Row.steering n refers to ``steerings[n - 1]``; 0 is unsteered."""
        return (row for row in self.stepwise(rows, steerings) if row is not None)

    @torch.inference_mode()
    def stepwise(self, rows: Sequence[Row], steerings: Sequence[Steering]) -> Iterator[Row | None]:
        """As ``run``, and None after each step, for whoever wants to tell how far the rows are.

        Out of memory halves the slots and goes on with the rows that have not ended; ``OutOfMemoryError`` at one step.
        """
        loaded = self._loaded
        self._conditions.decide(rows)
        bank = StackBank(steerings, (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        sites = loaded.model, loaded.decoder, bank.layers
        alone = [row for row in rows if loaded.decoder.runs_alone or not self._rotary.shares(row.needed)]
        if alone:
            with loaded.packing.applied(), steered(loaded.decoder) as hooks, at_sites(hooks, *sites):
                yield from AloneRunner(loaded.model, bank, hooks, loaded.device, loaded.stop_tokens).run(alone)
        by_capacity: dict[int, list[Row]] = defaultdict(list)
        for row in rows:
            if row.finish is None:
                by_capacity[row.capacity].append(row)
        if not by_capacity:
            return
        bank.in_place = loaded.device.type == "cpu" and not bank.plain and edits_in_place(*sites)
        with (
            slot_attention_in(loaded.model),
            self._rotary.held(),
            loaded.packing.applied(),
            steered(loaded.decoder) as hooks,
            at_sites(hooks, *sites),
        ):
            for capacity, group in by_capacity.items():
                yield from self._run_group(group, capacity, bank, hooks)

    def likelihoods(self, rows: Sequence[ForcedRow], steerings: Sequence[Steering]) -> list[Likelihoods]:
        """How likely each row's continuation is under its steering, token by token, in order."""
        return self._forced.run(rows, steerings, likelihoods)

    def losses(self, rows: Sequence[ForcedRow]) -> list[FloatArray]:
        """Minus the log-probability of each token of each row's continuation, unsteered, in nats."""
        return self._forced.run(rows, [], losses)

    def divergences(self, rows: Sequence[ForcedRow], steerings: Sequence[Steering]) -> list[Divergences]:
        """KL(unsteered || steered) of the next token's distribution at each token of each row's continuation, in nats."""
        return self._forced.run(rows, steerings, divergences)

    def _run_group(self, group: Sequence[Row], capacity: int, bank: StackBank, hooks: SteeringHooks) -> Iterator[Row | None]:
        slots = self.slots(capacity)
        while left := [row for row in group if row.finish is None]:
            for row in left:
                row.restart()
            shape = self._shape(slots, capacity, left)
            try:
                yield from self._run_batch(left, shape, bank, hooks)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                slots = max(SLOT_STEP, min(slots, shape.slots))
                if slots == SLOT_STEP:
                    raise OutOfMemoryError(f"out of memory with {slots} slots of {capacity} tokens: {error}") from error
                slots = max(SLOT_STEP, rounded_up(slots // 2, SLOT_STEP))
                logger.warning("out of memory: going on with %d slots", slots)
            else:
                continue
            self._make_room()  # not before the error is gone, whose frames hold the batch

    def _make_room(self) -> None:
        """Give up what is only kept for later."""
        self._recorded.clear()
        if on_cuda(self._loaded.device):
            torch.cuda.empty_cache()

    def _shape(self, slots: int, capacity: int, rows: Sequence[Row]) -> BatchShape:
        fixed = self._loaded.batch_dependence is not None
        grain = self._loaded.grain
        waves = -(-len(rows) // slots)
        by_ladder = min(slots, rung_up(len(rows))) if self.by_rows else slots
        return BatchShape(
            slots=by_ladder if fixed else grain.rows_up(-(-len(rows) // waves)),
            capacity=capacity,
            fixed=fixed,
            steps_per_sync=8 if on_cuda(self._loaded.device) else 1,
            grain=grain,
            lanes=self._lanes,
            graph=CudaStepGraph if self.graphs and refusal(self._loaded.model, self._loaded.device) is None else None,
            furthest=None if (limit := context_limit(self._loaded.model.config)) is None else limit - 1,
            sampled=any(row.draws is not None for row in rows),
        )

    def _batch(self, shape: BatchShape, bank: StackBank) -> SlotBatch:
        """Slots of this shape: an earlier call's, if their step is recorded, or new ones, for which others are given up."""
        if kept := self._recorded.take(_recording(shape, bank)) if shape.graph else None:
            kept.begin(bank)
            return kept
        while len(self._recorded) and self._fitting(shape.capacity) < shape.slots:
            self._recorded.drop_oldest()
            torch.cuda.empty_cache()
        return SlotBatch(self._loaded.model, self._loaded.decoder, shape, bank, self._loaded.device)

    def _run_batch(self, rows: Sequence[Row], shape: BatchShape, bank: StackBank, hooks: SteeringHooks) -> Iterator[Row | None]:
        loaded = self._loaded
        limit = int((free_bytes(loaded.device) + self._recorded.nbytes) * SHARED_PREFIX_SHARE)
        batch = self._batch(shape, bank)
        runner = SegmentRunner(loaded.model, loaded.decoder, hooks, loaded.device, Forwards(shape.fixed, self._lanes))
        prefiller = Prefiller(runner, bank, rows, shape.grain, limit)
        lone = shares_nothing(rows, bank, fixed=shape.fixed)
        for row in rows:
            row.slots = shape.slots
        waiting = deque(rows)
        stopwatch = Stopwatch()
        while waiting or batch.n_active:
            if waiting and (batch.n_active == 0 or batch.n_free * REFILL_SHARE >= shape.slots):
                admitted = [waiting.popleft() for _ in range(min(batch.n_free, len(waiting)))]
                batch.expect(len(admitted))
                prefills = [prefilled_alone(runner, bank, rows[0], shape.grain)] if lone else prefiller.run(admitted)
                for prefilled in prefills:
                    yield from stopwatch.pausing(self._begin(prefilled, batch, bank, stopwatch))
                    yield None
            elif batch.n_active:
                yield from stopwatch.pausing(self._advance(batch, hooks, stopwatch))
                self.decoding = batch.mode
                yield None
        self._recorded.put(_recording(shape, bank), batch)

    def _begin(self, prefilled: Prefilled, batch: SlotBatch, bank: StackBank, stopwatch: Stopwatch) -> Iterator[Row]:
        """Take the first token of prefilled rows and seat those that go on."""
        record_firing(prefilled, bank)
        draws = next_draws([(row.draws, 0) for row in prefilled.rows], self._loaded.device)
        tokens, finite = choose(prefilled.logits, draws)
        chosen = torch.stack([tokens, finite], dim=1).tolist()  # read once
        stopwatch.charge(prefilled.ran or prefilled.rows)
        for row, (token, is_finite) in zip(prefilled.rows, chosen, strict=True):
            if self._accept(row, token, is_finite):
                yield row
        batch.admit(prefilled, tokens)

    def _advance(self, batch: SlotBatch, hooks: SteeringHooks, stopwatch: Stopwatch) -> Iterator[Row]:
        with screening(self._loaded.model, self._head if self.screens and not batch.shape.sampled else None):
            chosen = torch.stack(batch.step(hooks)).tolist()  # read once
        in_flight = [(slot, row) for slot, row in enumerate(batch.rows) if row is not None]
        stopwatch.charge([row for _, row in in_flight])
        for step_tokens, step_finite in zip(*chosen, strict=True):
            for slot, row in in_flight:
                if row.finish is None and self._accept(row, step_tokens[slot], step_finite[slot]):
                    batch.release(slot)
                    yield row

    def _accept(self, row: Row, token: int, finite: int) -> bool:
        if not finite:
            row.finite = False
            row.finish = "stop"
            return True
        return row.accept(token, self._loaded.stop_tokens)


def _recording(shape: BatchShape, bank: StackBank) -> Key:
    return shape.slots, shape.capacity, bank.layout, shape.sampled


def on_cuda(device: torch.device) -> bool:
    """Whether the device is a CUDA device."""
    return device.type == "cuda"


@torch.inference_mode()
def batch_dependence(model: Any, packing: Packing | None = None, probe_rows: int = 256) -> str | None:
    """Every reason why a row's bits may depend on its batch on this machine, or None when they do not.

    Dense layers on the CPU are measured: the widest and the narrowest one must give a row the same bits at every batch
    size that the engine uses (a complete ``packing`` has been measured already), and so must attention. What cannot be
    measured once for all is named, what the model brings with it before what the device adds: experts see as many rows as
    the router sends them, bitsandbytes INT8 chooses its outlier columns over the whole batch, CUDA chooses kernels by batch
    size.
    """
    reasons = list[str]()
    if has_experts(model):
        reasons.append("mixture of experts: an expert's rows depend on the whole batch")
    if threshold := outlier_threshold(model):
        reasons.append(f"INT8 chooses outlier columns over the whole batch (threshold {threshold:g}; at 0 it would not)")
    if next(model.parameters()).device.type != "cpu":
        reasons.append("CUDA chooses kernels by batch size")
    if reasons:
        return "; ".join(reasons)
    if not _attention_keeps_bits(model):
        return "this machine's attention depends on the number of rows"
    if packing is not None and packing.complete:
        return None
    linears: list[Any] = [module for module in model.modules() if isinstance(module, torch.nn.Linear | Conv1D)]
    if not linears:
        return "there is no dense layer whose products could be measured"
    for linear in {min(linears, key=_size), max(linears, key=_size)}:
        width = linear.weight.shape[0] if isinstance(linear, Conv1D) else linear.in_features
        inputs = torch.randn(probe_rows, width, generator=torch.Generator().manual_seed(0)).to(model.dtype)
        whole = linear(inputs)
        sizes = (COARSE.head, 3 * COARSE.head, *(COARSE.rows * times for times in (1, 2, 5)), probe_rows - COARSE.rows)
        if not all(torch.equal(linear(inputs[:rows]), whole[:rows]) for rows in sizes):
            return f"this machine's matrix products depend on the batch size ({type(linear).__name__}, {model.dtype})"
    return None


def _attention_keeps_bits(model: Any) -> bool:
    """As far as the model's configuration tells the shape of its heads."""
    text = model.config.get_text_config(decoder=True)
    if not isinstance(getattr(text, "num_hidden_layers", None), int):
        return True
    shapes = {one for one in heads_of(text) if all(isinstance(part, int) and part > 0 for part in one)}
    return all(attention_keeps_bits(*one) for one in sorted(shapes) if one[0] % one[1] == 0)


def _size(linear: Any) -> int:
    return int(linear.weight.numel())
