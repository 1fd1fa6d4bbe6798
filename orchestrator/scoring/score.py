"""What a scorer says of one answer, what it may say at all, and the protocol that every scorer follows."""

from __future__ import annotations

import math
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from actors.boundary import TRACEBACK_CHARACTERS
from actors.types import Response, SampleKey
from orchestrator.scoring.answer import NO_ANSWER, NO_THOUGHT, Answer, Reads, answer_of
from orchestrator.scoring.finding import Finding

_LONGEST = 1000
"""Characters of what a scorer says that are told of."""


@dataclass(frozen=True)
class Score:
    """What one scorer says of one answer: a ``label``, or a ``value`` on its scale. ``evidence``: what decided, a JSON object."""

    label: str | None = None
    value: float | None = None
    evidence: str = "{}"


@dataclass(frozen=True)
class Labels:
    """The labels that a scorer may give, in the order in which they are shown. ``target``: the one that shows the behavior
    where the sweep names none."""

    names: tuple[str, ...]
    target: str | None = None


@dataclass(frozen=True)
class Scale:
    """What the numbers of a numeric scorer count or measure: ``unit`` in words, ``low`` and ``high`` (None: no bound)."""

    unit: str
    low: float | None = None
    high: float | None = None

    @property
    def words(self) -> str:
        """From where to where it goes."""
        if self.low is None:
            return "without an end" if self.high is None else f"up to {self.high:g}"
        return f"from {self.low:g} on" if self.high is None else f"from {self.low:g} to {self.high:g}"


class Scorer(Protocol):
    """Scores an answer from its text; deterministic. It says nothing of what counts as success, and is not asked about a response
    that has nothing of what it reads."""

    @property
    def id(self) -> str:
        """What the scores depend on beside the response: the kind, its version, and its options, see ``options.scorer_id``."""

    @property
    def says(self) -> Labels | Scale:
        """All that it may say."""

    @property
    def reads(self) -> Reads:
        """What of a response it is given."""

    def score(self, answer: Answer) -> Score:
        """The score of what it reads."""


@dataclass(frozen=True)
class Usage:
    """How often a model is asked for scores, the tokens that this takes, what they cost (None: no price is given), and how many
    seconds of a worker (None: none is asked)."""

    calls: int
    prompt_tokens: int
    reply_tokens: int
    cost: float | None
    seconds: float | None = None

    @classmethod
    def priced(cls, calls: int, tokens: tuple[int, int], price: Mapping[str, float] | None) -> Usage:
        """At a ``price`` for a million tokens of ``input`` and of ``output``."""
        cost = None if price is None else (tokens[0] * price["input"] + tokens[1] * price["output"]) / 1e6
        return cls(calls, *tokens, cost)

    def plus(self, other: Usage) -> Usage:
        """Both; with a cost only where both have one."""
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        read, written = self.prompt_tokens + other.prompt_tokens, self.reply_tokens + other.reply_tokens
        return Usage(self.calls + other.calls, read, written, cost)


class Kept(Protocol):
    """What a scorer has found out, by keys of its own, and need not find out again; a ``dict`` is one that forgets at the end."""

    def get(self, key: str, /) -> Mapping[str, Any] | None:
        """What was kept under ``key``; None where nothing was."""

    def update(self, found: Mapping[str, Mapping[str, Any]], /) -> None:
        """Keep ``found``, JSON objects by their keys, before this returns."""


@runtime_checkable
class CellScorer(Scorer, Protocol):
    """A scorer that takes the answers of a cell at once, and needs something that may be away."""

    def check(self) -> None:
        """InputError, in words, unless it can score now."""

    def estimate(self, prompts: Sequence[str], new_tokens: int) -> Usage:
        """About what answers of at most ``new_tokens`` to ``prompts`` take, at most."""

    def score_all(self, answers: Sequence[Answer], kept: Kept) -> Sequence[Score | Exception]:
        """A score of each answer, or why there is none."""


@dataclass(frozen=True)
class ResponseScore:
    """The score of one response; a row of ``scores/<scorer>/<cell_id>.parquet``."""

    prompt_id: Annotated[str, "of the prompt, in the behavior's file"]
    label: Annotated[
        str | None,
        "what the scorer calls the answer; `no_answer` or `no_thought` where there is none of what it reads; null where it gives "
        "numbers",
    ]
    value: Annotated[float | None, "the number that it gives; null where it gives labels, and where there is nothing to read"]
    evidence: Annotated[str, "why, a JSON object: the rule that decided, and the phrase it matched or the numbers it measured"]
    answer: Annotated[
        str | None,
        "what was judged, where that is not the whole response but what the model said after its thoughts (or what the scorer "
        "`reads`); empty where that had not begun",
    ]
    sample: Annotated[int, "which of the prompt's responses, from 0"] = 0

    @property
    def key(self) -> SampleKey:
        """Which of its cell's responses."""
        return self.prompt_id, self.sample

    @property
    def unread(self) -> bool:
        """Whether there was nothing to score."""
        return self.value is None and self.label in UNREAD


UNREAD = (NO_ANSWER, NO_THOUGHT, None)
"""What stands for a label where there is nothing to score; of a scorer that gives numbers nothing does."""


LOSS_COHERENCE = "coherence_loss"
"""The kind of the scorer that reads the losses of answers, which are measured as damage."""

GARBLED_BY_LOSS = (
    "Garbled is decided by the answers' loss under the unsteered model, too, which damage measures: rates of garbled and of "
    "success differ from those by rules alone."
)
GARBLED_BY_RULES = "Garbled is decided by rules of form alone: its rate is a lower bound."


WorstOf = Literal["span", "window"]
"""Which of an answer's tokens are its worst: ``SPAN`` of them in a row (``actors.damage``), or ``WINDOW``, as before."""


def reads_losses(scorer: str) -> bool:
    """Whether the scorer of this id waits for the losses of the answers."""
    return scorer.partition("@")[0] == LOSS_COHERENCE


class UndeclaredError(ValueError):
    """A scorer gave what it had not said that it may give."""


class ScoringError(Exception):
    """A scorer failed on a response; told with the notes of what it raised, of which ``trace`` is the traceback. Both are of
    bounded length."""

    def __init__(self, scorer: str, prompt_id: str, error: BaseException) -> None:
        at = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))[:_LONGEST]
        super().__init__(f"{scorer} failed on the response to prompt {prompt_id}: {raised(error)}{at}")
        self.trace = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]


def raised(error: BaseException) -> str:
    """``ValueError: what it says`` of what a user's own code raised, which may be of any length, or raise once more."""
    try:
        return f"{type(error).__name__}: {str(error)[:_LONGEST]}"
    except Exception:  # noqa: BLE001  # an error that cannot say what it is
        return type(error).__name__


def is_own(error: BaseException) -> bool:
    """Whether the code that was called raised it (``sys.exit`` included), and not a signal, which the main thread alone gets."""
    return not isinstance(error, KeyboardInterrupt) or threading.current_thread() is not threading.main_thread()


def score_responses(scorer: Scorer, responses: Sequence[Response], kept: Kept | None = None) -> tuple[ResponseScore, ...]:
    """The scores of a cell's responses, in their order; ``ScoringError`` where it raises or gives what it has not declared."""
    answers = [answer_of(response, scorer.reads) for response in responses]
    asked = [answer for answer in answers if answer.missing is None]
    whole = scorer.score_all(asked, {} if kept is None else kept) if isinstance(scorer, CellScorer) else [None] * len(asked)
    given = iter(whole)
    found = []
    for answer in answers:
        if answer.missing is not None:
            found.append(_unread(answer, answer.missing, scorer.says))
            continue
        try:
            score = next(given) or scorer.score(answer)
            if isinstance(score, Exception):
                raise score
            require_declared(scorer.says, score.label, score.value)
        except BaseException as error:  # whatever a scorer of the user's own raises is a failure of this item alone
            if not is_own(error):
                raise
            raise ScoringError(scorer.id, answer.prompt_id, error) from error
        judged = None if answer.whole else answer.text
        found.append(ResponseScore(answer.prompt_id, score.label, score.value, score.evidence, judged, answer.sample))
    return tuple(found)


def _unread(answer: Answer, missing: str, says: Labels | Scale) -> ResponseScore:
    told = {} if answer.thought is None else {"thought_characters": len(answer.thought)}
    label = missing.partition(":")[0] if isinstance(says, Labels) else None
    return ResponseScore(answer.prompt_id, label, None, Finding(missing, **told).evidence(), "", answer.sample)


def require_declared(says: Labels | Scale, label: object, value: object) -> None:
    """``UndeclaredError`` unless it is a label that was declared, or a finite number on the scale that was."""
    if isinstance(says, Labels):
        if label not in says.names or value is not None:
            raise UndeclaredError(f"gave {label if value is None else value!r}; declared: {', '.join(says.names)}")
        return
    if label is not None or not isinstance(value, float) or not math.isfinite(value):
        raise UndeclaredError(
            f"gave {value if label is None else label!r}, which is no finite number, and has declared no labels"
        )
    if (says.low is not None and value < says.low) or (says.high is not None and value > says.high):
        raise UndeclaredError(f"gave {value:g}, which is not between {says.low} and {says.high}")
