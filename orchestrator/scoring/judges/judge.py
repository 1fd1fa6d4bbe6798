"""The scorer ``judge``: asks a model about each answer of a cell, several at a time, and never the same thing twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from orchestrator.errors import fault
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.judges.endpoint import DECLINED, Endpoint, EndpointError, Reply, UnreachableError
from orchestrator.scoring.judges.rubric import UnreadableReplyError, load_rubric
from orchestrator.scoring.options import LabelText, Phrase, ScorerOptions, scorer_id
from orchestrator.scoring.score import Kept, Score, Usage
from orchestrator.strict import Entry
from orchestrator.untrusted import visible

VERSION = "1"
"""Raise it when the same rubric and reply could give another score."""


CHARACTERS_PER_TOKEN = 4
"""About, in English."""


class Price(Entry):
    """What a million tokens cost, in the unit of your choice."""

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


class JudgeOptions(ScorerOptions):
    """``rubric``: a shipped one or a Markdown file beside the sweep file, with its ``slots`` filled. ``model``: as the endpoint
    calls it. The key is in the variable ``api_key_env``, the URL in the one of the same name with ``_BASE_URL``. ``concurrency``:
    questions at once; ``timeout``: seconds for each try. Neither these nor ``retries`` and ``price`` are part of the id."""

    rubric: Phrase
    model: LabelText
    slots: dict[LabelText, Phrase] = Field(default_factory=dict)
    temperature: float = Field(default=0.0, ge=0, le=2, allow_inf_nan=False)
    max_tokens: int = Field(default=400, ge=1, le=100_000)
    concurrency: int = Field(default=8, ge=1, le=1000)
    timeout: float = Field(default=60.0, gt=0, le=3600, allow_inf_nan=False)
    retries: int = Field(default=5, ge=0, le=100)
    api_key_env: str = "OPENAI_API_KEY"
    price: Price | None = None

    @field_validator("api_key_env")
    @classmethod
    def _names_a_key(cls, name: str) -> str:
        if re.fullmatch(r"[A-Z][A-Z0-9_]*_API_KEY", name) is None:
            raise fault("no variable that may hold a judge's key", "a name in capitals that ends in _API_KEY")
        return name


class _Identity(BaseModel):
    """All that the scores of an answer depend on."""

    rubric: str
    model: str
    temperature: float
    max_tokens: int
    reads: Reads = "answer"


class JudgeScorer:
    """What a model says of an answer by a rubric. Replies are kept by the question that they answer."""

    def __init__(self, options: JudgeOptions, folder: Path) -> None:
        self._rubric = load_rubric(options.rubric, options.slots, folder)
        self._options, self.says = options, self._rubric.says
        self.reads: Reads = options.reads
        self._away = False  # found so by the last cell: the next one tries each question once
        identity = _Identity(
            rubric=self._rubric.digest,
            model=options.model,
            temperature=options.temperature,
            max_tokens=options.max_tokens,
            reads=options.reads,
        )
        self.id = scorer_id("judge", VERSION, identity)
        self._endpoint = Endpoint(
            options.model,
            options.api_key_env,
            options.temperature,
            options.max_tokens,
            options.timeout,
            options.retries,
            self._rubric.schema,
        )

    def check(self) -> None:
        """InputError unless the endpoint answers."""
        self._endpoint.check()

    def estimate(self, prompts: Sequence[str], new_tokens: int) -> Usage:
        """Replies are as long as they may be."""
        read = sum(len(self._rubric.ask(prompt, "")) // CHARACTERS_PER_TOKEN + new_tokens for prompt in prompts)
        price = self._options.price
        written = len(prompts) * self._options.max_tokens
        return Usage.priced(len(prompts), (read, written), None if price is None else price.model_dump())

    def score(self, answer: Answer) -> Score:
        """The score of one answer; raises what hindered that. Nothing is kept."""
        (found,) = self.score_all([answer], {})
        if isinstance(found, Exception):
            raise found
        return found

    def score_all(self, answers: Sequence[Answer], kept: Kept) -> Sequence[Score | Exception]:
        """The scores of a cell's answers; of those that could not be scored, why. A reply that was kept and is no verdict counts
        as it is: to ask again, ``retry`` forgets it."""
        questions = [self._rubric.ask(answer.prompt, answer.text) for answer in answers]
        found: dict[str, Score | Exception] = {}
        for question in dict.fromkeys(questions):
            if (reply := Reply.kept(kept.get(question_key(question)))) is not None:
                found[question] = self._verdict(reply)
        missing = [question for question in dict.fromkeys(questions) if question not in found]
        if missing:
            found |= asyncio.run(self._ask_all(missing, kept))
        return [found[question] for question in questions]

    def unreadable(self, kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The keys of the replies that are no verdict."""
        replies = {key: Reply.kept(said) for key, said in kept.items()}
        return [key for key, reply in replies.items() if reply is not None and isinstance(self._verdict(reply), Exception)]

    async def _ask_all(self, questions: Sequence[str], kept: Kept) -> Mapping[str, Score | Exception]:
        """What comes of ``questions``. Replies are kept before anything is made of them; once the endpoint is away, no more are
        begun."""
        found: dict[str, Score | Exception] = {}
        away: list[UnreachableError] = []
        places = asyncio.Semaphore(self._options.concurrency)

        async def ask(question: str) -> Reply:
            async with places:
                if away:
                    raise away[0]
                try:
                    return await self._endpoint.ask(client, question)
                except UnreachableError as error:
                    away.append(error)
                    raise

        try:
            client = self._endpoint.client(patient=not self._away)
        except UnreachableError as error:
            return dict.fromkeys(questions, error)
        async with client:
            waiting = {asyncio.ensure_future(ask(question)): question for question in questions}
            while waiting:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                replies: dict[str, Reply] = {}
                for task in done:
                    question = waiting.pop(task)
                    try:
                        replies[question] = task.result()
                    except EndpointError as error:
                        found[question] = error
                kept.update({question_key(question): asdict(reply) for question, reply in replies.items()})
                found |= {question: self._verdict(reply) for question, reply in replies.items()}
        self._away = bool(away)
        return found

    def _verdict(self, reply: Reply) -> Score | Exception:
        try:
            return self._score(reply)
        except UnreadableReplyError as error:
            return error

    def _score(self, reply: Reply) -> Score:
        if reply.finish_reason == DECLINED:
            raise UnreadableReplyError(f"it declined to judge: {visible(reply.text, 200)}")
        if reply.finish_reason != "stop":
            hint = "; see max_tokens" if reply.finish_reason == "length" else ""
            raise UnreadableReplyError(f"it ended by {reply.finish_reason} after {reply.reply_tokens} tokens{hint}")
        score = self._rubric.read(reply.text)
        told = {**json.loads(score.evidence), "model": reply.model, "tokens": [reply.prompt_tokens, reply.reply_tokens]}
        return replace(score, evidence=json.dumps(told, ensure_ascii=False))


def question_key(question: str) -> str:
    """Under which the reply to a question is kept; rubric, model and decoding are in the scorer's id already."""
    return hashlib.sha256(question.encode()).hexdigest()[:32]
