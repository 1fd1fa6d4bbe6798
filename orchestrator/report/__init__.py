"""Results for people: the tables after a run, one-line readings, figures, and the page that holds them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Group

from actors.types import Response
from orchestrator.cells import CellKey
from orchestrator.report.as_html import html_page
from orchestrator.report.as_markdown import markdown_page
from orchestrator.report.blocks import Block, Figure, Heading
from orchestrator.report.browser.packing import packed_answers
from orchestrator.report.figures.files import PlacedFigure, figures_of
from orchestrator.report.findings import SweepFindings
from orchestrator.report.page import Page, SeriesPart, page_blocks
from orchestrator.report.reading import reading_lines
from orchestrator.report.report_table import shortened, stacked
from orchestrator.report.samples import Counts, samples_by_label
from orchestrator.report.sections import SECTIONS, Section
from orchestrator.report.series import Series
from orchestrator.report.tables import best_table, cells_table
from orchestrator.results.rate_rows import RateRow
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scoring import Label
from orchestrator.storage import StoredFile

__all__ = ["ROWS_SHOWN", "SERIES_TOLD", "reading_lines", "results_tables", "write_report"]

ROWS_SHOWN = 60
"""More cells than this are shown by the best of each series; the page has them all."""
LINES_SHOWN = 30
"""Rows of every other table in a terminal."""
SERIES_TOLD = 8
"""Series whose finding is told in a terminal."""
PAGE = "report.html"


def results_tables(store: Store, width: int) -> Group | None:
    """The compacted tables for a terminal of ``width`` columns; None when no cell is finished.

    Every cell up to ``ROWS_SHOWN`` of them, else the best of each series; then what compares models, methods and weights.
    """
    found = SweepFindings(store)
    if not found.rows:
        return None
    few = len(found.rows) <= ROWS_SHOWN
    if few:
        tables = [cells_table(one, store.planned().damage) for one in found.series]
    else:
        tables = [shortened(best_table(found.series), LINES_SHOWN, PAGE)]
    compared = [table for section in SECTIONS.values() if section.terminal and (table := section.table(found)) is not None]
    return Group(stacked(tables, width), *(stacked([shortened(table, LINES_SHOWN, PAGE)], width) for table in compared))


def write_report(store: Store) -> StoredFile:
    """Write ``report.html``, ``report.md`` and the figures from the compacted tables (``store.compact`` first).

    Returns ``report.md``.
    """
    found = SweepFindings(store)
    wanted = {axes.cell_id for axes in store.planned().cells}
    failed = sum(failure.item_id in wanted for failure in store.failures())
    counts = _label_counts(store.rate_rows(cell_id={row.cell_id for one in found.shown for row in one.rows}))
    with figures_of(found) as drawn:
        answers = packed_answers(store, found.rows)
        figures = drawn()
    sections = {heading: shown for heading, section in SECTIONS.items() if (shown := _shown(heading, section, found, figures))}
    parts = [_part(store, one, [each.figure for each in figures if each.series == one.title], counts) for one in found.shown]
    blocks = page_blocks(Page(store.planned(), found.rows, sections, parts, failed, len(found.series), answers, found.deciding))
    return store.write_pages(markdown_page(blocks), html_page(blocks))


def _shown(heading: str, section: Section, found: SweepFindings, figures: Sequence[PlacedFigure]) -> list[Block]:
    """A section's tables and figures; empty where there is nothing to show."""
    several = [block for table in section.several(found) for block in (Heading(3, table.title), table)]
    return [*filter(None, [section.table(found)]), *(one.figure for one in figures if one.heading == heading), *several]


def _part(store: Store, series: Series, figures: Sequence[Figure], counts: Counts) -> SeriesPart:
    def read(row: CellRow) -> Sequence[tuple[Response, Label]]:
        try:
            labels = {label.key: label for label in store.read_labels(*row.key)}
            return [(response, labels[response.key]) for response in store.read_responses(row.cell_id)]
        except (FileNotFoundError, UnreadableFileError):
            return []

    return SeriesPart(series, figures, samples_by_label(series, counts, read))


def _label_counts(rates: Iterable[RateRow]) -> Counts:
    counts: dict[CellKey, dict[str, int]] = {}
    for row in rates:
        if row.decided is not None:
            counts.setdefault(row.key, {})[row.decided] = row.k or 0
    return counts
