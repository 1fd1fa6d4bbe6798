"""Every scorer that a sweep file may name. To add one: a file with its options and its class, and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.scoring.contains import ContainsOptions, ContainsScorer
from orchestrator.scoring.judges.judge import JudgeOptions, JudgeScorer
from orchestrator.scoring.judges.linear_probe import LinearProbeOptions, LinearProbeScorer
from orchestrator.scoring.judges.pool_judge import PoolJudge, PoolJudgeOptions
from orchestrator.scoring.language import LanguageOptions, LanguageScorer
from orchestrator.scoring.length import LengthOptions, LengthScorer
from orchestrator.scoring.options import ScorerOptions
from orchestrator.scoring.own import installed, own_code
from orchestrator.scoring.own_process import ApartScorer
from orchestrator.scoring.pattern import PatternOptions, PatternScorer
from orchestrator.scoring.rules import CoherenceScorer, RefusalScorer
from orchestrator.scoring.score import Scorer


@dataclass(frozen=True)
class ScorerEntry:
    """A kind of scorer: how it is made of its ``options`` and of the sweep file's folder, and the line on it in the
    documentation."""

    make: Callable[[Any, Path], Scorer]
    options: type[ScorerOptions]
    docs: str


def _of(make: Callable[[Any], Scorer]) -> Callable[[Any, Path], Scorer]:
    """Of a kind that needs no file."""
    return lambda options, _folder: make(options)


SCORERS: dict[str, ScorerEntry] = {
    "refusal": ScorerEntry(_of(RefusalScorer), ScorerOptions, "does the answer decline to help? `refusal`, `normal`, `unclear`"),
    "coherence": ScorerEntry(
        _of(CoherenceScorer), ScorerOptions, "is the answer language at all? `coherent`, `garbled`, `no_answer`"
    ),
    "pattern": ScorerEntry(_of(PatternScorer), PatternOptions, "the first label whose regular expression is found"),
    "contains": ScorerEntry(
        _of(ContainsScorer), ContainsOptions, "does one of these words or phrases occur? `contains`, `lacks`"
    ),
    "language": ScorerEntry(_of(LanguageScorer), LanguageOptions, "the language's ISO 639-1 code, or `unknown`"),
    "length": ScorerEntry(_of(LengthScorer), LengthOptions, "a number: words, characters or tokens"),
    "judge": ScorerEntry(JudgeScorer, JudgeOptions, "what a model at an endpoint says by a rubric: its labels, or a number"),
    "pool_judge": ScorerEntry(PoolJudge, PoolJudgeOptions, "the same of a model of the sweep itself"),
    "linear_probe": ScorerEntry(
        _of(LinearProbeScorer),
        LinearProbeOptions,
        "`refusal` by the rules and by how a small model reads the answer: `refusal`, `normal`, `unclear`",
    ),
}


def options_of(name: str, folder: Path) -> type[ScorerOptions]:
    """The options that the scorer ``name`` takes; InputError when there is none such. Runs a file of the user's own."""
    return _entry(name, folder).options


def make_scorer(name: str, options: Mapping[str, object], folder: Path) -> Scorer:
    """The scorer ``name``: a key of ``SCORERS``, an entry point, or ``file.py:name`` relative to ``folder``.

    InputError for an unknown name and for a file that cannot be used, pydantic's ValidationError for wrong options.
    """
    entry = _entry(name, folder)
    return entry.make(entry.options.model_validate(dict(options)), folder)


def _entry(name: str, folder: Path) -> ScorerEntry:
    if name in SCORERS:
        return SCORERS[name]
    code = own_code(name, folder)
    if code is None:
        known = [*SCORERS, *installed()]
        raise InputError(
            Problem("name", name, "unknown scorer", ", ".join([*known, "or file.py:name"]), nearest_name(name, known))
        )
    return ScorerEntry(_of(partial(ApartScorer, code)), code.options, "of the user's own")
