"""The transfer matrix as a picture: sources by targets, TE, grey where there is none."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cells import IncomparablePair
from orchestrator.report.drawing import Drawing, new_figure, png_of
from orchestrator.report.series import kind_words
from orchestrator.report.transfer import missing_text
from orchestrator.report.values import IN_SAMPLE
from orchestrator.results.columns import Axis
from orchestrator.results.comparison_rows import TransferRow
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rows import CellRow

TOP = 1.5
"""The end of the colour scale; a larger TE has its colour, and its number."""
LARGEST = 24
"""Models up to which the matrix is drawn with its numbers."""
NAME_WIDTH = 18


@dataclass(frozen=True)
class Matrix:
    """``sources`` x ``targets``: per pair the transfer row that is shown, or the text of a pair that has no TE."""

    title: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    shown: dict[tuple[str, str], TransferRow]
    absent: dict[tuple[str, str], str]


_WITHIN = SETTING | {Axis.VARIANT, Axis.MODEL, Axis.QUANTIZATION, Axis.ORIGIN}
"""What the cells of one matrix differ in."""


def matrices(transfers: Sequence[TransferRow], incomparable: Sequence[IncomparablePair], rows: Iterable[CellRow]) -> list[Matrix]:
    """One matrix per behavior, method and kind of steering; ``rows``: the transfers' cells. A pair run at several places or
    strengths shows the one at which the target's self-control succeeds most: a choice that the transferred direction has no
    part in."""
    cells = {row.key: row for row in rows if row.is_transfer}
    kinds: dict[tuple[object, ...], list[TransferRow]] = {}
    for transfer in transfers:
        kinds.setdefault(condition(cells[transfer.key], _WITHIN), []).append(transfer)
    firsts = [cells[kind[0].key] for kind in kinds.values()]
    titles = [" · ".join(filter(None, ["Transfer: " + one.behavior, *kind_words(one, firsts)])) for one in firsts]
    return [_matrix(title, kind, incomparable) for title, kind in zip(titles, kinds.values(), strict=True)]


def matrix_drawings(
    transfers: Sequence[TransferRow], incomparable: Sequence[IncomparablePair], rows: Iterable[CellRow]
) -> Iterator[Drawing]:
    """The figure of every matrix that can be drawn."""
    shown = "TE of every source in every target; grey: undefined, not run or not comparable (both widths)"
    for number, matrix in enumerate(matrices(transfers, incomparable, rows), start=1):
        png = matrix_figure(matrix)
        if png is not None:
            yield Drawing(f"transfer-{number:02d}", png, f"{matrix.title}: {shown}")


def matrix_figure(matrix: Matrix) -> bytes | None:
    """A PNG; None for a matrix without a number or too large to read."""
    if not matrix.shown or max(len(matrix.sources), len(matrix.targets)) > LARGEST:
        return None
    columns, rows = len(matrix.targets), len(matrix.sources)
    figure = new_figure(max(6.4, 2.6 + 1.25 * columns), max(3.4, 1.9 + 0.8 * rows))
    axes = figure.subplots()
    note = f"\n{IN_SAMPLE} in-sample" if any(row.in_sample for row in matrix.shown.values()) else ""
    figure.suptitle(textwrap.fill(matrix.title, 60) + note, fontsize=11, parse_math=False)
    image = axes.imshow(_values(matrix), vmin=0, vmax=TOP, cmap="viridis", aspect="auto")
    axes.set_facecolor("0.85")
    axes.set_xticks(range(columns), [_name(name) for name in matrix.targets], fontsize=9)
    axes.set_yticks(range(rows), [_name(name) for name in matrix.sources], fontsize=9)
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set_parse_math(False)
    axes.set_xlabel("target (steered)")
    axes.set_ylabel("source of the direction")
    axes.set_xticks([place + 0.5 for place in range(columns - 1)], minor=True)
    axes.set_yticks([place + 0.5 for place in range(rows - 1)], minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    _annotate(axes, matrix)
    figure.colorbar(image, ax=axes, label="TE", ticks=[0, 0.5, 1, 1.5])
    return png_of(figure)


def _matrix(title: str, rows: Sequence[TransferRow], incomparable: Sequence[IncomparablePair]) -> Matrix:
    shown: dict[tuple[str, str], TransferRow] = {}
    for row in rows:
        kept = shown.get((row.source, row.target))
        if kept is None or (row.control_success_rate or 0.0) > (kept.control_success_rate or 0.0):
            shown[row.source, row.target] = row
    absent = {pair: missing_text(row) for pair, row in shown.items() if row.te is None}
    for pair in incomparable:
        widths = f"{pair.source_width} | {pair.target_width}"
        absent.setdefault((pair.source, pair.target), widths if pair.source_width != pair.target_width else "no match")
    names = [*shown, *((pair.source, pair.target) for pair in incomparable)]
    sources = tuple(dict.fromkeys(source for source, _ in names))
    targets = tuple(dict.fromkeys(target for _, target in names))
    both = [name for name in sources if name in targets]
    ordered = (*both, *(name for name in sources if name not in both)), (*both, *(name for name in targets if name not in both))
    return Matrix(title, *ordered, {pair: row for pair, row in shown.items() if row.te is not None}, absent)


def _values(matrix: Matrix) -> list[list[float]]:
    """TE ``[sources, targets]``; NaN, shown as grey, where there is none."""

    def value(pair: tuple[str, str]) -> float:
        row = matrix.shown.get(pair)
        return float("nan") if row is None or row.te is None else row.te

    return [[value((source, target)) for target in matrix.targets] for source in matrix.sources]


def _annotate(axes: Any, matrix: Matrix) -> None:
    for down, source in enumerate(matrix.sources):
        for across, target in enumerate(matrix.targets):
            row = matrix.shown.get((source, target))
            if row is not None and row.te is not None:
                share = f"{row.success_n}/{row.n} | {row.control_success_n}/{row.control_n}"
                colour = "white" if row.te < 0.6 * TOP else "black"
                axes.text(
                    across,
                    down - 0.12,
                    f"{row.te:.2f}{IN_SAMPLE if row.in_sample else ''}",
                    ha="center",
                    va="center",
                    fontsize=12,
                    color=colour,
                )
                axes.text(across, down + 0.24, share, ha="center", va="center", fontsize=7.5, color=colour)
            else:
                text = "own" if source == target else matrix.absent.get((source, target), "not run")
                axes.text(across, down, text, ha="center", va="center", fontsize=8, color="0.35")


def _name(name: str) -> str:
    return textwrap.fill(name, NAME_WIDTH)
