"""Test prompts from pairs: some pairs are held out, and what they ask is asked while steering."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from orchestrator.behaviors.faults import Faults
from orchestrator.behaviors.forms import Line
from orchestrator.behaviors.similarity import normalized

Holdout = int | float
"""How many of the pairs are held out: a whole number, or a share between 0 and 1."""


def held_out(lines: Sequence[Line], holdout: Holdout, faults: Faults) -> list[Line]:
    """``lines`` with a test prompt in place of each pair that is held out: the negative text, which does not ask for the
    behavior, or of a prompt with two answers the prompt.

    Which pairs follows from their texts alone, so it is the same on every machine; pairs that ask the same go together. A fault
    where there are too few pairs, or test prompts already.
    """
    asked = {line.pair: line for line in lines if line.role == "negative" and line.pair is not None}
    texts = sorted({normalized(line.text) for line in asked.values()}, key=_draw)
    count = holdout if isinstance(holdout, int) else max(1, round(holdout * len(texts)))
    if any(line.role == "test" for line in lines):
        faults.add(None, "holdout", holdout, "the file has test prompts of its own", "no holdout, or a file of pairs alone")
        return list(lines)
    if count >= len(texts):
        allowed = f"at most {len(texts) - 1}" if len(texts) > 1 else "a file of pairs"
        faults.add(None, "holdout", holdout, f"the file has too few pairs ({len(texts)}): directions need some", allowed)
        return list(lines)
    taken = set(texts[:count])
    pairs = {pair: line for pair, line in asked.items() if normalized(line.text) in taken}
    tests: dict[str, Line] = {}
    for pair, line in pairs.items():
        tests.setdefault(normalized(line.text), replace(line, id=f"t{pair}", role="test", pair=None, answer=""))
    return [*(line for line in lines if line.pair is None or line.pair not in pairs), *tests.values()]


def of_halves(lines: Sequence[Line], roles: Mapping[str, str], holdout: Holdout | None) -> list[Line]:
    """The prompts of a set of two halves as contrast prompts, with the role of their half in ``roles``, but for those of each
    half that are held out, which stay test prompts.

    Which follows from their numbers in the set alone; those that say the same go together, and so do those of the two halves
    with one number.
    """
    numbers: dict[str, str] = {}
    for line in lines:
        numbers.setdefault(normalized(line.text), line.id.partition("-")[2])
    taken: set[str] = set()
    for half in roles:
        order = sorted({numbers[normalized(line.text)] for line in lines if line.split == half}, key=_draw)
        taken.update(order[: round(holdout * len(order)) if isinstance(holdout, float) else holdout or 0])
    return [
        line if numbers[normalized(line.text)] in taken else replace(line, role=roles[str(line.split)], split=None)
        for line in lines
    ]


def _draw(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
