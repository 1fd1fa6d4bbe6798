"""Results for people: tables, one-line readings, heat maps, and the page that holds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from actors.types import Response
from orchestrator.classifiers import Label
from orchestrator.report.figures import heat_map
from orchestrator.report.page import Section, page_text
from orchestrator.report.reading import reading
from orchestrator.report.samples import samples_by_label
from orchestrator.report.series import Series, series_of
from orchestrator.report.tables import cells_table
from orchestrator.store import Store, UnreadableFileError

__all__ = ["cells_table", "reading", "write_report"]


def write_report(store: Store) -> Path:
    """Write ``report.md`` and its pictures from the compacted tables (``store.compact`` first); the page's path."""
    planned, rows = store.planned(), store.cell_rows()
    wanted = {axes.cell_id for axes in planned.cells}
    failed = sum(failure.item_id in wanted for failure in store.failures())
    sections = [_section(store, number, series) for number, series in enumerate(series_of(rows), start=1)]
    return store.write_page(page_text(planned, rows, sections, failed))


def _section(store: Store, number: int, series: Series) -> Section:
    png = heat_map(series)
    figure = None if png is None else store.write_figure(_figure_name(number, series), png)

    def read(cell_id: str) -> Sequence[tuple[Response, Label]]:
        try:
            labels = {label.prompt_id: label for label in store.read_labels(cell_id)}
            return [(response, labels[response.prompt_id]) for response in store.read_responses(cell_id)]
        except (FileNotFoundError, UnreadableFileError):
            return []

    return Section(series, figure, samples_by_label(series, read))


def _figure_name(number: int, series: Series) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", series.title).strip("-").lower()
    return f"{number:02d}-{words[:80]}".strip("-")
