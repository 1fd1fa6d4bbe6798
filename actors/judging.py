"""A model as judge: how likely each of the replies is to it that a question allows."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.boundary import Answered, outcome_of
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.errors import JobError, NonFiniteActivationError, WorkerError
from actors.families import context_limit
from actors.loading import LoadedModel
from actors.prompts import common_prefix
from actors.types import Failure, JudgingJob, Prompt

Replies = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class _ChoiceRows:
    """One choice: the row of what all its replies begin with, behind the question (None: they share nothing), and a row for the
    rest of each reply."""

    shared: ForcedRow | None
    replies: tuple[ForcedRow, ...]

    @property
    def rows(self) -> Sequence[ForcedRow]:
        return self.replies if self.shared is None else (self.shared, *self.replies)

    def whole(self, found: Iterator[float]) -> list[float]:
        """The log-likelihood of each whole reply, from those of the rows, in their order."""
        shared = 0.0 if self.shared is None else next(found)
        return [shared + next(found) for _ in self.replies]


Rows = list[_ChoiceRows]
"""A question's choices."""


def judge(loaded: LoadedModel, engine: Engine, jobs: Sequence[JudgingJob]) -> Iterator[Answered | Failure]:
    """One outcome per job. The replies to all questions of all jobs are compared in one go, a question of several jobs once.

    An ``Answered`` holds, by the key of each question, the natural log-likelihoods of the whole replies to each choice, the
    tokens of the question and of all replies, and the seconds that it took; see ``outcome_of``.
    """
    asked, refused = dict[tuple[str, Replies], Rows](), dict[tuple[str, Replies], WorkerError]()
    for question, replies in dict.fromkeys((question, job.replies) for job in jobs for question in job.questions.values()):
        try:
            asked[question, replies] = _rows(loaded, question, replies)
        except WorkerError as error:
            refused[question, replies] = error
    started = time.perf_counter()
    flat = [row for choices in asked.values() for choice in choices for row in choice.rows]
    likelihoods = [float(one.log_probs.sum(dtype="float64")) for one in (engine.likelihoods(flat, ()) if flat else ())]
    seconds = (time.perf_counter() - started) / max(1, len(asked))
    found, rest = dict[tuple[str, Replies], dict[str, object]](), iter(likelihoods)
    for key, choices in asked.items():
        logs = [choice.whole(rest) for choice in choices]
        found[key] = {"log_likelihoods": logs, **_tokens(choices), "seconds": seconds}
        if not all(math.isfinite(one) for replies in logs for one in replies):
            refused[key] = NonFiniteActivationError("logits are not finite for a question to the judge")
    for job in jobs:
        of_job = {key: (question, job.replies) for key, question in job.questions.items()}
        yield outcome_of(job.item_id, {key: refused.get(one) or found[one] for key, one in of_job.items()})


def _rows(loaded: LoadedModel, question: str, choices: Replies) -> Rows:
    """Where the tokens of the replies to one choice begin to differ, there their continuations begin: a tokenizer may take the
    end of what they share into a token with what follows. What they share is read once, from where the question ends."""
    prompt = Prompt("question", question)
    whole = [loaded.renderer.with_answers(prompt, replies) for replies in choices]
    (asked,) = loaded.renderer.with_answers(prompt, [""])
    longest, limit = max(len(one) for replies in whole for one in replies), context_limit(loaded.model.config)
    if limit is not None and longest > limit:
        raise JobError(f"a question to the judge has {longest} tokens with its reply; the model's limit is {limit}")
    begins = [len(common_prefix([asked, *replies])) for replies in whole]
    prefix = min(len(common_prefix([one for replies in whole for one in replies])), min(begins) - 1)
    return [_choice(replies, begin, prefix) for replies, begin in zip(whole, begins, strict=True)]


def _choice(replies: Sequence[Sequence[int]], begin: int, prefix: int) -> _ChoiceRows:
    common = common_prefix(replies)
    shared = ForcedRow(tuple(common[:begin]), prefix, tuple(common[begin:])) if len(common) > begin else None
    rest = [ForcedRow(tuple(common), prefix, tuple(one[len(common) :])) for one in replies]
    return _ChoiceRows(shared, tuple(rest))


def _tokens(choices: Rows) -> dict[str, int]:
    rows = [row for choice in choices for row in choice.rows]
    return {"prompt_tokens": min(len(row.prompt) for row in rows), "reply_tokens": sum(len(row.continuation) for row in rows)}
