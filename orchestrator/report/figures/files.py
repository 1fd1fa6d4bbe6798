"""The figures of a sweep as files of ``report/`` and as blocks of the page: every panel an SVG, every figure one CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.processes import helpers, useful_processes
from orchestrator.report.blocks import Figure, Picture, Row
from orchestrator.report.figures.chart import Chart, csv_of
from orchestrator.report.figures.registry import FIGURES, SERIES
from orchestrator.report.findings import SweepFindings

WORTH_PROCESSES = 40
"""Panels from which on it takes longer to draw them, a tenth of a second each, than to start processes."""

NamedCharts: TypeAlias = list[tuple[str, Chart]]
"""The panels of a figure, each under the name of its file."""


@dataclass(frozen=True)
class PlacedFigure:
    """A figure and where it stands: under a heading, or in the part of the ``series``."""

    heading: str
    series: str
    figure: Figure


@contextmanager
def figures_of(found: SweepFindings) -> Iterator[Callable[[], list[PlacedFigure]]]:
    """Gives what gives every figure that there is something to draw of, its panels and its data written. Where there are many
    panels, other processes draw them meanwhile, in the body."""
    charts = {name: drawn for name in FIGURES if (drawn := named_charts(name, found))}
    panels = [panel for of_figure in charts.values() for panel in of_figure]
    processes = useful_processes() if len(panels) >= WORTH_PROCESSES else 1
    if processes < 2:
        yield lambda: list(_placed(found, charts, {stem: chart.svg(stem) for stem, chart in panels}))
        return
    with helpers(processes) as pool:
        begun = {stem: pool.submit(chart.svg, stem) for stem, chart in panels}
        yield lambda: list(_placed(found, charts, {stem: one.result() for stem, one in begun.items()}))


def _placed(found: SweepFindings, figures: Mapping[str, NamedCharts], svgs: Mapping[str, str]) -> Iterator[PlacedFigure]:
    for name, charts in figures.items():
        kind = FIGURES[name]
        data = found.store.write_report_file(f"{name}.csv", data_of(charts))
        parts: dict[str, list[tuple[str, Chart]]] = {}
        for stem, chart in charts:
            parts.setdefault(chart.series if kind.heading == SERIES else "", []).append((stem, chart))
        for series, part in parts.items():
            pictures = tuple(_picture(found, stem, svgs[stem], chart.title) for stem, chart in part)
            told = tuple(row for stem, chart in part for row in _with_file(stem, chart))
            yield PlacedFigure(kind.heading, series, Figure(kind.about, pictures, told, data))


def named_charts(name: str, found: SweepFindings) -> NamedCharts:
    """The panels of a figure under the names of their files: ``scaling``, of several ``scaling-01``, ``scaling-02``, ..."""
    charts = list(FIGURES[name].charts(found))
    return [(name if len(charts) == 1 else f"{name}-{number:02d}", chart) for number, chart in enumerate(charts, start=1)]


def data_of(charts: Iterable[tuple[str, Chart]]) -> bytes:
    """The rows of all panels as one CSV, each with the file and the title of its panel."""
    return csv_of(row for stem, chart in charts for row in _with_file(stem, chart)).encode("utf-8", "replace")


def _with_file(stem: str, chart: Chart) -> Iterator[Row]:
    return ({"file": stem, "panel": chart.title, **row} for row in chart.rows)


def _picture(found: SweepFindings, stem: str, svg: str, title: str) -> Picture:
    return Picture(found.store.write_report_file(f"{stem}.svg", svg.encode()), svg, title)
