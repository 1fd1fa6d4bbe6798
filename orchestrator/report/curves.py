"""Curves with the bands of their 95 % intervals: success over depth, and every outcome over the multiplier."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.outcome import Outcome, in_words
from orchestrator.report.drawing import COLOURS, MARKERS, Drawing, panels, png_of
from orchestrator.report.series import Series, multiplier_text
from orchestrator.report.values import IN_SAMPLE, best_of, shown_outcomes, success_rate, target_words, where_text
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Interval

POINTS = 3
"""A curve of fewer points is not drawn."""
PANELS = 12
"""More panels than this are left to the tables."""
LINES = 6
"""Lines in a panel, the highest first."""
TITLE_WIDTH = 40

_ORDER: tuple[Outcome, ...] = ("success", "garbled", "other", "no_answer")
_STYLES = dict(zip(_ORDER, zip(COLOURS, MARKERS, strict=False), strict=False))


@dataclass(frozen=True)
class Curve:
    """One curve: its ``name`` in the legend and its cells from left to right."""

    name: str
    cells: tuple[CellRow, ...]


def curves(series: Sequence[Series], rows: Iterable[CellRow]) -> Iterator[Drawing]:
    """Both figures, as far as there is something to draw."""
    depth, multipliers = depth_figure(series), multiplier_figure(series)
    if depth is not None:
        about = f"{target_words(rows)} over the steered depth, a line per series, with 95 % intervals"
        yield Drawing("depth-profile", depth, about)
    if multipliers is not None:
        yield Drawing("multipliers", multipliers, "Responses by outcome over the multiplier, at each best layer")


def depth_figure(series: Sequence[Series]) -> bytes | None:
    """A PNG: per model and behavior, the rate over the steered depth; None without a curve of ``POINTS`` depths."""
    found = {title: lines for title, lines in depth_lines(series).items() if lines}
    if not found:
        return None
    words = target_words(row for lines in found.values() for line in lines for row in line.cells)
    figure, axes = panels(min(len(found), PANELS), f"{_capital(words)} over depth, 95 % intervals")
    for panel, (title, lines) in zip(axes, found.items(), strict=False):
        for number, line in enumerate(lines):
            depths = [100 * (row.relative_depth or 0.0) for row in line.cells]
            _curve(panel, depths, line.cells, ("success", line.name, COLOURS[number], MARKERS[number]))
        _dress(panel, title, "steered depth (%)", f"{words} (%)")
    return png_of(figure)


def multiplier_figure(series: Sequence[Series]) -> bytes | None:
    """A PNG: per series the outcomes over the multiplier, at its best layer; None without ``POINTS`` multipliers."""
    found = [(one, line) for one in series if (line := multiplier_line(one)) is not None]
    if not found:
        return None
    figure, axes = panels(min(len(found), PANELS), "Outcomes over the multiplier, 95 % intervals")
    for panel, (one, line) in zip(axes, found, strict=False):
        strengths = [row.multiplier or 0.0 for row in line.cells]
        for outcome in shown_outcomes(line.cells):
            name = target_words(line.cells) if outcome == "success" else in_words(outcome)
            _curve(panel, strengths, line.cells, (outcome, name, *_STYLES[outcome]))
        _dress(panel, f"{one.title} · {line.name}", "multiplier", "responses (%)")
    return png_of(figure)


def depth_lines(series: Sequence[Series]) -> dict[str, list[Curve]]:
    """Per model and behavior the curves over depth, each at the multiplier of its best cell."""
    found: dict[str, list[Curve]] = {}
    shared = {one.title: _shared(one) for one in series}
    for one in series:
        best = _best(one)
        lines = found.setdefault(shared[one.title], [])
        if best is not None:
            name = one.title.removeprefix(shared[one.title]).removeprefix(" · ")
            cells = _along([row for row in one.steered if row.multiplier == best.multiplier], lambda row: row.relative_depth)
            if len(cells) >= POINTS:
                words = (name, f"multiplier {multiplier_text(best)}")
                lines.append(Curve(" · ".join(word for word in words if word), cells))
    order = {title: sorted(lines, key=lambda line: -max(map(success_rate, line.cells))) for title, lines in found.items()}
    return {title: lines[:LINES] for title, lines in order.items()}


def multiplier_line(series: Series) -> Curve | None:
    """The cells at the layers of the series' best cell; None when they are fewer than ``POINTS``."""
    best = _best(series)
    if best is None:
        return None
    same = [row for row in series.steered if row.place == best.place]
    cells = _along(same, lambda row: row.multiplier)
    return Curve(where_text(best), cells) if len(cells) >= POINTS else None


def _along(rows: Iterable[CellRow], place: Callable[[CellRow], float | None]) -> tuple[CellRow, ...]:
    """The labelled cells with a place, in order, one per place: the layers that the sweep gave before a chosen one."""
    kept: dict[float, CellRow] = {}
    for row in sorted(rows, key=lambda row: row.layer_selected):
        at = place(row)
        if at is not None and row.labelled and row.n:
            kept.setdefault(at, row)
    return tuple(kept[at] for at in sorted(kept))


def _best(series: Series) -> CellRow | None:
    labelled = [row for row in series.steered if row.labelled and row.n and row.multiplier]
    return best_of(labelled) if labelled else None


def _shared(series: Series) -> str:
    row = series.rows[0]
    title = f"{row.model} · {row.behavior}"
    return title if series.title.startswith(title) else series.title


def _curve(panel: Any, places: Sequence[float], cells: Sequence[CellRow], style: tuple[Outcome, str, str, str]) -> None:
    """One curve with its band; dashed and marked when it is measured on the prompts that chose its setting."""
    outcome, name, colour, marker = style
    in_sample = any(row.in_sample for row in cells)
    line = {"linestyle": "--" if in_sample else "-", "label": f"{name} {IN_SAMPLE} in-sample" if in_sample else name}
    bands = [row.interval(outcome) or Interval(0.0, 1.0) for row in cells]
    shares = [100 * row.count(outcome) / row.n for row in cells]
    panel.fill_between(
        places, [100 * one.low for one in bands], [100 * one.high for one in bands], color=colour, alpha=0.13, lw=0
    )
    panel.plot(places, shares, color=colour, marker=marker, markersize=5, linewidth=1.8, clip_on=False, **line)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _dress(panel: Any, title: str, across: str, up: str) -> None:
    panel.set_title(textwrap.fill(title, TITLE_WIDTH), fontsize=10, parse_math=False)
    panel.set_xlabel(across)
    panel.set_ylabel(up, parse_math=False)
    legend = panel.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3 if up.startswith("resp") else 1, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
