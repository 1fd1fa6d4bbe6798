"""Rows: the unit of generation, one answer to a prompt under one steering."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from actors.engine.sampling import RowDraws
from actors.positions import ALL, NOWHERE, Positions, Spans
from actors.prompts import Rendered
from actors.schedules import CONSTANT, Schedule
from actors.thought_budget import ThoughtBudget
from actors.types import FinishReason

CAPACITY_STEP = 32
"""Cache lengths are multiples of this. The bucket follows from the row alone, so neighbours never change it."""


@dataclass
class Row:
    """One answer to a prompt of one job under steering number ``steering`` (0: unsteered), whose edits begin at ``first_layer``
    and are made at ``positions``, by ``schedule``.

    ``sample``: which of the prompt's answers, from 0; ``draws``: how its tokens are drawn (None: the likeliest is taken).
    ``budget``: where thought and answer have one each, which then make up ``max_new_tokens``. ``tokens`` grows during generation
    (stop token excluded); ``finish`` is set when the row has ended. ``slots``: of the batch that it ran in. ``shift_ratio``,
    ``off_axis``, ``stray``: what was measured of its edits (``FiredCheck``).
    """

    job: int
    rendered: Rendered
    steering: int
    first_layer: int | None
    max_new_tokens: int
    budget: ThoughtBudget | None = None
    sample: int = 0
    draws: RowDraws | None = None
    positions: str = ALL
    schedule: str = CONSTANT
    tokens: list[int] = field(default_factory=list)
    finish: FinishReason | None = None
    finite: bool = True
    shift_ratio: tuple[float, float] | None = None
    off_axis: float | None = None
    stray: float | None = None
    residual_norm: float | None = None
    seconds: float = 0.0
    slots: int = 1

    @property
    def needed(self) -> int:
        """Tokens of the prompt and of the longest answer."""
        return len(self.rendered.token_ids) + self.max_new_tokens

    @property
    def capacity(self) -> int:
        """Cache length in tokens that this row needs, rounded up to its bucket."""
        return -(-self.needed // CAPACITY_STEP) * CAPACITY_STEP

    @cached_property
    def spans(self) -> Spans:
        """The positions of its text at which it is edited."""
        return Positions.of(self.positions).spans(self.rendered.prompt_tokens, self.rendered.suffix)

    @property
    def entry(self) -> int | None:
        """The layer at which the edits of its prompt begin; None where no token of it is edited."""
        return None if self.spans.within(len(self.rendered.token_ids)) == NOWHERE else self.first_layer

    @property
    def steady(self) -> bool:
        """Whether it is edited at every token, and alike."""
        return self.positions == ALL and self.schedule == CONSTANT

    @property
    def newest(self) -> int:
        """Where the newest token stands, which is read next."""
        return len(self.rendered.token_ids) + len(self.tokens) - 1

    def acting(self, place: int) -> int:
        """The number of the steering that edits it at ``place``."""
        return self.steering if self.spans.covers(place) else 0

    @cached_property
    def edges(self) -> frozenset[float]:
        """The places of the answer's first token, and of the last and the next one of the part that is edited; of a row whose
        edits fade also of the second, and where nothing is left of them."""
        first, spans = len(self.rendered.token_ids), self.spans
        faded = () if self.schedule == CONSTANT else (first + 1, first + Schedule.of(self.schedule).linear)
        return frozenset((first, spans.again - 1, spans.again, spans.end - 1, spans.end, *faded))

    def restart(self) -> None:
        """Forget a partial answer (the batch it was in ran out of memory)."""
        self.tokens.clear()
        self.finish = None
        if self.budget is not None:
            self.budget.restart()

    def accept(self, token: int, stop_tokens: frozenset[int]) -> bool:
        """Take the next token; True when the row has ended."""
        if token in stop_tokens:
            self.finish = "stop"
        else:
            self.tokens.append(token)
            if self.budget is not None:
                self.finish = self.budget.spent(self.tokens)
            elif len(self.tokens) >= self.max_new_tokens:
                self.finish = "length"
        return self.finish is not None
