"""Results for people: the tables after a run, one-line readings, figures, and the page that holds them all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Group

from actors.types import Response
from orchestrator.report.as_html import html_page
from orchestrator.report.as_markdown import markdown_page
from orchestrator.report.blocks import Picture
from orchestrator.report.chosen import chosen_grid
from orchestrator.report.curves import depth_figure, multiplier_figure
from orchestrator.report.doubts import doubts_grid
from orchestrator.report.figures import heat_map, heat_map_titles
from orchestrator.report.grid import Grid, shortened, stacked
from orchestrator.report.matrix import matrices, matrix_figure
from orchestrator.report.methods import methods_grid
from orchestrator.report.page import Comparison, Page, Section, page_blocks
from orchestrator.report.quantization import quantization_grid
from orchestrator.report.reading import reading
from orchestrator.report.samples import Counts, samples_by_label
from orchestrator.report.series import Series, series_of
from orchestrator.report.tables import best_grid, cells_grid
from orchestrator.report.transfer import transfer_grid
from orchestrator.report.values import target_words
from orchestrator.results.rows import CellRow, RateRow
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scoring import Label
from orchestrator.storage import StoredFile

__all__ = ["ROWS_SHOWN", "SERIES_TOLD", "reading", "results_tables", "write_report"]

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
    rows = store.cell_rows()
    if not rows:
        return None
    series = series_of(rows)
    few = len(rows) <= ROWS_SHOWN
    grids = [cells_grid(one) for one in series] if few else [shortened(best_grid(series), LINES_SHOWN, PAGE)]
    compared = [shortened(grid, LINES_SHOWN, PAGE) for _, grid in _compared(store, rows) if grid is not None]
    return Group(stacked(grids, width), *(stacked([grid], width) for grid in compared))


def write_report(store: Store) -> StoredFile:
    """Write ``report.html``, ``report.md`` and the figures from the compacted tables (``store.compact`` first).

    Returns ``report.md``.
    """
    planned, rows = store.planned(), store.cell_rows()
    wanted = {axes.cell_id for axes in planned.cells}
    failed = sum(failure.item_id in wanted for failure in store.failures())
    series = series_of(rows)
    counts = _label_counts(store.rate_rows())
    sections = [_section(store, number, one, counts) for number, one in enumerate(series, start=1)]
    blocks = page_blocks(Page(planned, rows, list(_comparisons(store, rows, series)), sections, failed))
    return store.write_pages(markdown_page(blocks), html_page(blocks))


def _compared(store: Store, rows: Sequence[CellRow]) -> Iterator[tuple[str, Grid | None]]:
    """What compares: a title and its table."""
    directions = store.directions()

    def cosine(one: CellRow, other: CellRow) -> float | None:
        return directions.cosine((one.direction_id, one.direction_layer), (other.direction_id, other.direction_layer))

    yield "Chosen settings", chosen_grid(store.choices())
    yield "Methods", methods_grid(rows, cosine)
    yield "Doubtful directions", doubts_grid(store.direction_rows())
    yield "Quantization", quantization_grid(rows, store.direction_rows())
    yield "Transfer", transfer_grid(store.transfer_rows(), store.planned().incomparable)


def _comparisons(store: Store, rows: Sequence[CellRow], series: Sequence[Series]) -> Iterator[Comparison]:
    """The page's sections that compare, without the empty ones."""
    curves = [
        (
            "depth-profile",
            depth_figure(series),
            f"{target_words(rows)} over the steered depth, a line per series, with 95 % Wilson bands",
        ),
        (
            "multipliers",
            multiplier_figure(series),
            "Responses by outcome over the multiplier, at each best layer",
        ),
    ]
    pictures = tuple(_picture(store, name, png, about) for name, png, about in curves if png is not None)
    overview = best_grid(series) if len(series) > 1 else None
    if pictures or overview is not None:
        yield Comparison("Overview", overview, pictures)
    for title, grid in _compared(store, rows):
        if grid is not None:
            yield Comparison(title, grid, tuple(_matrices(store)) if title == "Transfer" else ())


def _matrices(store: Store) -> Iterator[Picture]:
    for number, matrix in enumerate(matrices(store.transfer_rows(), store.planned().incomparable), start=1):
        png = matrix_figure(matrix)
        if png is not None:
            about = (
                f"{matrix.title}: TE of every source in every target; grey: undefined, not run or not comparable (both widths)"
            )
            yield _picture(store, f"transfer-{number:02d}", png, about)


def _section(store: Store, number: int, series: Series, counts: Counts) -> Section:
    png = heat_map(series)
    about = "Heat maps, layer by multiplier: " + " and ".join(heat_map_titles(series))
    figure = None if png is None else _picture(store, _figure_name(number, series), png, about)

    def read(cell_id: str) -> Sequence[tuple[Response, Label]]:
        try:
            labels = {label.prompt_id: label for label in store.read_labels(cell_id)}
            return [(response, labels[response.prompt_id]) for response in store.read_responses(cell_id)]
        except (FileNotFoundError, UnreadableFileError):
            return []

    return Section(series, figure, samples_by_label(series, counts, read))


def _label_counts(rates: Iterable[RateRow]) -> Counts:
    counts: dict[str, dict[str, int]] = {}
    for row in rates:
        counts.setdefault(row.cell_id, {})[row.label] = row.k
    return counts


def _picture(store: Store, name: str, png: bytes, about: str) -> Picture:
    return Picture(store.write_figure(name, png), png, about)


def _figure_name(number: int, series: Series) -> str:
    words = re.sub(r"[^A-Za-z0-9]+", "-", series.title).strip("-").lower()
    return f"{number:02d}-{words[:80]}".strip("-")
