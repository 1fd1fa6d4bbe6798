"""Success against damage: how far each steering moves the model on neutral prompts, and what it gets for that."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from orchestrator.report.curves import PANELS, TITLE_WIDTH
from orchestrator.report.drawing import COLOURS, MARKERS, Drawing, panels, png_of
from orchestrator.report.values import success_rate, target_words
from orchestrator.results.rows import CellRow

CONTROL = "random"
"""The method whose directions mean nothing."""
LINEAR = 0.01
"""Nats up to which the scale of damage is linear, from there on logarithmic."""


def pareto_drawings(rows: Iterable[CellRow]) -> Iterator[Drawing]:
    """The figure, where damage was measured of a steered cell."""
    found = [(title, cells) for title, cells in _groups(rows).items() if any(row.steered for row in cells)]
    if not found:
        return
    words = target_words(row for _, cells in found for row in cells)
    figure, axes = panels(min(len(found), PANELS), f"{words[:1].upper()}{words[1:]} against damage, a point per cell")
    for panel, (title, cells) in zip(axes, found, strict=False):
        _draw(panel, cells)
        panel.set_title(textwrap.fill(title, TITLE_WIDTH), fontsize=10, parse_math=False)
        panel.set_ylabel(f"{words} (%)", parse_math=False)
    about = (
        f"{words} against KL(unsteered || steered) on neutral prompts, a point per steered cell, with the front of the best ones"
    )
    yield Drawing("damage", png_of(figure), about)


def front(rows: Iterable[CellRow]) -> list[CellRow]:
    """The cells than which no other of ``rows`` succeeds as often with less damage, by damage."""
    best: list[CellRow] = []
    for row in sorted(rows, key=lambda row: (row.kl or 0.0, -success_rate(row))):
        if not best or success_rate(row) > success_rate(best[-1]):
            best.append(row)
    return best


def _groups(rows: Iterable[CellRow]) -> dict[str, list[CellRow]]:
    """The labelled cells whose damage is known, by model and behavior."""
    found: dict[str, list[CellRow]] = {}
    for row in rows:
        if row.kl is not None and row.labelled and row.n:
            model = row.model if row.quantization == "none" else f"{row.model} {row.quantization}"
            found.setdefault(f"{model} · {row.behavior}", []).append(row)
    return found


def _draw(panel: Any, cells: Sequence[CellRow]) -> None:
    methods = list(dict.fromkeys(row.method for row in cells if row.steered and row.method != CONTROL))
    for number, method in enumerate(methods):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "s": 30, "alpha": 0.8}
        _points(panel, [row for row in cells if row.steered and row.method == method], label=method, **look)
    control = [row for row in cells if row.steered and row.method == CONTROL]
    _points(panel, control, label="random, the control", color="0.45", marker="x", s=30)
    _points(panel, [row for row in cells if not row.steered], label="unsteered", color="black", marker="*", s=110, zorder=4)
    best = front(row for row in cells if row.method != CONTROL)
    line = {"color": "black", "linewidth": 1.0, "alpha": 0.6, "zorder": 1, "drawstyle": "steps-post", "label": "front"}
    panel.plot([row.kl for row in best], [100 * success_rate(row) for row in best], **line)
    panel.set_xscale("symlog", linthresh=LINEAR)
    panel.set_xlim(left=-LINEAR / 5)
    panel.set_xlabel("KL(unsteered || steered), nats per token", parse_math=False)
    legend = panel.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _points(panel: Any, cells: Sequence[CellRow], **look: Any) -> None:
    if cells:
        panel.scatter([row.kl for row in cells], [100 * success_rate(row) for row in cells], clip_on=False, **look)
