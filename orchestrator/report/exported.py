"""What a paper takes from a sweep: every figure as SVG, PDF, PNG and data, every table as CSV, LaTeX and Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.compare.selection import select
from orchestrator.report.as_latex import latex_table
from orchestrator.report.as_markdown import markdown_table
from orchestrator.report.figures.chart import csv_of
from orchestrator.report.figures.files import data_of, named_charts
from orchestrator.report.figures.registry import FIGURES
from orchestrator.report.findings import SweepFindings
from orchestrator.report.report_table import ReportTable
from orchestrator.report.sections import SECTIONS
from orchestrator.report.tables import cells_table
from orchestrator.results.store import Store

MAPS = 24
"""Heat maps that leave as pictures: each takes a tenth of a second to draw."""

OF_THE_WHOLE = ("coverage",)
"""Figures that say nothing of some of the cells."""


def write_exports(store: Store, selection: str = "all") -> list[Path]:
    """Write them to ``report/`` from the compacted tables; equal ones are left alone. The paths are relative to the place.

    Of the cells in ``selection`` alone: their figures and the tables of their cells, in files whose names begin with it.
    InputError for one that means no finished cell.
    """
    if selection.strip().casefold() in ("", "all"):
        found = SweepFindings(store)
        return [store.write_report_file(name, content) for name, content in (*_figures(found, FIGURES), *_tables(found))]
    some = SweepFindings(store, select(store.cell_rows(), selection))
    files = (*_figures(some, [name for name in FIGURES if name not in OF_THE_WHOLE]), *_files(_cell_tables(some)))
    return [store.write_report_file(f"{_slug(selection)}.{name}", content) for name, content in files]


def outdated(store: Store) -> bool:
    """Whether ``report/`` holds tables that ``write_exports`` wrote of other results than the compacted tables have."""
    there = store.folder.ids("report")
    if not any(name.startswith("table-") and name.endswith(".tex") for name in there):
        return False
    tables = {name: content for name, content in _tables(SweepFindings(store)) if name.endswith(".csv")}
    return any(name not in there or store.folder.path("report", name).read_bytes() != content for name, content in tables.items())


def heat_maps(store: Store) -> dict[str, bytes]:
    """The heat maps of the compacted tables as PNG by their titles, at most ``MAPS`` of them."""
    charts = named_charts("heat-map", SweepFindings(store))[:MAPS]
    return {chart.title: chart.files(stem)["png"] for stem, chart in charts}


def _figures(found: SweepFindings, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        charts = named_charts(name, found)
        for stem, chart in charts:
            for ending, content in chart.files(stem).items():
                yield f"{stem}.{ending}", content
        if charts:
            yield f"{name}.csv", data_of(charts)


def _tables(found: SweepFindings) -> Iterator[tuple[str, bytes]]:
    yield from _files(_cell_tables(found))
    yield from _files(_compared_tables(found))


def _files(tables: Iterable[tuple[str, ReportTable]]) -> Iterator[tuple[str, bytes]]:
    for name, table in tables:
        yield f"table-{name}.csv", _csv(table)
        yield f"table-{name}.tex", latex_table(table).encode("utf-8", "replace")
        yield f"table-{name}.md", f"{markdown_table(table)}\n".encode("utf-8", "replace")


def _cell_tables(found: SweepFindings) -> Iterator[tuple[str, ReportTable]]:
    for number, series in enumerate(found.shown, start=1):
        yield f"cells-{number:02d}", cells_table(series, found.store.planned().damage)


def _compared_tables(found: SweepFindings) -> Iterator[tuple[str, ReportTable]]:
    for heading, section in SECTIONS.items():
        table = section.table(found)
        if table is not None:
            yield _slug(heading), table
        for one in section.several(found):
            yield _slug(f"{heading} {one.title.partition(' (')[0]}"), one


def _csv(table: ReportTable) -> bytes:
    heads = [column.head for column in table.columns]
    return csv_of(dict(zip(heads, (value.text for value in row), strict=True)) for row in table.rows).encode("utf-8", "replace")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
