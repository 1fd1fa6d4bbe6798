"""Rows: the unit of generation, one answer to a prompt under one steering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from actors.engine.sampling import RowDraws
from actors.interventions import idle
from actors.positions import ALL, NOWHERE, Positions, Spans
from actors.prompts import Rendered
from actors.schedules import CONSTANT, Schedule
from actors.thought_budget import ThoughtBudget
from actors.types import Condition, FinishReason, Steering

CAPACITY_STEP = 32
"""Cache lengths are multiples of this. The bucket follows from the row alone, so neighbours never change it."""


@dataclass(frozen=True)
class Acting:
    """How one part of a row's steering acts: at which ``positions``, by which ``schedule``, under which ``condition``; ``idle``:
    it asks for nothing; ``follows``: what it asks for is as large as the activation makes it, and may be nothing."""

    positions: str = ALL
    schedule: str = CONSTANT
    condition: Condition | None = None
    idle: bool = False
    follows: bool = False

    @staticmethod
    def of(steering: Steering) -> tuple[Acting, ...]:
        """Of each part."""
        return tuple(
            Acting(
                *(part.positions, part.schedule, part.condition),
                idle=idle(part.intervention, part.multiplier),
                follows=part.intervention not in ("addition", "replacement"),
            )
            for part in steering.parts
        )


@dataclass
class Row:
    """One answer to a prompt of one job under steering number ``steering`` (0: unsteered), whose edits begin at ``first_layer``
    and whose parts act as ``acts`` says.

    ``sample``: which of the prompt's answers, from 0; ``draws``: how its tokens are drawn (None: the likeliest is taken).
    ``budget``: where thought and answer have one each, which then make up ``max_new_tokens``. ``tokens`` grows during generation
    (stop token excluded); ``finish`` is set when the row has ended. ``slots``: of the batch that it ran in. ``shift_ratio``,
    ``off_axis``, ``stray``: what was measured of its edits (``FiredCheck``), the ratios by the number of the part; ``resting``:
    parts that were seen to ask for nothing that could be measured.
    ``cosines``: of each part's condition, the cosine that decides (None: there is no condition); ``again``: the same, measured
    where the row's own prompt runs (empty: it was not).
    """

    job: int
    rendered: Rendered
    steering: int
    first_layer: int | None
    max_new_tokens: int
    budget: ThoughtBudget | None = None
    sample: int = 0
    draws: RowDraws | None = None
    acts: tuple[Acting, ...] = (Acting(),)
    tokens: list[int] = field(default_factory=list)
    finish: FinishReason | None = None
    finite: bool = True
    cosines: tuple[float | None, ...] = ()
    again: tuple[float | None, ...] = ()
    first_point: int | None = None
    shift_ratio: dict[int, tuple[float, float]] = field(default_factory=dict)
    resting: set[int] = field(default_factory=set)
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

    @property
    def conditional(self) -> bool:
        """Whether any part of its steering has a condition."""
        return any(act.condition is not None for act in self.acts)

    def decide(self, cosines: Sequence[float | None]) -> None:
        """From here on its conditions hold or not, by these cosines."""
        self.cosines = tuple(cosines)
        for name in ("spans", "edges"):
            self.__dict__.pop(name, None)

    def holds(self, part: int) -> bool:
        """Whether a part's condition holds, or it has none; those that are not decided hold."""
        condition, cosine = self.acts[part].condition, self.cosines[part] if self.cosines else None
        return condition is None or cosine is None or condition.holds(cosine)

    @cached_property
    def spans(self) -> tuple[Spans, ...]:
        """Of each part, the positions of its text at which it is edited."""
        prompt, suffix = self.rendered.prompt_tokens, self.rendered.suffix
        return tuple(
            Positions.of(act.positions).spans(prompt, suffix) if self.holds(part) else NOWHERE
            for part, act in enumerate(self.acts)
        )

    def within(self, length: int) -> tuple[Spans, ...]:
        """Of each part, those of the first ``length`` tokens; nothing where there are none of any."""
        found = tuple(spans.within(length) for spans in self.spans)
        return found if any(spans != NOWHERE for spans in found) else ()

    @property
    def entry(self) -> int | None:
        """The layer at which the edits of its prompt begin; None where no token of it is edited."""
        return self.first_layer if self.within(len(self.rendered.token_ids)) else None

    @property
    def steady(self) -> bool:
        """Whether it is edited at every token, and alike."""
        return all(act.positions == ALL and act.schedule == CONSTANT for act in self.acts)

    @property
    def constant(self) -> bool:
        """Whether all its edits are of the same strength wherever they are made."""
        return all(act.schedule == CONSTANT for act in self.acts)

    @property
    def newest(self) -> int:
        """Where the newest token stands, which is read next."""
        return len(self.rendered.token_ids) + len(self.tokens) - 1

    def acting(self, place: int) -> tuple[int, ...]:
        """Of each part, the number of the steering if it edits the row at ``place``, else 0."""
        return tuple(self.steering if spans.covers(place) else 0 for spans in self.spans)

    @cached_property
    def edges(self) -> frozenset[float]:
        """The places of the answer's first token, and of the last and the next one of the part that is edited; of a row whose
        edits fade also of the second, and where nothing is left of them."""
        first = len(self.rendered.token_ids)
        found: set[float] = {first}
        for act, spans in zip(self.acts, self.spans, strict=True):
            found |= {spans.again - 1, spans.again, spans.end - 1, spans.end}
            if act.schedule != CONSTANT:
                found |= {first + 1, first + Schedule.of(act.schedule).linear}
        return frozenset(found)

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
