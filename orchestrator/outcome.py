"""What a response counts as, whatever its scorer calls it: the one thing that whoever reads results knows of a label."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from orchestrator.untrusted import visible

Outcome = Literal["success", "garbled", "no_answer", "other"]
"""``success``: shows the behavior; ``garbled``: no language; ``no_answer``: had not begun; ``other``: everything else."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""All of them, in the order in which they are shown."""

COUNTED: tuple[Outcome, ...] = OUTCOMES[:-1]
"""Those that have columns of their own in the tables; ``other`` is what is left of all responses."""

NO_ONE_LABEL = "success"
"""What success is called where no label, or not one alone, stands for it."""


LABEL_WORDS = {"no_answer": "no answer", "no_thought": "no thought", "coherent_refusal": "coherent refusal"}
"""The project's own names, for people. A label of anybody else's stands as it is written, as commands and files take it."""


def in_words(name: str) -> str:
    """An outcome, or a label's own name, for people: ``no answer``."""
    return visible(LABEL_WORDS.get(name, name))


def success_in_words(targets: Iterable[str | None]) -> str:
    """The label that counts as success, in words, where all ``targets`` are that one; else ``success``."""
    names = set(targets)
    return in_words((names.pop() if len(names) == 1 else None) or NO_ONE_LABEL)
