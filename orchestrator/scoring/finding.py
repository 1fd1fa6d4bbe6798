"""What a rule found: its name, and the phrase or the numbers that it decided by."""

from __future__ import annotations

import json

_LONGEST_PHRASE = 80


class Finding:
    """A rule that fired, with its measurements; becomes the evidence of a label."""

    def __init__(self, rule: str, **measured: float | str) -> None:
        self.rule = rule
        self.measured = measured

    def evidence(self) -> str:
        """A short JSON object: the rule, then what it measured."""
        return json.dumps({"rule": self.rule, **{key: _short(value) for key, value in self.measured.items()}}, ensure_ascii=False)


def unsure_refusal(rule: str, phrase: str) -> Finding:
    """A refusal that ``rule`` takes ``phrase`` for, which may be wrong; the phrase in one line."""
    return Finding(f"refusal:{rule}", phrase=" ".join(phrase.split()), sure=False)


def _short(value: float | str) -> float | str:
    return value[:_LONGEST_PHRASE] if isinstance(value, str) else value if isinstance(value, bool) else round(value, 3)
