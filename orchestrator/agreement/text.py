"""Agreement and corrected rates: as tables for a terminal, and as plain data for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.agreement.answer import AgreementAnswer, CorrectedBehavior, ScorerPair
from orchestrator.agreement.correction import CorrectedCell
from orchestrator.agreement.measures import Agreement, Coefficient, LabelAgreement
from orchestrator.counting import counted
from orchestrator.statistics import Interval, Known, interval_text, percent_text
from orchestrator.uncut import Uncut
from orchestrator.untrusted import visible

KAPPA_NOTE = (
    "agree: with its 95 % interval, clustered by prompt. kappa: Cohen's. alpha: Krippendorff's, for labels without an order. "
    "The intervals of both draw whole prompts; where each has one response, that of kappa is its large-sample one (statsmodels)."
)
BASIS_NOTES = {
    "outcome": "by outcome: their labels are not the same ones, so what these count as is compared.",
    "rank": "by rank: both give numbers; Spearman's rho, its interval (Bonett and Wright) takes the responses as independent.",
}
CORRECTED_NOTE = (
    "corrected: not counted but estimated, without the errors of {judge}, {reference} being right (Rogan and Gladen; interval "
    "of Lang and Reiczigel), as if it erred alike in every cell. Sensitivity and specificity count each label by its share of "
    "all responses, not of the labelled ones."
)


def agreement_json(answer: AgreementAnswer) -> dict[str, object]:
    """All of it; rates are shares (0 to 1)."""
    return {
        "pairs": [_pair_json(pair) for pair in answer.pairs],
        "not_compared": [{"first": first, "second": second, "why": why} for first, second, why in answer.apart],
        "corrected": [_corrected_json(one) for one in answer.corrected],
    }


def render_agreement(answer: AgreementAnswer) -> Iterator[RenderableType]:
    """A line per pair; of a single pair what it says label by label, too."""
    if answer.pairs:
        yield _pairs_table(answer.pairs)
        if len(answer.pairs) == 1 and (found := answer.pairs[0].found) is not None:
            yield _confusion(answer.pairs[0], found)
            yield _by_label(answer.pairs[0], found)
        yield Text(KAPPA_NOTE, style="dim")
        for basis, note in BASIS_NOTES.items():
            if any(pair.by == basis for pair in answer.pairs):
                yield Text(note, style="dim")
    for why in dict.fromkeys(why for _, _, why in answer.apart):
        apart = ", ".join(f"{first} / {second}" for first, second, reason in answer.apart if reason == why)
        yield Text(visible(f"not compared, for they {why}: {apart}"), style="dim")
    for one in answer.corrected:
        yield _corrected_table(one)
        note = CORRECTED_NOTE.format(judge=one.judge, reference=one.reference)
        yield Text(visible(note), style="dim")


def coefficient_text(found: Coefficient) -> str:
    """``0.86 [0.77, 0.95]``; ``-`` where it is undefined."""
    if found.value is None:
        return "-"
    interval = "" if found.low is None or found.high is None else f" [{found.low:.2f}, {found.high:.2f}]"
    return f"{found.value:.2f}{interval}"


def _rows(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Uncut:
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=Text(title, style="bold"), title_justify="left"
    )
    for place, head in enumerate(heads):
        table.add_column(Text(visible(head)), justify="left" if place == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(value)) for value in row))
    return Uncut(table)


def _pairs_table(pairs: Sequence[ScorerPair]) -> Uncut:
    rows: list[tuple[str, ...]] = []
    for pair in pairs:
        names, found = f"{pair.first} / {pair.second}", pair.found
        if found is None:
            rows.append((names, pair.by, "", str(pair.n), "", f"rho {coefficient_text(pair.ranks or Coefficient())}"))
            continue
        agree = _share(found.agreed, found.n, found.agrees)
        rows.append((names, pair.by, str(found.prompts), agree, *map(coefficient_text, (found.kappa, found.alpha))))
    return _rows("Agreement", ("scorers", "by", "prompts", "agree %", "kappa", "alpha"), rows)


def _confusion(pair: ScorerPair, found: Agreement) -> Uncut:
    rows = [(label, *map(str, counts)) for label, counts in zip(found.labels, found.table, strict=True)]
    return _rows(f"Rows: {pair.first}; columns: {pair.second}", ("", *found.labels), rows)


def _by_label(pair: ScorerPair, found: Agreement) -> Uncut:
    rows = [
        (one.label, _share(one.both, one.first, one.precision), _share(one.both, one.second, one.recall))
        for one in found.by_label
    ]
    return _rows(f"{pair.first}, {pair.second} being right", ("", "precision %", "recall %"), rows)


def _share(k: int, n: int, interval: Interval) -> str:
    return f"{percent_text(k, n)} {interval_text(interval)} {k}/{n}" if n else "-"


def _corrected_table(one: CorrectedBehavior) -> Uncut:
    known = f"sensitivity {_known(one.errors.sensitivity)}, specificity {_known(one.errors.specificity)}"
    title = f"{one.behavior}: {one.judge} corrected by {one.reference} ({counted(one.errors.checked, 'response')}; {known})"
    rows = [(row.condition, _share(row.k, row.n, row.interval), _corrected_rate(row)) for row in one.cells]
    return _rows(title, ("cell", "success %", "corrected %"), rows)


def _known(one: Known) -> str:
    return f"{100 * one.share:.1f} %" if one.n else "not known"


def _corrected_rate(row: CorrectedCell) -> str:
    found = row.rate
    if found.value is None:
        return "not known"
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _pair_json(pair: ScorerPair) -> dict[str, object]:
    found = pair.found
    about = {"first": pair.first, "second": pair.second, "by": pair.by, "n": pair.n}
    if found is None:
        return {**about, "rho": asdict(pair.ranks or Coefficient())}
    return {
        **about,
        "prompts": found.prompts,
        "agreed": found.agreed,
        "kappa": asdict(found.kappa),
        "alpha": asdict(found.alpha),
        "labels": list(found.labels),
        "table": [list(row) for row in found.table],
        "by_label": {one.label: _label_json(one) for one in found.by_label},
    }


def _label_json(one: LabelAgreement) -> dict[str, object]:
    sides = {"precision": (one.first, one.precision), "recall": (one.second, one.recall)}
    return {
        name: {"k": one.both, "n": n, "rate": one.both / n if n else None, **asdict(ends)} for name, (n, ends) in sides.items()
    }


def _corrected_json(one: CorrectedBehavior) -> dict[str, object]:
    about = {"behavior": one.behavior, "judge": one.judge, "reference": one.reference, "checked": one.errors.checked}
    errors = {"sensitivity": asdict(one.errors.sensitivity), "specificity": asdict(one.errors.specificity)}
    cells = [{"cell_id": row.cell_id, "k": row.k, "n": row.n, "corrected": asdict(row.rate)} for row in one.cells]
    return {**about, **errors, "cells": cells}
