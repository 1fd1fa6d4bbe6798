"""The scorer ``pool_judge``: a model of the sweep itself judges. It writes nothing: which of the replies that a rubric allows it
gives follows from how likely each of them is to it, so there is no reply that cannot be read.

The model is asked as work of its own (``orchestrator.judging``); scores are made of the replies that were kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from actors.types import JudgingJob
from orchestrator.errors import InputError, Problem
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.judges.judge import CHARACTERS_PER_TOKEN, question_key
from orchestrator.scoring.judges.pool_scorer import PoolScorer, PoolScorerOptions
from orchestrator.scoring.judges.rubric import Rubric, load_rubric
from orchestrator.scoring.options import LabelText, Phrase, scorer_id
from orchestrator.scoring.score import Score, Usage

VERSION = "1"
"""Raise it when the same rubric and likelihoods could give another score."""

MOST_NUMBERS = 201
"""Numbers of a scale that are compared at most."""


class PoolJudgeOptions(PoolScorerOptions):
    """``rubric`` and ``slots`` as of a judge at an endpoint."""

    rubric: Phrase
    slots: dict[LabelText, Phrase] = Field(default_factory=dict)


class _PoolIdentity(BaseModel):
    rubric: str
    variant: str
    reads: Reads = "answer"


@dataclass(frozen=True)
class AskedField:
    """One thing that is asked: the field ``name`` of the reply, and the JSON texts that it may have; ``last``: none follows."""

    name: str
    answers: tuple[str, ...]
    last: bool

    @property
    def replies(self) -> tuple[str, ...]:
        """How a reply begins with each of the answers; none is the beginning of another one."""
        return tuple(f'{{"{self.name}": {answer}{"}" if self.last else ","}' for answer in self.answers)


class _KeptVerdict(BaseModel):
    """A reply as it is kept."""

    model_config = ConfigDict(strict=True)

    text: str
    shares: dict[str, dict[str, FiniteFloat]]
    allowed: FiniteFloat
    seconds: FiniteFloat
    prompt_tokens: int
    reply_tokens: int


class PoolJudge(PoolScorer):
    """What a model of the sweep says of an answer by a rubric; ``variant`` is its id."""

    def __init__(self, options: PoolJudgeOptions, folder: Path) -> None:
        rubric = load_rubric(options.rubric, options.slots, folder)
        self._rubric = replace(rubric, head=rubric.head.model_copy(update={"reason": False}))
        self.says, self.variant = rubric.says, options.variant
        self.reads: Reads = options.reads
        self._choices = tuple(_choices(self._rubric))
        self.id = scorer_id(
            "pool_judge", VERSION, _PoolIdentity(rubric=self._rubric.digest, variant=options.variant, reads=options.reads)
        )

    @property
    def replies(self) -> tuple[tuple[str, ...], ...]:
        """Beginnings of replies that are compared, for each thing that is asked."""
        return tuple(one.replies for one in self._choices)

    @property
    def work(self) -> int:
        """The characters of the replies that are compared."""
        return sum(map(len, self.replies))

    def questions(self, answers: Sequence[Answer]) -> dict[str, str]:
        """The rubric's question about each of them."""
        asked = (self._rubric.ask(answer.prompt, answer.text) for answer in answers)
        return {question_key(one): one for one in asked}

    def job(self, item_id: str, questions: Mapping[str, str]) -> JudgingJob:
        """How likely each of the replies is."""
        return JudgingJob(item_id, questions, self.replies)

    def estimate(self, prompts: Sequence[str], new_tokens: int) -> Usage:
        """The tokens of the questions, and of the replies that are compared."""
        read = sum(len(self._rubric.ask(prompt, "")) // CHARACTERS_PER_TOKEN + new_tokens for prompt in prompts)
        each = sum(len(reply) for choice in self.replies for reply in choice) // CHARACTERS_PER_TOKEN
        return Usage(len(prompts), read, len(prompts) * each, None)

    def told(self, answer: Answer, read: Score) -> Score:
        """It follows from the reply alone."""
        return read

    def read(self, said: Mapping[str, Any]) -> Score:
        """What the reply says by the rubric."""
        reply = _KeptVerdict.model_validate(said)
        score = self._rubric.read(reply.text)
        told = {**json.loads(score.evidence), "shares": reply.shares, "allowed": reply.allowed, "seconds": reply.seconds}
        told["tokens"] = [reply.prompt_tokens, reply.reply_tokens]
        return replace(score, evidence=json.dumps(told, ensure_ascii=False))

    def reply(self, measured: Mapping[str, Any]) -> dict[str, Any]:
        """The likeliest reply, with how likely it was beside the others."""
        found: dict[str, Any] = {}
        shares: dict[str, Any] = {}
        allowed = 1.0
        for choice, logs in zip(self._choices, measured["log_likelihoods"], strict=True):
            if len(logs) != len(choice.answers) or not all(isinstance(one, float) and math.isfinite(one) for one in logs):
                raise ValueError(f"the likelihoods of the judge's replies to {choice.name!r} are not finite")
            each = [math.exp(one - max(logs)) for one in logs]
            weights = [one / sum(each) for one in each]
            allowed = min(allowed, sum(math.exp(one) for one in logs))
            values = [json.loads(answer) for answer in choice.answers]
            if choice.name == "score":
                mean = sum(value * weight for value, weight in zip(values, weights, strict=True))
                found["score"] = min(max(mean, values[0]), values[-1])  # rounding can lead past an end
            else:
                found[choice.name] = values[weights.index(max(weights))]
                told = (value if isinstance(value, str) else json.dumps(value) for value in values)
                shares[choice.name] = {name: round(weight, 4) for name, weight in zip(told, weights, strict=True)}
        counts = {name: int(measured[name]) for name in ("prompt_tokens", "reply_tokens")}
        beside = {"shares": shares, "allowed": float(f"{allowed:.4g}"), "seconds": round(float(measured["seconds"]), 4)}
        return {"text": json.dumps(found, ensure_ascii=False), **counts, **beside}


def _choices(rubric: Rubric) -> Iterator[AskedField]:
    """Each field of a reply as a choice. Of a scale the whole numbers are compared."""
    head = rubric.head
    fields: dict[str, tuple[str, ...]] = dict.fromkeys(head.flags, ("true", "false"))
    for name, (first, last) in head.parts.items():
        if last - first >= MOST_NUMBERS:
            told = f"a model of the pool chooses among whole numbers, and the part '{name}' goes from {first} to {last}"
            raise InputError(Problem("rubric", rubric.name, told, f"ends that are at most {MOST_NUMBERS - 1} apart"))
        fields[name] = tuple(map(str, range(first, last + 1)))
    if head.scale is None:
        fields["label"] = tuple(json.dumps(label, ensure_ascii=False) for label in head.labels or ())
    elif not head.parts:
        low, high = head.scale.low, head.scale.high
        if not (low.is_integer() and high.is_integer() and high - low < MOST_NUMBERS):
            told = f"a model of the pool chooses among whole numbers, and this scale goes from {low:g} to {high:g}"
            raise InputError(Problem("rubric", rubric.name, told, f"whole ends, at most {MOST_NUMBERS - 1} apart; or parts"))
        fields["score"] = tuple(map(str, range(int(low), int(high) + 1)))
    for number, (name, answers) in enumerate(fields.items(), start=1):
        yield AskedField(name, answers, number == len(fields))
