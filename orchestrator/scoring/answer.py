"""What of a response is scored: its answer, its thought or both, and all that a scorer may ask beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actors.spoken import Spoken, told_apart

if TYPE_CHECKING:
    from actors.types import Response

Reads = Literal["answer", "thought", "both"]
"""What a scorer reads of a response: what the model said, what it thought before, or one after the other."""

NO_ANSWER, NO_THOUGHT = "no_answer", "no_thought"
"""What stands for the label of a response that has nothing of what is read."""


@dataclass(frozen=True)
class Answer:
    """The ``text`` that a scorer reads of a response to ``prompt``: what the model said after its ``thought`` (None: there is
    none), or what the scorer asks for. ``whole``: it is the response as it is.

    ``missing``: why there is nothing to score, ``no_answer:...`` or ``no_thought``; None where there is something. ``new_tokens``
    are those of the whole response, thoughts included.
    """

    prompt_id: str
    prompt: str
    text: str
    new_tokens: int = 0
    thought: str | None = None
    missing: str | None = None
    whole: bool = True
    sample: int = 0


def answer_of(response: Response, reads: Reads = "answer") -> Answer:
    """What a scorer that ``reads`` so gets of ``response``. Never raises."""
    completion = response.completion
    spoken = told_apart(completion)
    thought = spoken.thought or ""
    text = {"answer": spoken.answer, "thought": thought, "both": "\n\n".join(filter(None, (thought, spoken.answer)))}[reads]
    return Answer(
        prompt_id=response.prompt_id,
        prompt=response.prompt,
        text=text,
        new_tokens=len(response.token_ids),
        thought=spoken.thought,
        missing=_missing(reads, text, spoken, response),
        whole=text == completion,
        sample=response.sample,
    )


def _missing(reads: Reads, text: str, spoken: Spoken, response: Response) -> str | None:
    """Why there is nothing to score: no thought; or no answer, as it had not begun, or ``max_thought_tokens`` ended the response
    inside a thought, whatever it said before. None: what was said, if it is nothing."""
    if reads == "thought":
        return None if text else NO_THOUGHT
    finish = response.finish_reason
    if text and (reads == "both" or finish != "thought"):
        return None
    inside = spoken.open or finish == "thought"
    if not inside and (finish == "stop" or not response.completion):
        return None
    where = "in_thought" if inside else "before_answer" if spoken.thought is None else "after_thought"
    return f"{NO_ANSWER}:{'stopped' if finish == 'stop' else 'cut_off'}_{where}"
