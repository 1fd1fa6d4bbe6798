"""What must hold between the prompts of a behavior."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from orchestrator.behaviors.faults import Faults
from orchestrator.behaviors.forms import ROLES, Line
from orchestrator.behaviors.similarity import normalized

OTHER_TESTS = "; test prompts may be in a file of their own, named by test, or be pairs that holdout holds out"

Sink = Callable[[Line], Faults]
"""Where the faults of a line go: to those of its file."""


def check_ids(lines: Sequence[Line], of: Sink) -> None:
    """Every id once."""
    first: dict[str, Line] = {}
    for line in lines:
        if line.id in first:
            told = f"this id is already used in {_where(first[line.id], line)}"
            of(line).add(line.number, "id", line.id, told, "one id per prompt")
        first.setdefault(line.id, line)


def check_overlap(lines: Sequence[Line], of: Sink) -> None:
    """No test prompt is an extraction prompt too."""
    extraction = {normalized(line.text): line for line in lines if line.role != "test"}
    for line in lines:
        twin = extraction.get(normalized(line.text))
        if line.role == "test" and twin is not None:
            message = f"test prompt {line.id} is also extraction prompt {twin.id} ({_where(twin, line)})"
            of(line).add(line.number, "text", line.text, message, "test prompts that no direction is extracted from")


def check_classes(lines: Sequence[Line], of: Sink) -> None:
    """No prompt, with its answer, is in both classes."""
    positive = {_said(line): line for line in lines if line.role == "positive"}
    for line in lines:
        twin = positive.get(_said(line))
        if line.role == "negative" and twin is not None:
            names = of(line).called
            message = f"{names['negative']} prompt {line.id} is also {names['positive']} prompt {twin.id} ({_where(twin, line)})"
            of(line).add(line.number, "text", line.answer or line.text, message, "classes that share no prompt")


def check_pairs(lines: Sequence[Line], of: Sink) -> None:
    """Every pair has one prompt of each class."""
    sides = Counter((line.pair, line.role) for line in lines if line.pair is not None)
    for line in lines:
        if line.pair is not None and [sides[line.pair, role] for role in ROLES[:2]] != [1, 1]:
            names = of(line).called
            allowed = f"one {names['positive']} and one {names['negative']} prompt under each pair name"
            of(line).add(line.number, "pair", line.pair, "this pair is not complete or not unique", allowed)


def check_roles(lines: Sequence[Line], faults: Faults, needed: Sequence[str]) -> None:
    """At least one prompt of each role that is ``needed``."""
    for role in needed:
        if not any(line.role == role for line in lines):
            told = f"the file has no {faults.called[role]} prompts"
            each = f"each role{OTHER_TESTS if role == 'test' else ''}" if len(needed) > 1 else f"role {faults.called[role]}"
            faults.add(None, "role", None, told, f"at least one prompt of {each}")


def _said(line: Line) -> tuple[str, str]:
    return normalized(line.text), line.answer.casefold()


def _where(line: Line, seen_from: Line) -> str:
    return f"line {line.number}" + ("" if line.file == seen_from.file else f" of {line.file}")
