"""Every scorer that a sweep file may name. To add one: a file with its options and its class, and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.scoring.contains import ContainsOptions, ContainsScorer
from orchestrator.scoring.language import LanguageOptions, LanguageScorer
from orchestrator.scoring.length import LengthOptions, LengthScorer
from orchestrator.scoring.options import ScorerOptions
from orchestrator.scoring.own import OwnOptions, is_own, own_scorer
from orchestrator.scoring.pattern import PatternOptions, PatternScorer
from orchestrator.scoring.rules import coherence_scorer, refusal_scorer
from orchestrator.scoring.score import Scorer


@dataclass(frozen=True)
class ScorerEntry:
    """A kind of scorer: how it is made of its ``options``, and the line on it in the documentation."""

    make: Callable[[Any], Scorer]
    options: type[ScorerOptions]
    docs: str


SCORERS: dict[str, ScorerEntry] = {
    "refusal": ScorerEntry(refusal_scorer, ScorerOptions, "does the answer decline to help? `refusal`, `normal`"),
    "coherence": ScorerEntry(coherence_scorer, ScorerOptions, "is the answer language at all? `coherent`, `garbled`"),
    "pattern": ScorerEntry(PatternScorer, PatternOptions, "the first label whose regular expression is found"),
    "contains": ScorerEntry(ContainsScorer, ContainsOptions, "does one of these words or phrases occur? `contains`, `lacks`"),
    "language": ScorerEntry(LanguageScorer, LanguageOptions, "the language's ISO 639-1 code, or `unknown`"),
    "length": ScorerEntry(LengthScorer, LengthOptions, "a number: words or characters"),
}


def options_of(name: str) -> type[ScorerOptions]:
    """The options that the scorer ``name`` takes; InputError when there is none such."""
    if is_own(name):
        return OwnOptions
    if name not in SCORERS:
        allowed = f"{', '.join(SCORERS)}, or file.py:name"
        raise InputError(Problem("name", name, "unknown scorer", allowed, nearest_name(name, SCORERS)))
    return SCORERS[name].options


def make_scorer(name: str, options: Mapping[str, object], folder: Path) -> Scorer:
    """The scorer ``name``: a key of ``SCORERS``, or ``file.py:name`` relative to ``folder``.

    InputError for an unknown name and for a file that cannot be used, pydantic's ValidationError for wrong options.
    """
    checked = options_of(name).model_validate(dict(options))
    return own_scorer(name, checked, folder) if isinstance(checked, OwnOptions) else SCORERS[name].make(checked)
