"""A model as judge: how likely each of the replies is to it that a question allows."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence

from actors.boundary import Answered, as_failure
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.errors import JobError, NonFiniteActivationError, WorkerError
from actors.families import context_limit
from actors.loading import LoadedModel
from actors.prompts import common_prefix
from actors.types import Failure, JudgingJob, Prompt

Replies = tuple[tuple[str, ...], ...]
Rows = list[list[ForcedRow]]
"""A row for each reply to each choice."""


def judge(loaded: LoadedModel, engine: Engine, jobs: Sequence[JudgingJob]) -> Iterator[Answered | Failure]:
    """One outcome per job. The replies to all questions of all jobs are compared in one go, a question of several jobs once.

    An ``Answered`` holds, by the key of each question, the natural log-likelihoods of the whole replies to each choice, the
    tokens of the question and of all replies, and the seconds that it took.
    """
    asked: dict[tuple[str, Replies], Rows] = {}
    able = []
    for job in jobs:
        try:
            for question in job.questions.values():
                if (question, job.replies) not in asked:
                    asked[question, job.replies] = _rows(loaded, question, job.replies)
            able.append(job)
        except WorkerError as error:
            yield as_failure(job.item_id, error)
    started = time.perf_counter()
    flat = [row for choices in asked.values() for replies in choices for row in replies]
    likelihoods = [float(one.log_probs.sum(dtype="float64")) for one in (engine.likelihoods(flat, ()) if flat else ())]
    seconds = (time.perf_counter() - started) / max(1, len(asked))
    found, rest = dict[tuple[str, Replies], dict[str, object]](), iter(likelihoods)
    broken = set()
    for key, choices in asked.items():
        logs = [[next(rest) for _ in replies] for replies in choices]
        found[key] = {"log_likelihoods": logs, **_tokens(choices), "seconds": seconds}
        if not all(math.isfinite(one) for replies in logs for one in replies):
            broken.add(key)
    for job in able:
        measured = {key: found[question, job.replies] for key, question in job.questions.items()}
        if not any((question, job.replies) in broken for question in job.questions.values()):
            yield Answered(job.item_id, json.dumps(measured).encode())
        else:
            yield as_failure(job.item_id, NonFiniteActivationError("logits are not finite for a question to the judge"))


def _rows(loaded: LoadedModel, question: str, choices: Replies) -> Rows:
    """Where the tokens of the replies to one choice begin to differ, there its continuations begin: a tokenizer may take the end
    of what they share into a token with what follows."""
    whole = [loaded.renderer.with_answers(Prompt("question", question), replies) for replies in choices]
    longest, limit = max(len(one) for replies in whole for one in replies), context_limit(loaded.model.config)
    if limit is not None and longest > limit:
        raise JobError(f"a question to the judge has {longest} tokens with its reply; the model's limit is {limit}")
    shared = [len(common_prefix(replies)) for replies in whole]
    prefix = min(len(common_prefix([one for replies in whole for one in replies])), min(shared) - 1)
    return [
        [ForcedRow(one[:common], prefix, one[common:]) for one in replies] for replies, common in zip(whole, shared, strict=True)
    ]


def _tokens(choices: Rows) -> dict[str, int]:
    rows = [row for replies in choices for row in replies]
    return {"prompt_tokens": min(len(row.prompt) for row in rows), "reply_tokens": sum(len(row.continuation) for row in rows)}
