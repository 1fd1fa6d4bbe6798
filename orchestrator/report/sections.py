"""The sections of the page that set things beside each other: tables and figures. A new one is a line in ``SECTIONS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.report.analyses import analysis_table
from orchestrator.report.beside_article import beside_article_tables
from orchestrator.report.beside_paper import paper_report_tables
from orchestrator.report.capability import capability_table
from orchestrator.report.chosen import chosen_table
from orchestrator.report.controls import controls_table
from orchestrator.report.doubts import doubts_table
from orchestrator.report.equal_damage import equal_damage_table
from orchestrator.report.findings import SweepFindings
from orchestrator.report.judges import judges_table
from orchestrator.report.known import known_table
from orchestrator.report.methods import methods_table
from orchestrator.report.others import others_of, others_table
from orchestrator.report.parity import study_tables
from orchestrator.report.quantization import quantization_table
from orchestrator.report.report_table import ReportTable, shortened
from orchestrator.report.searches import searches_table
from orchestrator.report.tables import best_table
from orchestrator.report.together import conditions_table, interference_table
from orchestrator.report.transfer import transfer_table
from orchestrator.results.capability import capability_rows
from orchestrator.results.judgements import usages

TRANSFERS_SHOWN = 500
"""Transfer cells in the table; the matrices are of all."""
INTERFERENCES_SHOWN = 500
"""Lines of the table of what directions do to others' success."""
CONTROLS_SHOWN = 500
"""Series in the table of what they do beside random directions."""
OTHERS_SHOWN = 500
"""Cells and scorers in the table of those that do not decide."""


@dataclass(frozen=True)
class Section:
    """What makes a section's table (None: nothing to tell), or ``several`` that stand each under its title. A section without
    any and without figures (``figures.registry``) is left out. ``terminal``: whether the table is shown there too."""

    table: Callable[[SweepFindings], ReportTable | None]
    terminal: bool = True
    several: Callable[[SweepFindings], Iterable[ReportTable]] = lambda _found: ()


def _transfer_table(found: SweepFindings) -> ReportTable | None:
    table = transfer_table(found.transfers, found.store.planned().incomparable)
    return table and shortened(table, TRANSFERS_SHOWN, "transfer.parquet")


def _others_table(found: SweepFindings) -> ReportTable | None:
    scorers = {row.behavior: others_of(found.store.planned().scoring_of(row.behavior)) for row in found.rows}
    shown = {scorer for others in scorers.values() for scorer in others}
    table = others_table(found.series, scorers, found.store.rate_rows(scorer=shown)) if shown else None
    return table and shortened(table, OTHERS_SHOWN, "rates.parquet")


def _controls_table(found: SweepFindings) -> ReportTable | None:
    table = controls_table(found.series, found.rows)
    return table and shortened(table, CONTROLS_SHOWN, "cells.parquet")


def _interference_table(found: SweepFindings) -> ReportTable | None:
    table = interference_table(found.rows)
    return table and shortened(table, INTERFERENCES_SHOWN, "cells.parquet")


def _analysed(name: str, title: str) -> Section:
    return Section(lambda found: analysis_table(name, title, found.store.analysis_rows(name)), terminal=False)


SECTIONS: dict[str, Section] = {
    "Overview": Section(lambda found: best_table(found.series) if len(found.series) > 1 else None, terminal=False),
    "Damage": Section(lambda found: None),
    "Interference": Section(_interference_table, terminal=False),
    "Conditions": Section(lambda found: conditions_table(found.rows)),
    "Chosen settings": Section(lambda found: chosen_table(found.store.choices(), found.rows)),
    "Strength search": Section(lambda found: searches_table(found.store.searches(), found.rows)),
    "Equal damage": Section(lambda found: equal_damage_table(found.equal_damage)),
    "Other scorers": Section(_others_table),
    "Known error rates": Section(lambda found: known_table(found.rows), terminal=False),
    "Random control": Section(_controls_table),
    "Methods": Section(lambda found: methods_table(found.rows, found.cosine)),
    "Doubtful directions": Section(lambda found: doubts_table(found.directions)),
    "Judges": Section(lambda found: judges_table(usages(found.store.folder, found.store.planned()))),
    "Capability": Section(lambda found: capability_table(capability_rows(found.store.folder, found.store.planned()), found.rows)),
    "Angles between layers": _analysed("angles", "Angles between layers"),
    "Stability": _analysed("stability", "Stability"),
    "Categories": _analysed("categories", "Categories"),
    "Curves through centroids": _analysed("splines", "Curves through centroids"),
    "Propagation": _analysed("propagation", "Propagation"),
    "Random floor": _analysed("random_floor", "Random floor"),
    "Orthogonal motion": _analysed("motion", "Orthogonal motion"),
    "Beside the article": Section(
        lambda found: None, several=lambda found: beside_article_tables(found.store.planned(), found.store.analysis_rows)
    ),
    "Tooling parity": Section(lambda found: None, several=lambda found: study_tables(found.parity)),
    "Quantization": Section(lambda found: quantization_table(found.rows, found.directions)),
    "Transfer": Section(_transfer_table),
    "Norms": Section(lambda found: None),
    "Beside the paper": Section(lambda found: None, several=lambda found: paper_report_tables(found.beside_paper)),
}
"""By heading, in the order of the page."""
