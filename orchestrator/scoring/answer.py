"""What of a response is scored: what the model said after its thoughts, and all that a scorer may ask beside it."""

from __future__ import annotations

from dataclasses import dataclass

from actors.types import Response
from orchestrator.scoring.thoughts import told_apart


@dataclass(frozen=True)
class Answer:
    """The ``text`` that the model said to ``prompt`` after its ``thought`` (None: it has none, and the text is the ``whole``).

    ``in_thought``: the response ends inside a thought. ``new_tokens`` are those of the whole response, thoughts included.
    """

    prompt_id: str
    prompt: str
    text: str
    finish_reason: str = "stop"
    new_tokens: int = 0
    thought: str | None = None
    in_thought: bool = False
    whole: bool = True


def answer_of(response: Response) -> Answer:
    """The answer in ``response``. Never raises."""
    completion = response.completion
    spoken = told_apart(completion)
    return Answer(
        prompt_id=response.prompt_id,
        prompt=response.prompt,
        text=spoken.answer,
        finish_reason=response.finish_reason,
        new_tokens=len(response.token_ids),
        thought=spoken.thought,
        in_thought=spoken.open,
        whole=spoken.answer == completion,
    )
