"""One panel of a figure: tidy rows, and the look in which they are drawn."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Protocol

from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import Canvas, drawing
from orchestrator.report.report_table import ReportColumn, ReportTable, Value

PERCENT = "%"
"""The unit of shares, which are drawn on an axis from 0 to 100; of other units the axis is as long as the numbers need."""


class Look(Protocol):
    """How rows become a panel."""

    def draw(self, title: str, rows: Sequence[Row]) -> Canvas:
        """The panel; it shows nothing that ``rows`` do not say."""


@dataclass(frozen=True)
class Chart:
    """A panel: what its ``rows`` are said to be, and how they look. ``series``: the one in whose part of the page it stands."""

    title: str
    rows: Sequence[Row]
    look: Look
    series: str = ""

    def svg(self, name: str) -> str:
        """The panel as a file that a browser opens; ``name`` as in ``drawing``."""
        with drawing(name):
            return self.look.draw(self.title, self.rows).svg()

    def files(self, name: str) -> dict[str, bytes]:
        """The panel as SVG, as PDF and as PNG, by the ending of the file."""
        with drawing(name):
            canvas = self.look.draw(self.title, self.rows)
            return {"svg": canvas.svg().encode(), "pdf": canvas.pdf(), "png": canvas.png()}


_NO_FORMULA = re.compile(r"[-+][-+\d.,;:%/×°†‡ ()\[\]]*")
"""What begins like a formula, and is numbers or nothing."""


def csv_of(rows: Iterable[Row]) -> str:
    """Rows as CSV, with the columns of all of them; a number has all its digits. A text that a spreadsheet would take for a
    formula has an apostrophe before it."""
    rows = list(rows)
    text = StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writerow({name: _inert(name) for name in columns})
    writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _inert(value: object) -> object:
    if not isinstance(value, str) or not value.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠")):
        return value
    return value if _NO_FORMULA.fullmatch(value) else f"'{value}"


def data_table(rows: Sequence[Row]) -> ReportTable:
    """Rows as a table, with the columns in which they differ and the number that is shown."""
    names = dict.fromkeys(name for row in rows for name in row)
    told = [name for name in names if name == "value" or len({row.get(name) for row in rows}) > 1]
    words = {name: any(isinstance(row.get(name), str) for row in rows) for name in told}
    columns = tuple(ReportColumn(name, left=words[name]) for name in told)
    return ReportTable("", columns, tuple(tuple(Value(_shown(row.get(name))) for name in told) for row in rows))


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def number_of(row: Row, column: str) -> float | None:
    """A number of a row; None where there is none."""
    value = row.get(column)
    return float(value) if isinstance(value, int | float) else None


def told_in(unit: str, row: Row) -> str:
    """What a reader is told of a row's number: a share where ``unit`` is ``%``, else ``12.3 [10.1, 14] unit``."""
    value, low, high = (number_of(row, name) for name in ("value", "low", "high"))
    if unit == PERCENT or value is None:
        return share_text(row)
    return f"{value:.4g}" + ("" if low is None or high is None else f" [{low:.4g}, {high:.4g}]") + f" {unit}".rstrip()


def share_text(row: Row) -> str:
    """``90 % [60, 98] 9/10``, of a row with ``value``, ``low``, ``high``, ``k`` and ``n``; what there is not is left out."""
    value, low, high = (number_of(row, name) for name in ("value", "low", "high"))
    if value is None:
        return "-"
    parts = [f"{100 * value:.0f} %"]
    parts += [] if low is None or high is None else [f"[{100 * low:.1f}, {100 * high:.1f}]"]
    parts += [] if row.get("n") is None or row.get("k") is None else [f"{row['k']}/{row['n']}"]
    return " ".join(parts) + (" in-sample" if row.get("in_sample") else "")
