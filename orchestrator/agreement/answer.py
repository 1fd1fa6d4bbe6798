"""``agreement``: any two scorers of a results folder compared, and the judge's rates corrected where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from orchestrator.agreement.correction import CorrectedCell, JudgeErrors, corrected_cell, errors_of, strata_of
from orchestrator.agreement.judgements import SWEEP, Judged, judgements_of, named_scorer, shared
from orchestrator.agreement.measures import Agreement, agreement
from orchestrator.errors import InputError
from orchestrator.results.folder import Folder
from orchestrator.results.frames import load_results
from orchestrator.results.ratings import ResponseKey
from orchestrator.storage import Place


@dataclass(frozen=True)
class ScorerPair:
    """Two scorers, and what they say of the responses that both judge. ``by``: their labels where those are the same ones, else
    what the labels count as."""

    first: str
    second: str
    by: str
    found: Agreement


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
    """The pairs that were asked for, those that share no response, and the corrected rates."""

    pairs: Sequence[ScorerPair]
    apart: Sequence[tuple[str, str]]
    corrected: Sequence[CorrectedBehavior]


def agreement_of(place: Place, names: Sequence[str], correct: bool = False) -> AgreementAnswer:
    """The scorers of ``names``, or of all pairs when there are none. ``correct``: take the second for true, and correct the
    first's rates. InputError for a wrong name, for another number of names than two, and where there is nobody to compare."""
    results = load_results(str(place))
    found = judgements_of(Folder(place), results)
    if names and len(names) != 2:
        raise InputError.because("two scorers are compared, or all without any", "SCORER", " ".join(names), ", ".join(found))
    if len(found) < 2:
        raise InputError.because(f"only one scorer has judged: {SWEEP}", "RESULTS", None, "a folder with raters: see `label`")
    asked = list(combinations([named_scorer(found, name) for name in names] or found.values(), 2))
    pairs = [(one, other, shared(one, other)) for one, other in asked]
    if correct and len(pairs) > 1:
        raise InputError.because(
            "of several pairs none is the judge", "--correct", None, "two scorers: the judge, then who is right"
        )
    columns = ("cell_id", "behavior", "model", "method", "layers", "multiplier")
    conditions = {
        cell_id: (behavior, _condition(*axes)) for cell_id, behavior, *axes in results.cells.select(columns).iter_rows()
    }
    return AgreementAnswer(
        pairs=[_compared(one, other, keys) for one, other, keys in pairs if keys],
        apart=[(one.scorer, other.scorer) for one, other, keys in pairs if not keys],
        corrected=_corrected(*asked[0], conditions) if correct else [],
    )


def _compared(one: Judged, other: Judged, keys: Sequence[ResponseKey]) -> ScorerPair:
    mine, theirs = [one.said[key] for key in keys], [other.said[key] for key in keys]
    own, foreign = {said.label for said in mine}, {said.label for said in theirs}
    by = "label" if own <= {*other.order} or foreign <= {*one.order} else "outcome"
    first, second = ([str(getattr(said, by)) for said in side] for side in (mine, theirs))
    return ScorerPair(one.scorer, other.scorer, by, agreement(first, second, [prompt for _, prompt in keys], one.order))


def _corrected(judge: Judged, reference: Judged, conditions: Mapping[str, tuple[str, str]]) -> list[CorrectedBehavior]:
    """``conditions``: cell id -> its behavior, and how it was steered."""
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
    return f"{model} {method} L{layers[0] if layers else '?'} {multiplier:g}x"
