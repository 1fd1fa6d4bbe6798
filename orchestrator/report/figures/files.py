"""The figures of a sweep as files of ``report/`` and as blocks of the page: every panel an SVG, every figure one CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.report.blocks import Figure, Picture, Row
from orchestrator.report.figures.chart import Chart, csv_of
from orchestrator.report.figures.registry import FIGURES, SERIES
from orchestrator.report.findings import SweepFindings


@dataclass(frozen=True)
class PlacedFigure:
    """A figure and where it stands: under a heading, or in the part of the ``series``."""

    heading: str
    series: str
    figure: Figure


def placed_figures(found: SweepFindings) -> Iterator[PlacedFigure]:
    """Every figure that there is something to draw of, its panels and its data written."""
    for name, kind in FIGURES.items():
        charts = named_charts(name, found)
        if not charts:
            continue
        data = found.store.write_report_file(f"{name}.csv", data_of(charts))
        parts: dict[str, list[tuple[str, Chart]]] = {}
        for stem, chart in charts:
            parts.setdefault(chart.series if kind.heading == SERIES else "", []).append((stem, chart))
        for series, part in parts.items():
            pictures = tuple(_picture(found, stem, chart) for stem, chart in part)
            told = tuple(row for stem, chart in part for row in _with_file(stem, chart))
            yield PlacedFigure(kind.heading, series, Figure(kind.about, pictures, told, data))


def named_charts(name: str, found: SweepFindings) -> list[tuple[str, Chart]]:
    """The panels of a figure under the names of their files: ``scaling``, of several ``scaling-01``, ``scaling-02``, ..."""
    charts = list(FIGURES[name].charts(found))
    return [(name if len(charts) == 1 else f"{name}-{number:02d}", chart) for number, chart in enumerate(charts, start=1)]


def data_of(charts: Iterable[tuple[str, Chart]]) -> bytes:
    """The rows of all panels as one CSV, each with the file and the title of its panel."""
    return csv_of(row for stem, chart in charts for row in _with_file(stem, chart)).encode("utf-8", "replace")


def _with_file(stem: str, chart: Chart) -> Iterator[Row]:
    return ({"file": stem, "panel": chart.title, **row} for row in chart.rows)


def _picture(found: SweepFindings, stem: str, chart: Chart) -> Picture:
    svg = chart.svg(stem)
    return Picture(found.store.write_report_file(f"{stem}.svg", svg.encode()), svg, chart.title)
