"""Trying many steerings at once without generating: last-token activations and next-token KL, from prefill alone.

Rows of many trials share a forward. What a trial does not change is not computed again: each prompt runs unsteered once (its
trunk), a trial that edits one layer starts above that layer, and the template's prefix runs once per trial. A trial that
edits everywhere changes the embeddings, so it runs whole; only its prefix is shared by its prompts.

Sums are taken on the device and leave it per trial, never per row. A forward takes a bounded number of tokens; out of memory
halves that number and the work in hand is done again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from actors.engine.attention import slot_attention_in
from actors.engine.cache import KeyValue
from actors.engine.engine import on_cuda
from actors.engine.engine_model import EngineModel
from actors.engine.everywhere import Everywhere
from actors.engine.forced import divergence
from actors.engine.grain import Grain
from actors.engine.segments import Segment, SegmentResult, SegmentRunner
from actors.errors import OutOfMemoryError
from actors.faults import is_out_of_memory
from actors.methods.contrast import Reading, Trial
from actors.prompts import Rendered
from actors.steering import ForwardStart, SteeringBank, SteeringHooks, steered
from actors.types import Prompt

MAX_TOKENS = 4096
"""Tokens per forward, cached prefixes included. Large, because a quantized layer unpacks its weights once per forward."""
MAX_ROWS = 128
"""Rows per forward: each brings logits over the whole vocabulary."""
TRUNK_TOKENS = 1024
"""Prompt tokens whose trunks (activations at every layer that a trial edits) are held at a time."""
KL_ROWS = 16
"""Rows whose distributions are compared at a time, in float32."""

EXACT = Grain(rows=1, tokens=1, head=1)
"""Nothing is rounded up: trials need no equality of bits between batches."""

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class _ProbedPrefix:
    """The template's own tokens, run under one steering per row: keys and values ``[k, K, P, e]`` (None below the entry)."""

    tokens: Tokens
    key_values: list[KeyValue | None]

    def rows(self, places: Tensor) -> list[KeyValue | None] | None:
        """Keys and values for rows whose steerings are ``places`` ``[R]``."""
        return [kv and (kv[0][places], kv[1][places]) for kv in self.key_values] if self.tokens else None


@dataclass(frozen=True)
class _ProbedTrunk:
    """A prompt's unsteered run: its tokens after the prefix, block outputs ``hidden[l]`` ``[T, d]``, last-token outputs
    ``last[l]`` ``[d]`` and the next token's logits ``[vocabulary]``."""

    tokens: Tokens
    hidden: Mapping[int, Tensor]
    last: Mapping[int, Tensor]
    logits: Tensor


@dataclass
class _TrialSums:
    """What a trial has shown so far: sum ``[d]`` float64 over its prompts and layers, and the sum of its KLs; of a trial that
    asks for each prompt also every one's states ``[layers, d]`` and KL."""

    total: Tensor | float = 0.0
    kl: float = 0.0
    states: dict[Prompt, Tensor] = field(default_factory=dict)
    kls: dict[Prompt, float] = field(default_factory=dict)

    def add_states(self, row: _TrialRow, trial: Trial, seen: Tensor) -> None:
        self.total = self.total + seen.double().sum(dim=0)
        if trial.each:
            self.states[row.prompt] = seen.float().cpu()

    def add_kl(self, row: _TrialRow, value: float) -> None:
        self.kl += value
        self.kls[row.prompt] = value

    def reading(self, trial: Trial) -> Reading:
        count = len(trial.read) * len(trial.layers)
        mean = self.total.cpu().numpy() / count if isinstance(self.total, Tensor) else None
        kl = self.kl / len(trial.compare) if trial.compare else None
        if not trial.each:
            return Reading(mean, kl)
        states = torch.stack([self.states[one] for one in trial.read]).numpy() if trial.read else None
        return Reading(mean, kl, states, np.array([self.kls.get(one, 0.0) for one in trial.compare]) if trial.compare else None)


@dataclass(frozen=True)
class _TrialRow:
    """One prompt under trial number ``trial``; ``read`` and ``compare`` say what is wanted of it."""

    trial: int
    prompt: Prompt
    read: bool
    compare: bool


@dataclass
class _TrialRun:
    """The state of one run: the trials, their tallies, and what is known of the prompts in hand."""

    trials: Sequence[Trial]
    tallies: list[_TrialSums]
    prefix_trunk: Mapping[int, Tensor] = field(default_factory=dict)
    trunks: dict[Prompt, _ProbedTrunk] = field(default_factory=dict)


class EngineProbe:
    """Runs trials (``actors.methods.contrast``) on a loaded model; ``render`` gives a prompt's tokens."""

    def __init__(self, loaded: EngineModel, render: Callable[[Prompt], Rendered]) -> None:
        self._loaded, self._render = loaded, render
        self._everywhere = Everywhere(loaded)
        self._tokens = MAX_TOKENS

    @torch.inference_mode()
    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """One reading per trial, in order. Raises ``JobError`` where edits everywhere cannot be placed in this family."""
        self._everywhere.find(trials, self._render)
        work = _TrialRun(trials, [_TrialSums() for _ in trials])
        loaded = self._loaded
        with slot_attention_in(loaded.model), loaded.packing.applied(), steered(loaded.decoder) as hooks:
            runner = SegmentRunner(loaded.model, loaded.decoder, hooks, loaded.device)
            for prefix, prompts in self._prompts(trials):
                self._run_prompts(work, runner, hooks, prefix, prompts)
        return [tally.reading(trial) for tally, trial in zip(work.tallies, trials, strict=True)]

    def _prompts(self, trials: Sequence[Trial]) -> Iterator[tuple[Tokens, list[Rendered]]]:
        """All prompts once, by template prefix and length, in lots whose trunks fit together."""
        unique = dict.fromkeys(prompt for trial in trials for prompt in (*trial.read, *trial.compare))
        by_prefix: dict[Tokens, list[Rendered]] = defaultdict(list)
        for rendered in map(self._render, unique):
            by_prefix[rendered.token_ids[: rendered.prefix]].append(rendered)
        for prefix, members in by_prefix.items():
            lot: list[Rendered] = []
            for rendered in sorted(members, key=lambda member: len(member.token_ids)):
                if lot and (len(lot) + 1) * len(rendered.token_ids) > TRUNK_TOKENS:
                    yield prefix, lot
                    lot = []
                lot.append(rendered)
            yield prefix, lot

    def _run_prompts(
        self, work: _TrialRun, runner: SegmentRunner, hooks: SteeringHooks, prefix: Tokens, prompts: Sequence[Rendered]
    ) -> None:
        """Everything that the trials ask about ``prompts``."""
        try:
            self._run_trunks(work, runner, prefix, prompts)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise OutOfMemoryError(f"out of memory with {len(prompts)} prompts at once: {error}") from error
            raise
        groups: dict[int | None, dict[int, list[_TrialRow]]] = defaultdict(lambda: defaultdict(list))
        for number, trial in enumerate(work.trials):
            read, compare = set(trial.read), set(trial.compare)
            entry = None if trial.steering is None or trial.everywhere else min(trial.steering.layers)
            for rendered in prompts:
                row = _TrialRow(number, rendered.prompt, rendered.prompt in read, rendered.prompt in compare)
                if not (row.read or row.compare):
                    continue
                if trial.steering is None:
                    self._tally_unsteered(work, row)
                else:
                    groups[entry][number].append(row)
        for entry, rows_of in groups.items():
            with self._everywhere.edited(hooks) if entry is None else nullcontext():
                for numbers in self._lots(rows_of, work, len(prefix)):
                    self._run_safely(work, runner, prefix, entry, [rows_of[number] for number in numbers])

    def _lots(self, rows_of: Mapping[int, Sequence[_TrialRow]], work: _TrialRun, prefix: int) -> Iterator[list[int]]:
        """Trials that run together: at most ``self._tokens`` tokens and ``MAX_ROWS`` rows, but at least one trial."""
        lot: list[int] = []
        rows = longest = 0
        for number, own in rows_of.items():
            longest = max(longest, *(len(work.trunks[row.prompt].tokens) for row in own))
            rows += len(own)
            if lot and (rows > MAX_ROWS or rows * (prefix + longest) > self._tokens or (len(lot) + 1) * prefix > self._tokens):
                yield lot
                lot, rows = [], len(own)
                longest = max(len(work.trunks[row.prompt].tokens) for row in own)
            lot.append(number)
        yield lot

    def _run_safely(
        self, work: _TrialRun, runner: SegmentRunner, prefix: Tokens, entry: int | None, by_trial: Sequence[Sequence[_TrialRow]]
    ) -> None:
        """Run a lot; when memory is short, run its halves, and smaller lots from then on."""
        rows = [row for own in by_trial for row in own]
        try:
            result = self._forward(work, runner, prefix, entry, rows)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(rows) == 1:
                raise OutOfMemoryError(f"out of memory with a single prompt: {error}") from error
            result = None
        if result is not None:
            self._tally(work, entry, rows, result)
            return
        if on_cuda(self._loaded.device):
            torch.cuda.empty_cache()
        self._tokens = max(1, self._tokens // 2)
        middle = len(by_trial) // 2
        halves = [by_trial[:middle], by_trial[middle:]] if middle else [[rows[: len(rows) // 2]], [rows[len(rows) // 2 :]]]
        for half in halves:
            self._run_safely(work, runner, prefix, entry, half)

    def _run_trunks(self, work: _TrialRun, runner: SegmentRunner, prefix: Tokens, prompts: Sequence[Rendered]) -> None:
        steerings = [trial.steering for trial in work.trials if trial.steering is not None and not trial.everywhere]
        capture = frozenset(min(steering.layers) for steering in steerings)
        layers = sorted({layer for trial in work.trials for layer in trial.layers})
        past, work.prefix_trunk = None, {}
        if prefix:
            run = runner.run(Segment([prefix], capture=capture, grain=EXACT))
            past = _ProbedPrefix(prefix, run.key_values).rows(
                torch.zeros(len(prompts), dtype=torch.long, device=self._loaded.device)
            )
            work.prefix_trunk = run.captured
        own = [prompt.token_ids[len(prefix) :] for prompt in prompts]
        run = runner.run(Segment(own, len(prefix), past, capture=capture, grain=EXACT))
        work.trunks = {
            prompt.prompt: _ProbedTrunk(
                tokens,
                {layer: hidden[row, -len(tokens) :] for layer, hidden in run.captured.items()},
                {layer: run.witness.raw[layer][row] for layer in layers},
                run.logits[row],
            )
            for row, (prompt, tokens) in enumerate(zip(prompts, own, strict=True))
        }

    def _forward(
        self, work: _TrialRun, runner: SegmentRunner, prefix: Tokens, entry: int | None, rows: Sequence[_TrialRow]
    ) -> SegmentResult:
        """One forward of all ``rows`` (and one of the prefix under each of their trials)."""
        loaded, device = self._loaded, self._loaded.device
        numbers = list(dict.fromkeys(row.trial for row in rows))
        places = torch.tensor([numbers.index(row.trial) for row in rows], device=device)
        steerings = [steering for number in numbers if (steering := work.trials[number].steering) is not None]
        bank = SteeringBank(steerings, (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, device)
        ran = _ProbedPrefix((), [])
        if prefix:
            every = torch.arange(1, len(numbers) + 1, device=device)
            start = None if entry is None else ForwardStart(entry, work.prefix_trunk[entry].expand(len(numbers), -1, -1))
            run = runner.run(Segment([prefix] * len(numbers), table=bank.rows(every), entry=start, grain=EXACT))
            ran = _ProbedPrefix(prefix, run.key_values)
        trunks = [work.trunks[row.prompt] for row in rows]
        start = None if entry is None else ForwardStart(entry, _left_padded([trunk.hidden[entry] for trunk in trunks]))
        table = bank.rows(places + 1)
        return runner.run(Segment([trunk.tokens for trunk in trunks], len(prefix), ran.rows(places), table, start, grain=EXACT))

    def _tally(self, work: _TrialRun, entry: int | None, rows: Sequence[_TrialRow], result: SegmentResult) -> None:
        """Add what ``rows`` showed. Blocks up to the entry did not run: their outputs are the trunk's, but for the entry's own
        where the trial edits that in place."""
        witness = result.witness
        for place, row in enumerate(rows):
            if row.read:
                last, trial = work.trunks[row.prompt].last, work.trials[row.trial]
                if entry is None:
                    states, below = witness.seen, -1
                else:
                    states, below = (witness.seen, entry - 1) if trial.in_place else (witness.raw, entry)
                seen = [last[layer] if layer <= below else states[layer][place] for layer in trial.layers]
                work.tallies[row.trial].add_states(row, trial, torch.stack(seen))
        compared = [place for place, row in enumerate(rows) if row.compare]
        for start in range(0, len(compared), KL_ROWS):
            some = compared[start : start + KL_ROWS]
            base = torch.stack([work.trunks[rows[place].prompt].logits for place in some])
            for place, value in zip(some, divergence(base, result.logits[some]).tolist(), strict=True):
                work.tallies[rows[place].trial].add_kl(rows[place], value)

    def _tally_unsteered(self, work: _TrialRun, row: _TrialRow) -> None:
        """The unsteered model against itself: KL 0, and the trunk's own activations."""
        if row.read:
            last = work.trunks[row.prompt].last
            trial = work.trials[row.trial]
            work.tallies[row.trial].add_states(row, trial, torch.stack([last[layer] for layer in trial.layers]))


def _left_padded(rows: Sequence[Tensor]) -> Tensor:
    """Rows ``[T_r, d]`` as ``[R, T, d]``, zeros in front."""
    length = max(len(row) for row in rows)
    return torch.stack([nn.functional.pad(row, (0, 0, length - len(row), 0)) for row in rows])
