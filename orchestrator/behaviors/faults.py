"""What is wrong with behavior files, gathered while they are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.errors import InputError, Problem, nearest_name

TOLD = 5
"""Problems of one kind that are told one by one; more are told in one line."""

_NUMBERED = re.compile(r"\S*\d\S*")


@dataclass
class Faults:
    """The problems of the file that messages call ``file``."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    earlier: bool = False
    """Whether the file calls its classes harmful and harmless: messages then do."""

    @property
    def called(self) -> dict[str, str]:
        """The roles by the names that the file uses."""
        positive, negative = ("harmful", "harmless") if self.earlier else ("positive", "negative")
        return {"positive": positive, "negative": negative, "test": "test"}

    def add(self, line: int | None, name: str, value: object, message: str, allowed: str | Sequence[str] | None = None) -> None:
        """``allowed``: in words, or as the names there are (the nearest one is told too)."""
        nearest = None if allowed is None or isinstance(allowed, str) else nearest_name(_given(name, value, message), allowed)
        told = allowed if allowed is None or isinstance(allowed, str) else ", ".join(allowed)
        self.problems.append(Problem(name, value, message, told, nearest, line, self.file))


def _given(name: str, value: object, message: str) -> object:
    return name if message.startswith("unknown field") else value


def raise_all(found: Iterable[Faults]) -> None:
    """:class:`InputError` with all problems by file and line, if there are any; those that differ only in their lines are one."""
    problems = [one for faults in found for one in sorted(faults.problems, key=lambda problem: problem.line or 0)]
    if problems:
        raise InputError(*_folded(problems))


def _folded(problems: Sequence[Problem]) -> list[Problem]:
    """``problems`` with one in place of many that differ only in their lines, ids and numbers."""
    kinds: dict[tuple[str | None, str, str], list[Problem]] = {}
    for problem in problems:
        kind = _NUMBERED.sub("", problem.message.partition(":")[0])
        kinds.setdefault((problem.file, problem.field, kind), []).append(problem)
    return [one for same in kinds.values() for one in (same if len(same) <= TOLD else [_all_in_one(same)])]


def _all_in_one(same: Sequence[Problem]) -> Problem:
    lines = ", ".join(str(problem.line) for problem in same[1 : TOLD + 1])
    return replace(same[0], message=f"{same[0].message} (as in {len(same) - 1} more lines: {lines}, ...)")
