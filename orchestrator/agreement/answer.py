"""``agreement``: any two scorers of a results folder compared, and the judge's rates corrected where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from orchestrator.agreement.correction import CorrectedCell, JudgeErrors, corrected_cell, errors_of, strata_of
from orchestrator.agreement.measures import Agreement, Coefficient, agreement, rank_correlation
from orchestrator.agreement.opinions import SWEEP, Opinions, named_scorer, opinions_of, scorer_names, shared
from orchestrator.errors import InputError
from orchestrator.results.frames import asked_once, load_frames
from orchestrator.results.ratings import ResponseKey
from orchestrator.storage import Place

Basis = Literal["label", "outcome", "rank"]
"""What of two scorers is compared: their labels where those that one may give are among those that the other may, used or not;
else what the labels count as; of two that give numbers, their order."""


@dataclass(frozen=True)
class ScorerPair:
    """Two scorers, and what they say of the responses that both judge. ``found``: None of numbers, which have ``ranks``, of ``n``
    responses."""

    first: str
    second: str
    by: Basis
    n: int
    found: Agreement | None = None
    ranks: Coefficient | None = None


@dataclass(frozen=True)
class CorrectedBehavior:
    """A behavior's rates by ``judge`` without its errors, which ``reference`` tells."""

    behavior: str
    judge: str
    reference: str
    errors: JudgeErrors
    cells: Sequence[CorrectedCell]


@dataclass(frozen=True)
class AgreementAnswer:
    """The pairs that were asked for, those that cannot be compared with the reason in words, and the corrected rates."""

    pairs: Sequence[ScorerPair]
    apart: Sequence[tuple[str, str, str]]
    corrected: Sequence[CorrectedBehavior]


def agreement_of(place: Place, names: Sequence[str], correct: bool = False) -> AgreementAnswer:
    """The scorers of ``names``, or of all pairs when there are none. ``correct``: take the second for true, and correct the
    first's rates. InputError for a wrong name, for another number of names than two, and for what cannot be corrected."""
    results = load_frames(place)
    known = scorer_names(results)
    if names and len(names) != 2:
        raise InputError.because("two scorers are compared, or all without any", "SCORER", " ".join(names), ", ".join(known))
    if len(known) < 2:
        raise InputError.because(f"only one scorer has judged: {SWEEP}", "RESULTS", None, "a folder with raters: see `label`")
    found = [named_scorer(results, name) for name in names] or [opinions_of(results, name) for name in known]
    if correct and len(found) != 2:
        raise InputError.because("of several pairs none is the judge", "--correct", None, "the judge, then who is right")
    columns = ("cell_id", "behavior", "model", "method", "layers", "multiplier")
    cells = asked_once(results.cells).select(columns).iter_rows()
    conditions = {cell_id: (behavior, _condition(*axes)) for cell_id, behavior, *axes in cells}
    pairs = [_compared(one, other, conditions) for one, other in combinations(found, 2)]
    return AgreementAnswer(
        pairs=[pair for pair in pairs if isinstance(pair, ScorerPair)],
        apart=[pair for pair in pairs if not isinstance(pair, ScorerPair)],
        corrected=_corrected(found[0], found[1], conditions) if correct else [],
    )


Conditions = Mapping[str, tuple[str, str]]
"""Cell id -> its behavior, and how it was steered."""


def _compared(one: Opinions, other: Opinions, conditions: Conditions) -> ScorerPair | tuple[str, str, str]:
    keys = shared(one, other)
    by = _basis(one, other, keys)
    if not keys or by is None:
        return one.scorer, other.scorer, "share no response" if not keys else "have neither labels nor outcomes in common"
    if by == "rank":
        ranks = rank_correlation([one.values[key] for key in keys], [other.values[key] for key in keys])
        return ScorerPair(one.scorer, other.scorer, by, len(keys), ranks=ranks)
    first, second = ([str(getattr(side.said[key], by)) for key in keys] for side in (one, other))
    prompts = [f"{conditions[cell_id][0].partition('/')[0]} {prompt}" for cell_id, prompt, _ in keys]
    return ScorerPair(one.scorer, other.scorer, by, len(keys), agreement(first, second, prompts, one.order))


def _basis(one: Opinions, other: Opinions, keys: Sequence[ResponseKey]) -> Basis | None:
    if one.values and other.values:
        return "rank"
    if one.values or other.values:
        return None
    none = frozenset[str]()
    declared = {tuple(side.declared.get(cell_id, none) for side in (one, other)) for cell_id, *_ in keys}
    if all(own and theirs and (own <= theirs or theirs <= own) for own, theirs in declared):
        return "label"
    return "outcome" if all(side.said[key].outcome for side in (one, other) for key in keys) else None


def _corrected(judge: Opinions, reference: Opinions, conditions: Conditions) -> list[CorrectedBehavior]:
    for side in (judge, reference):
        if not any(said.outcome for said in side.said.values()):
            raise InputError.because("it does not say what counts as success", "--correct", side.scorer, f"{SWEEP}, or a rater")
    behaviors: dict[str, dict[str, list[ResponseKey]]] = {}
    for key in judge.said:
        behaviors.setdefault(conditions[key[0]][0], {}).setdefault(key[0], []).append(key)
    found = []
    for behavior, cells in behaviors.items():
        errors = errors_of(strata_of(judge, reference, [key for keys in cells.values() for key in keys]))
        rows = [corrected_cell(judge, errors, conditions[cell_id][1], keys) for cell_id, keys in cells.items()]
        found.append(CorrectedBehavior(behavior, judge.scorer, reference.scorer, errors, rows))
    return found


def _condition(model: str, method: str | None, layers: Sequence[int] | None, multiplier: float | None) -> str:
    if multiplier is None:
        return f"{model} unsteered"
    return f"{model} {method} L{layers[0] if layers else '?'} x {multiplier:g}"
