"""Row by row, through the model's own ``generate``: for blocks that keep more than keys and values (linear attention, state
spaces), for attention that cannot be replaced, and for a model that is spread over several devices.

The state of such blocks runs over every position it is given, padding included, and each family wants its positions, masks and
cache in a form of its own. ``generate`` knows that form, so nothing of it is repeated here. A row's answer depends on nothing but
the row; what is lost is speed, not truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from actors.engine.decode import choose
from actors.engine.firing import record_firing, record_step
from actors.engine.prefill import Prefilled, cosines_of
from actors.engine.rotary import Rotary
from actors.engine.rows import Row
from actors.engine.sampling import next_draws
from actors.engine.spread import following, gather
from actors.engine.stopwatch import Stopwatch
from actors.stacks import StackBank
from actors.steering import SteeringHooks, SteeringTable, Witness

Watcher = Callable[[Tensor], None]
Chooser = Callable[[Tensor], int]
"""From logits ``[1, vocabulary]`` to the next token."""


@dataclass(frozen=True)
class AloneRunner:
    """Generates rows one after the other. ``hooks`` are attached to the model's blocks (``actors.steering.steered``)."""

    model: Any
    bank: StackBank
    hooks: SteeringHooks
    device: torch.device
    stop_tokens: frozenset[int]

    def run(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield each row when it has ended."""
        stopwatch = Stopwatch()
        for row in rows:
            row.restart()
            self.answer(row)
            stopwatch.charge([row])
            yield from stopwatch.pausing(iter([row]))

    def last_token(self, row: Row) -> tuple[Tensor, Witness]:
        """Logits ``[1, vocabulary]`` after the prompt, and what every block put out and passed on at its last token."""
        seen: list[Tensor] = []

        def likeliest(logits: Tensor) -> int:
            seen.append(logits)
            return int(choose(logits)[0])

        witness = self._generate(row, 1, likeliest, lambda: True)
        return seen[0], witness

    def answer(self, row: Row, watch: Watcher | None = None) -> None:
        """Generate ``row`` to its end; ``watch`` is shown the logits ``[1, vocabulary]`` float32 of every step."""

        def step(logits: Tensor) -> int:
            if watch is not None:
                watch(logits)
            if self.hooks.witness is not None:
                self._record(row, logits, gather(self.hooks.witness, self.device))
            tokens, finite = choose(logits, next_draws([(row.draws, len(row.tokens))], logits.device))
            if bool(finite):
                row.accept(int(tokens), self.stop_tokens)
            else:
                row.finite, row.finish = False, "stop"
            self._turn(row)
            return int(tokens)

        self._generate(row, row.max_new_tokens, step, lambda: row.finish is not None)

    def _record(self, row: Row, logits: Tensor, witness: Witness) -> None:
        """What was seen of the forward that gave ``logits``: of the prompt, or of the answer's newest token."""
        if row.tokens:
            record_step([row], [row.newest], witness, self.bank)
        else:
            row.again = self._measured(row, witness)
            read = torch.arange(len(row.rendered.token_ids))[None]
            record_firing(Prefilled([row], logits[:, None], [(read, ())], witness), self.bank)

    def _measured(self, row: Row, witness: Witness) -> tuple[float | None, ...]:
        """Of each condition the cosine, measured in the row's own run where no edit comes before it there."""
        conditions = [act.condition for act in row.acts]
        entry = row.entry
        unedited = [one if one is not None and (entry is None or one.layer <= entry) else None for one in conditions]
        return tuple(None if one is None else cosines_of(witness.raw[one.layer], [one])[0] for one in unedited)

    def _turn(self, row: Row) -> None:
        """Let the row be edited, or not, at the token that it reads next, and watched where that changes."""
        self.hooks.witness = None
        if row.steady:  # the prompt's table holds for every token
            return
        prompt, place = (torch.tensor([one], device=self.device) for one in (len(row.rendered.token_ids), row.newest))
        table = self.bank.rows(self.bank.numbers([row.acting(row.newest)]), prompt).at(place[:, None])
        self.hooks.table, self.hooks.witness = following(table), Witness() if row.newest in row.edges else None

    def _generate(self, row: Row, n: int, choose_next: Chooser, ended: Callable[[], bool]) -> Witness:
        """At most ``n`` tokens after ``row``'s prompt, as ``choose_next`` says of each step's logits, until ``ended``."""

        def processor(_token_ids: Tensor, scores: Tensor) -> Tensor:
            token = choose_next(scores.to(self.device))
            return torch.full_like(scores, -torch.inf).index_fill_(1, torch.tensor([token], device=scores.device), 0.0)

        def criterion(token_ids: Tensor, _scores: object, **_options: object) -> Tensor:
            return torch.full((len(token_ids),), ended(), device=token_ids.device)

        prompt = torch.tensor([row.rendered.token_ids], device=self.device)
        witness = self.hooks.witness = Witness()
        table = self.bank.of_text([row.steering], [row.spans], [prompt.shape[1]])
        self.hooks.table = following(table.at(torch.arange(prompt.shape[1], device=self.device)[None]))
        Rotary.of(self.model).restore()
        try:
            with _greedy(self.model):
                self.model.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    max_new_tokens=n,
                    logits_processor=LogitsProcessorList([processor]),
                    stopping_criteria=StoppingCriteriaList([criterion]),
                )
        finally:
            self.hooks.table, self.hooks.witness = SteeringTable(), None
        return gather(witness, self.device)


@contextmanager
def _greedy(model: Any) -> Iterator[None]:
    """``generate`` takes the token that it is told at each step, whatever the model's files say of sampling and penalties."""
    before = model.generation_config
    model.generation_config = GenerationConfig(do_sample=False, num_beams=1, use_cache=True)
    try:
        yield
    finally:
        model.generation_config = before
