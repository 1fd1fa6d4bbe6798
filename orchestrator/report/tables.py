"""The cells of a sweep as a table for a terminal of 80 columns or more, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.classifiers import LabelName
from orchestrator.report.series import Series, depth_text, layer_text, mostly, multiplier_text, series_of
from orchestrator.rows import CellRow
from orchestrator.statistics import interval_text, percent_text


@dataclass(frozen=True)
class _Layout:
    """``intervals``: on every rate, not only on coherent refusals. ``without``: columns left out."""

    intervals: bool
    without: tuple[str, ...] = ()


_LAYOUTS = (_Layout(True), _Layout(False), _Layout(False, ("s",)), _Layout(False, ("s", "x norm")))
"""From the widest to the narrowest; the first that fits is shown."""

_STYLES: dict[LabelName, str] = {"coherent_refusal": "green", "garbled": "yellow", "normal": "cyan"}
_HEADS = ("layer", "multiplier", "x norm", "coherent refusal %", "garbled %", "normal %", "fired", "seconds")
_SHORT_HEADS = ("layer", "mult.", "x norm", "coherent refusal %", "garbled", "normal", "fired", "s")


def cells_table(rows: Sequence[CellRow], width: int = 80) -> Table:
    """One table per series, baseline first, under each other, in the fullest layout that fits ``width`` columns.

    ``x norm``: multiplier / residual norm. A rate is ``percent [95 % Wilson interval] count/n``; in fewer columns only
    coherent refusals keep their interval, then the seconds go, then the norms.
    """
    series = series_of(rows)
    console = Console(width=10 * width, color_system=None)
    stacks = (_stack(series, layout) for layout in _LAYOUTS)
    stack = next(stacks)
    while console.measure(stack).maximum > width and (narrower := next(stacks, None)) is not None:
        stack = narrower
    return stack


def markdown_table(series: Series) -> str:
    """A series as a Markdown table; every rate with its interval."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|---|--:|--:|--:|--:|--:|:-:|--:|"]
    for row in series.rows:
        cells = [_where(row), multiplier_text(row), _ratio(row)]
        cells += [_rate(row, label, whole=True) for label in _STYLES]
        lines.append("| " + " | ".join((*cells, _fired(row), f"{row.seconds:.1f}")) + " |")
    return "\n".join(lines)


def _stack(series: Sequence[Series], layout: _Layout) -> Table:
    stack = Table.grid()
    stack.add_column()
    for one in series:
        stack.add_row(_table(one, layout))
    return stack


def _table(series: Series, layout: _Layout) -> Table:
    title = Text(series.title, style="bold")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, collapse_padding=True)
    heads = _HEADS if layout.intervals else _SHORT_HEADS
    shown = [place for place, head in enumerate(heads) if head not in layout.without]
    for place in shown:
        table.add_column(heads[place], justify="right" if place else "left", no_wrap=True)
    for row in series.rows:
        cells = [Text(_where(row)), Text(multiplier_text(row)), Text(_ratio(row))]
        cells += [_styled(row, label, layout.intervals or label == "coherent_refusal") for label in _STYLES]
        cells += [Text(_fired(row), style="bold red" if row.fired is False else ""), Text(f"{row.seconds:.1f}")]
        table.add_row(*(cells[place] for place in shown))
    return table


def _styled(row: CellRow, label: LabelName, whole: bool) -> Text:
    return Text(_rate(row, label, whole), style=_STYLES[label] if mostly(row, row.count(label)) else "")


def _rate(row: CellRow, label: LabelName, whole: bool) -> str:
    if not row.labelled:
        return "unlabelled" if whole else "?"
    k = row.count(label)
    if not whole:
        return percent_text(k, row.n)
    return f"{percent_text(k, row.n)} {interval_text(k, row.n)} {k}/{row.n}".replace("  ", " ")


def _where(row: CellRow) -> str:
    if not row.steered:
        return "unsteered"
    depth = depth_text(row)
    return layer_text(row) + (f" ({depth})" if depth else "")


def _ratio(row: CellRow) -> str:
    return "-" if row.norm_ratio is None else f"{row.norm_ratio:.2f}"


def _fired(row: CellRow) -> str:
    return {True: "yes", False: "NO", None: "-"}[row.fired]
