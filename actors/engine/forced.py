"""Teacher forcing: what a model, steered or not, says at every position of continuations that are given to it.

A row runs as a prompt does that ends before its continuation's last token, so prefill's sharing serves here too: what rows begin
with runs once per steering, each text runs unsteered once, and a steered row starts above its first steered layer. Numbers are
reduced to what is asked for row by row: whole distributions leave nothing behind.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actors.engine.attention import slot_attention_in
from actors.engine.conditions import ConditionReader
from actors.engine.engine_model import EngineModel
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.lanes import Lanes
from actors.engine.memory import SHARED_PREFIX_SHARE, free_bytes
from actors.engine.prefill import Prefiller
from actors.engine.rotary import Rotary
from actors.engine.rows import Acting, Row
from actors.engine.segments import Forwards, SegmentRunner
from actors.engine.site_hooks import at_sites
from actors.engine.spread import following
from actors.engine.unsteered import unsteered_tails
from actors.errors import OutOfMemoryError
from actors.faults import is_out_of_memory
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import SteeringHooks, SteeringTable, steered
from actors.types import FloatArray, Prompt, Steering

logger = logging.getLogger(__name__)

PADDED = 8
"""Texts are padded to a multiple of so many tokens: fewer different lengths, so fewer forwards of more rows each."""

MAX_LOGITS = 2**26
"""Logits that a forward of several rows may give at most."""
Found = TypeVar("Found")
Divergences = npt.NDArray[np.float64]
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class ForcedRow:
    """``continuation`` after ``prompt`` (token ids, neither empty) under the ``steering``-th steering of the call (0: unsteered).

    ``prefix``: so many first tokens of the prompt, but not all, run once for all rows that share them. ``suffix``: so many last
    tokens of the prompt are the template's (``Rendered``). ``alone``: in a forward of its own, with the model's own weights and
    attention, so that unsteered its bits are those of the plain model.
    """

    prompt: Tokens
    prefix: int
    continuation: Tokens
    steering: int = 0
    suffix: int = 1
    alone: bool = False

    @property
    def text(self) -> Tokens:
        """What the model reads: the continuation's last token is only foretold."""
        return (*self.prompt, *self.continuation[:-1])


@dataclass(frozen=True)
class Likelihoods:
    """Of each of a row's continuation's ``n`` tokens, given those before it: ``log_probs`` float32 ``[n]`` in nats (NaN where the
    logits are not finite), and whether it is the likeliest one, ``greedy`` bool ``[n]``. ``total``: the sum of ``log_probs``, as
    torch adds them up where the model is."""

    log_probs: FloatArray
    greedy: npt.NDArray[np.bool_]
    total: float


Reading = Callable[[ForcedRow, Tensor, Tensor], Found]
"""What is wanted of a row, from its logits ``[n, vocabulary]`` and those of the unsteered model on the same text."""


def likelihoods(row: ForcedRow, logits: Tensor, _unsteered: Tensor) -> Likelihoods:
    """How likely the continuation is under the row's steering."""
    chosen, tokens = _log_probs(row, logits), torch.tensor(row.continuation, device=logits.device)
    return Likelihoods(chosen.cpu().numpy(), (logits.argmax(dim=-1) == tokens).cpu().numpy(), float(chosen.sum()))


def losses(row: ForcedRow, logits: Tensor, _unsteered: Tensor) -> FloatArray:
    """Of each token of the continuation, its negative log-probability under the row's steering: float32 ``[n]``, in nats."""
    return (-_log_probs(row, logits)).cpu().numpy()


def divergences(_row: ForcedRow, logits: Tensor, unsteered: Tensor) -> Divergences:
    """KL(unsteered || steered) at each position ``[n]``, in nats."""
    return divergence(unsteered, logits).cpu().numpy()


def _log_probs(row: ForcedRow, logits: Tensor) -> Tensor:
    tokens = torch.tensor(row.continuation, device=logits.device)
    return torch.log_softmax(logits.float(), dim=-1).gather(1, tokens[:, None])[:, 0]


def divergence(base: Tensor, other: Tensor) -> Tensor:
    """KL(base || other) of each row's distribution, in nats, ``[R]`` float64 from logits ``[R, vocabulary]``."""
    p, q = (torch.log_softmax(logits.float(), dim=-1) for logits in (base, other))
    # A token without probability in the base adds nothing, whatever the other says (0 * inf would be NaN).
    terms = torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))
    return terms.sum(dim=-1, dtype=torch.float64).clamp(min=0.0)


@dataclass(frozen=True)
class Forced:
    """Runs forced rows on a loaded model; ``lanes`` and ``rotary`` as its engine has them. ``make_room`` gives memory back."""

    loaded: EngineModel
    lanes: Lanes
    rotary: Rotary
    make_room: Callable[[], None]
    conditions: ConditionReader

    @torch.inference_mode()
    def run(self, rows: Sequence[ForcedRow], steerings: Sequence[Steering], read: Reading[Found]) -> list[Found]:
        """What ``read`` says of each row, in order.

        Out of memory halves the rows of a forward; ``OutOfMemoryError`` at a single one.
        """
        loaded = self.loaded
        work = _ForcedWork(self, rows, steerings, read)
        self.conditions.decide(work.rows)
        shared = not loaded.decoder.runs_alone
        batched = [shared and not row.alone and self.rotary.shares(len(row.text)) for row in rows]
        sites = loaded.model, loaded.decoder, work.points
        for plain in (True, False):
            single = sorted(
                (n for n, row in enumerate(rows) if not batched[n] and row.alone is plain), key=lambda n: rows[n].text
            )
            if not single:
                continue
            weights = nullcontext() if plain else loaded.packing.applied()
            with weights, steered(loaded.decoder) as hooks, at_sites(hooks, *sites):
                for number in single:
                    self.rotary.restore()
                    work.run_alone(number, hooks)
        together = [number for number, alike in enumerate(batched) if alike]
        if together:
            with (
                slot_attention_in(loaded.model),
                self.rotary.held(),
                loaded.packing.applied(),
                steered(loaded.decoder) as hooks,
                at_sites(hooks, *sites),
            ):
                forwards = Forwards(loaded.batch_dependence is not None, self.lanes)
                runner = SegmentRunner(loaded.model, loaded.decoder, hooks, loaded.device, forwards)
                if steerings:
                    work.run_together(together, runner)
                else:
                    work.run_unsteered(together, runner)
        return [work.found[number] for number in range(len(rows))]


class _ForcedWork(Generic[Found]):
    """The rows of one call, by their numbers, and what has been ``found`` of them."""

    def __init__(self, forced: Forced, rows: Sequence[ForcedRow], steerings: Sequence[Steering], read: Reading[Found]) -> None:
        loaded = forced.loaded
        self._loaded, self._make_room, self._rows, self._read = loaded, forced.make_room, rows, read
        self._bank = StackBank(steerings, (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        self._entry = [None, *(steering.first_layer for steering in steerings)]
        self._acting = [(Acting(),), *(Acting.of(steering) for steering in steerings)]
        self.rows = [self._row(number) for number in range(len(rows))]
        self._base: tuple[tuple[Tokens, int], Tensor] = (((), 0), torch.empty(0))
        self.found: dict[int, Found] = {}

    @property
    def points(self) -> tuple[int, ...]:
        """Where the rows' steerings act."""
        return self._bank.layers

    def run_together(self, numbers: Sequence[int], runner: SegmentRunner) -> None:
        """Rows under steerings; those that share a prefix in as few forwards as memory allows, those of one text beside each
        other."""
        groups: dict[tuple[Tokens, int], list[int]] = defaultdict(list)
        for number in sorted(numbers, key=lambda number: (len(self._rows[number].text), self._rows[number].text)):
            row = self._rows[number]
            groups[row.prompt[: row.prefix], len(row.continuation).bit_length()].append(number)
        for group in groups.values():
            limit = int(free_bytes(self._loaded.device) * SHARED_PREFIX_SHARE)
            keep = self._kept(group)
            prefiller = Prefiller(runner, self._bank, [self.rows[number] for number in group], self._grain, limit, keep)

            def forwards(left: Sequence[int], at_once: int, prefiller: Prefiller = prefiller) -> None:
                for prefilled in prefiller.run([self.rows[number] for number in left[:at_once]]):
                    for row, tail, unsteered in zip(prefilled.rows, prefilled.tail, prefilled.unsteered, strict=True):
                        self._take(row.job, tail, unsteered[0])

            self._in_memory(group, keep, forwards)

    def run_unsteered(self, numbers: Sequence[int], runner: SegmentRunner) -> None:
        """Rows under no steering, in as few forwards as memory allows."""
        texts = {number: (row.text, row.prefix, len(row.continuation)) for number, row in enumerate(self._rows)}

        def forwards(left: Sequence[int], at_once: int) -> None:
            for place, tail in unsteered_tails(runner, [texts[number] for number in left], self._grain, at_once):
                self._take(left[place], tail, tail)

        self._in_memory(numbers, self._kept(numbers), forwards)

    @property
    def _grain(self) -> Grain:
        grain = self._loaded.grain
        return replace(grain, tokens=max(grain.tokens, PADDED))

    def _kept(self, numbers: Sequence[int]) -> int:
        """Positions whose logits are kept where these rows run together."""
        return rounded_up(max(len(self._rows[number].continuation) for number in numbers), COARSE.head)

    def _in_memory(self, numbers: Sequence[int], keep: int, forwards: Callable[[Sequence[int], int], None]) -> None:
        """Call ``forwards`` with the rows that are left and how many may run at once, until all are found."""
        vocabulary = int(self._loaded.model.config.get_text_config(decoder=True).vocab_size)
        at_once = max(1, MAX_LOGITS // (keep * vocabulary))
        while left := [number for number in numbers if number not in self.found]:
            try:
                forwards(left, at_once)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                at_once = min(at_once, len(left))
                if at_once == 1:
                    raise OutOfMemoryError(f"out of memory with a single continuation: {error}") from error
                at_once //= 2
                logger.warning("out of memory: going on with %d continuations at once", at_once)
            else:
                continue
            self._make_room()  # not before the error is gone, whose frames hold the batch

    def run_alone(self, number: int, hooks: SteeringHooks) -> None:
        """One row in one forward, without padding, cache or neighbours; the last text's unsteered logits are kept."""
        row = self._rows[number]
        read = row.text, len(row.continuation)
        if self._base[0] != read:
            self._base = read, self._plain(number, 0, hooks)
        self._take(number, self._plain(number, row.steering, hooks) if row.steering else self._base[1], self._base[1])

    def _plain(self, number: int, steering: int, hooks: SteeringHooks) -> Tensor:
        row, device = self._rows[number], self._loaded.device
        tokens = torch.tensor([row.text], device=device)
        table = self._bank.of_text(
            [steering], [self.rows[number].spans], [len(row.text)], torch.tensor([len(row.prompt)], device=device)
        )
        hooks.table = following(table.at(torch.arange(tokens.shape[1], device=device)[None]))
        try:
            logits: Tensor = self._loaded.model(input_ids=tokens, use_cache=False).logits
        finally:
            hooks.table = SteeringTable()
        return logits[0, -len(row.continuation) :].to(device)

    def _row(self, number: int) -> Row:
        row = self._rows[number]
        rendered = Rendered(Prompt("", ""), "", row.text, row.prefix, row.suffix, len(row.continuation) - 1)
        return Row(number, rendered, row.steering, self._entry[row.steering], 0, acts=self._acting[row.steering])

    def _take(self, number: int, logits: Tensor, unsteered: Tensor) -> None:
        row = self._rows[number]
        n = len(row.continuation)
        self.found[number] = self._read(row, logits[-n:], unsteered[-n:])
