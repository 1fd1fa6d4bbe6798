"""One token for every slot: the batch of rows in flight, its cache, and the step that moves all of them on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from actors.engine.attention import masks_for, sums_by_table
from actors.engine.cache import SlotCache
from actors.engine.firing import record_step
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.graphs import EAGER, StepGraph, recorded
from actors.engine.lanes import Lanes
from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.engine.sampling import Draws, SlotDraws, drawn
from actors.families import Decoder
from actors.stacks import StackBank, Table
from actors.steering import SteeringHooks, SteeringTable, Witness

VOCABULARY_PARTS = 128
REACH_STEP = 16
"""Values are read up to a multiple of this, so that a softmax adds its terms in the same order for every reach."""


@dataclass(frozen=True)
class BatchShape:
    """``slots`` of ``capacity`` tokens. ``fixed``: the batch always has all its slots (where a matrix product's bits depend on
    its number of rows); else it shrinks in steps as rows end. ``steps_per_sync``: tokens computed before the host looks.
    ``graph``: what records a step of a fixed batch (None: decode eagerly). ``lanes``: what advances parts of it side by
    side. ``furthest``: no position beyond it is given to the model, not even a free slot's (None: any of the capacity).
    ``sampled``: rows may draw their tokens."""

    slots: int
    capacity: int
    fixed: bool
    steps_per_sync: int = 1
    grain: Grain = COARSE
    graph: Callable[[], StepGraph] | None = None
    lanes: Lanes = Lanes()  # noqa: RUF009 - one lane, without a thread
    furthest: int | None = None
    sampled: bool = False


@dataclass(frozen=True)
class _Part:
    """Rows ``span`` of the batch and their edits."""

    span: slice
    table: Table


class SlotBatch:
    """Rows in flight. Slot r holds ``rows[r]``; free slots compute along and are ignored."""

    def __init__(self, model: Any, decoder: Decoder, shape: BatchShape, bank: StackBank, device: torch.device) -> None:
        self._model, self._decoder, self._bank, self._device = model, decoder, bank, device
        self.shape = shape
        self.rows: list[Row | None] = [None] * shape.slots
        self._cache = SlotCache(decoder.n_layers, shape.slots, shape.capacity)
        self._tokens = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._positions = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._steerings = torch.zeros(shape.slots, bank.depth, dtype=torch.long, device=device)
        self._acting: list[tuple[int, ...]] = [()] * shape.slots
        self._prompts = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._chosen = torch.zeros(shape.slots, dtype=torch.long, device=device)
        self._finite = torch.ones(shape.slots, dtype=torch.bool, device=device)
        self._draws = SlotDraws(shape.slots, shape.capacity, device) if shape.sampled else None
        self._logits: Tensor | None = None
        self._parts: list[_Part] = []
        self._furthest = shape.capacity - 1 if shape.furthest is None else min(shape.furthest, shape.capacity - 1)
        self._stale, self._bound = True, shape.slots
        self._replay: Callable[[], None] | None = None
        self._undecided = shape.fixed and shape.graph is not None
        self.mode = EAGER

    @property
    def logits(self) -> Tensor:
        """Logits ``[B, vocabulary]`` of the last step, where the batch runs in one part."""
        assert self._logits is not None
        return self._logits

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values that a token takes, once rows are seated."""
        return self._cache.token_bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the slots' keys and values."""
        return self._cache.token_bytes * self.shape.slots * (self.shape.capacity + 1)

    @property
    def recorded(self) -> bool:
        """Whether steps are replayed."""
        return self._replay is not None

    def begin(self, bank: StackBank) -> None:
        """Go on with other steerings, of the same layout; no row is in flight."""
        assert not self.n_active
        self._bank, self._stale = bank, True
        self._steerings.zero_()
        self._acting = [()] * self.shape.slots

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
        seats = self._seats([prefilled.rows[index] for index in going])
        for slot, index in zip(seats, going, strict=True):
            self.rows[slot] = prefilled.rows[index]
        slots, picked = (torch.tensor(numbers, device=self._device) for numbers in (seats, going))
        some = len(going) < len(prefilled.rows)
        for positions, key_values in prefilled.spans:
            where = positions[picked]
            where = torch.where(where < 0, self.shape.capacity, where)
            kept = [(keys[picked], values[picked]) for keys, values in key_values] if some else key_values
            layers = self.shape.lanes.parts_of_layers(len(kept))
            self.shape.lanes.run([partial(self._cache.write, slots, where, kept, part) for part in layers])
        self._tokens[slots] = first_tokens[picked]
        self._prompts[slots] = torch.tensor([len(prefilled.rows[i].rendered.token_ids) for i in going], device=self._device)
        self._positions[slots] = self._prompts[slots]
        self._act({slot: prefilled.rows[i].acting(prefilled.rows[i].newest) for slot, i in zip(seats, going, strict=True)})
        if self._draws is not None:
            seated = [prefilled.rows[i] for i in going]
            self._draws.seat(slots, [(row.draws, len(row.rendered.token_ids) - 1) for row in seated])
        self._stale = True

    def expect(self, rows: int) -> None:
        """So many rows are about to be admitted."""
        self._bound = min(self.shape.grain.rows_up(self.n_active + rows), self.shape.slots)

    def _seats(self, rows: Sequence[Row]) -> list[int]:
        """A free slot for each of ``rows``, those that are edited at the same places side by side: then each lane has the work of
        fewer places."""
        free = [slot for slot, row in enumerate(self.rows) if row is None]
        near = bisect_left(free, self._bound)
        free = free[:near] if near >= len(rows) else free
        wished = (0.0 if self.shape.fixed else self._bank.order(row.steering) * self._bound for row in rows)
        return [free.pop(min(bisect_left(free, wish), len(free) - 1)) for wish in wished]

    def release(self, slot: int) -> None:
        """Free a slot whose row has ended. What is not finite is taken out: a key that is masked has weight 0, and 0 times NaN
        is NaN for the next row there."""
        row, self.rows[slot] = self.rows[slot], None
        if row is not None and not row.finite:
            self._cache.clear(slot)

    def step(self, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
        """Advance the batch; returns tokens ``[steps, B]`` and whether each was chosen from finite logits ``[steps, B]``."""
        batch = self._batch()
        chosen = []
        for ahead in range(self.shape.steps_per_sync):
            watched = {} if self._bank.steady else self._turn(ahead)
            self._renew_parts(batch)
            if self._undecided:
                self._record(hooks)
            chosen.append(self._one_step(batch, hooks, watched))
        return torch.stack([tokens for tokens, _ in chosen]), torch.stack([finite for _, finite in chosen])

    def _turn(self, ahead: int) -> dict[int, int]:
        """Let every row be edited, or not, at the token that it reads next, the host being so many steps behind; the places of
        those to watch, by slot. A row that is not edited here runs as an unsteered one: no block does more for it."""
        places = {slot: row.newest + ahead for slot, row in enumerate(self.rows) if row is not None and not row.steady}
        of = {slot: row for slot, row in enumerate(self.rows) if row is not None and slot in places}
        acting = {slot: of[slot].acting(place) for slot, place in places.items()}
        self._act({slot: number for slot, number in acting.items() if number != self._acting[slot]})
        return {slot: place for slot, place in places.items() if place in of[slot].edges}

    def _act(self, acting: Mapping[int, tuple[int, ...]]) -> None:
        """From now on the rows in these slots are edited as the parts of steerings of these numbers say."""
        if acting:
            told = torch.tensor([[slot, *self._bank.padded(row)] for slot, row in acting.items()], device=self._device)
            self._steerings[told[:, 0]] = told[:, 1:]
            self._stale = True
        for slot, number in acting.items():
            self._acting[slot] = number

    def _renew_parts(self, batch: int) -> None:
        """The edits of the rows in flight; in place where steps are replayed, as these read the very tensors."""
        spans = self.shape.lanes.parts(batch, self.shape.grain.rows)
        if not self._stale and [part.span for part in self._parts] == spans:
            return
        fresh = [_Part(span, SteeringTable()) for span in spans]
        self.shape.lanes.run([partial(self._renew, fresh, number) for number in range(len(spans))])
        if self._replay is None:
            self._parts = fresh
        else:
            for part, new in zip(self._parts, fresh, strict=True):
                part.table.copy_(new.table)  # type: ignore[arg-type] # of the same bank's depth
        self._stale = False

    @property
    def _host_picks(self) -> bool:
        """Whether the host picks out the rows that an edit concerns: on a CPU, where it looks after every step anyway."""
        return self._device.type == "cpu" and self.shape.graph is None and self.shape.steps_per_sync == 1

    def _renew(self, parts: list[_Part], number: int) -> None:
        span = parts[number].span
        if self._host_picks:
            table = self._bank.compact(self._steerings[span], self._prompts[span])
        else:
            table = self._bank.rows(self._steerings[span], self._prompts[span], lasting=self.shape.graph is not None)
        parts[number] = _Part(span, table)

    def _record(self, hooks: SteeringHooks) -> None:
        """Decide, once per batch of slots, whether steps are replayed."""
        self._undecided = False
        assert self.shape.graph is not None
        state = (self._tokens, self._positions)
        outcome = recorded(lambda: self._advance(hooks, {}), state, self._results, self.shape.graph)
        self._replay, self.mode = outcome.replay, outcome.mode

    def _results(self) -> Sequence[Tensor]:
        assert self._logits is not None
        return self._chosen, self._finite, self._logits

    def _one_step(self, batch: int, hooks: SteeringHooks, watched: Mapping[int, int]) -> tuple[Tensor, Tensor]:
        if self._replay is None or watched:  # no replay runs the hooks that watch
            self._advance(hooks, watched)
        else:
            self._replay()
        return self._chosen[:batch].clone(), self._finite[:batch].clone()

    def _advance(self, hooks: SteeringHooks, watched: Mapping[int, int]) -> None:
        """One token for every row, from and into the same tensors each time; the rows of the slots ``watched`` are looked at."""
        self.shape.lanes.run([partial(self._advance_part, part, hooks, watched) for part in self._parts])

    def _advance_part(self, part: _Part, hooks: SteeringHooks, watched: Mapping[int, int]) -> None:
        here = [slot for slot in watched if part.span.start <= slot < part.span.stop]
        picked = torch.tensor([slot - part.span.start for slot in here], device=self._device) if here else None
        witness = None if picked is None else Witness(rows=picked)
        hooks.table, hooks.witness = part.table.at(self._positions[part.span, None]), witness
        try:
            logits = self._forward(part.span)
        finally:
            hooks.table, hooks.witness = SteeringTable(), None
        if witness is not None:
            rows = [row for slot in here if (row := self.rows[slot]) is not None]
            record_step(rows, [watched[slot] for slot in here], witness, self._bank)
        self._logits = logits  # for whoever records a step, which then is of one part
        draws = None if self._draws is None else self._draws.at(part.span, self._positions[part.span])
        tokens, finite = choose(logits, draws)
        self._tokens[part.span] = tokens
        self._chosen[part.span] = tokens
        self._finite[part.span] = finite
        self._positions[part.span] += 1

    def _forward(self, span: slice) -> Tensor:
        """Logits ``[rows, vocabulary]`` after the newest token of the rows ``span``."""
        batch = span.stop - span.start
        # A row that has ended within this block of steps writes to the spare position.
        positions = self._positions[span].clamp(max=self.shape.capacity)
        reach = self._reach(positions)
        keys = torch.arange(reach, device=self._device).expand(batch, -1)
        allowed = keys <= positions[:, None]
        told = positions.clamp(max=self._furthest)
        output = self._model(
            input_ids=self._tokens[span, None],
            position_ids=told[:, None],
            attention_mask=masks_for(self._decoder, allowed[:, None, None], positions[:, None], keys),
            past_key_values=self._cache.at(span, positions, reach),
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1]
        return logits

    def _reach(self, positions: Tensor) -> int:
        """How far values are read: to the furthest row's position where that changes no bit, else everything."""
        text = self._model.config.get_text_config(decoder=True)
        queries = text.num_attention_heads // (getattr(text, "num_key_value_heads", None) or text.num_attention_heads)
        if not self._cache.paired or not sums_by_table(self._cache.sample(), queries):
            return self.shape.capacity
        return min(self.shape.capacity, rounded_up(int(positions.max()) + 1, REACH_STEP))

    def _batch(self) -> int:
        """Rows of the next forward: all slots, or as few as hold the rows in flight (which are moved to the front)."""
        if self.shape.fixed:
            return self.shape.slots
        active = [slot for slot, row in enumerate(self.rows) if row is not None]
        batch = min(self.shape.grain.rows_up(len(active)), self.shape.slots)
        stray = [slot for slot in active if slot >= batch]
        if stray:
            self._move(stray, [slot for slot in range(batch) if self.rows[slot] is None][: len(stray)])
        return batch

    def _move(self, source: Sequence[int], target: Sequence[int]) -> None:
        source_index, target_index = (torch.tensor(slots, device=self._device) for slots in (source, target))
        self._cache.move(source_index, target_index)
        for state in (self._tokens, self._positions, self._steerings, self._prompts):
            state[target_index] = state[source_index]
        if self._draws is not None:
            self._draws.move(source_index, target_index)
        for old, new in zip(source, target, strict=True):
            self.rows[new], self.rows[old] = self.rows[old], None
            self._acting[new] = self._acting[old]
        self._stale = True


def choose(logits: Tensor, draws: Draws | None = None) -> tuple[Tensor, Tensor]:
    """Token ids ``[R]`` of logits ``[R, vocabulary]``, and whether the logits were finite ``[R]``: the likeliest, or where
    there are ``draws`` with a temperature one that is drawn."""
    tokens = _first_best(logits)
    finite = torch.isfinite(logits.gather(1, tokens[:, None])[:, 0])
    return tokens if draws is None else torch.where(draws.temperature > 0, drawn(logits, draws), tokens), finite


def _first_best(logits: Tensor) -> Tensor:
    """``argmax`` over the vocabulary, the first of equals; in two levels where it divides, as a plain maximum is faster."""
    rows, vocabulary = logits.shape
    if vocabulary % VOCABULARY_PARTS or not logits.is_contiguous():
        return logits.argmax(dim=-1)
    parts = logits.view(rows, VOCABULARY_PARTS, -1)
    part = parts.amax(dim=-1).argmax(dim=-1)
    inside = parts[torch.arange(rows, device=logits.device), part].argmax(dim=-1)
    return part * parts.shape[-1] + inside
