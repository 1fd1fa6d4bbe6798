"""A table as values, and as text for a terminal; ``markdown`` and ``html`` write the same for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from orchestrator.outcome import Outcome
from orchestrator.untrusted import visible

Tone = Outcome | Literal["", "alarm", "faint"]
"""What a value stands out as."""

LEAST_NAME = 8
"""Columns of a terminal below which names that wrap are not read any more."""

_STYLES: dict[Tone, str] = {
    "": "",
    "success": "green",
    "garbled": "yellow",
    "other": "cyan",
    "no_answer": "magenta",
    "alarm": "bold red",
    "faint": "dim",
}


@dataclass(frozen=True)
class ReportColumn:
    """A column. ``short``: its head where space is short. ``spare``: 0 is always shown; 1 is the first to go, then 2, ...
    ``note``: what it says, told below the tables that show it."""

    head: str
    short: str = ""
    left: bool = False
    spare: int = 0
    note: str = ""


@dataclass(frozen=True)
class Value:
    """One value of a table. ``short``: its text where space is short. ``number``: written by this program from numbers alone."""

    text: str
    short: str | None = None
    tone: Tone = ""
    number: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table: every row has a value per column. ``notes`` are said below it, and those of its columns."""

    title: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> tuple[str, ...]:
        """All that is said below it where every column is shown."""
        return self.told_with(self.columns)

    def told_with(self, columns: Sequence[ReportColumn]) -> tuple[str, ...]:
        """What is said below it where these columns are shown."""
        of_columns = " ".join(dict.fromkeys(column.note for column in columns if column.note))
        return (*self.notes, *([of_columns] if of_columns else []))

    def without(self, column: ReportColumn) -> ReportTable:
        """The same without ``column``."""
        place = self.columns.index(column)
        rows = tuple(row[:place] + row[place + 1 :] for row in self.rows)
        return replace(self, columns=self.columns[:place] + self.columns[place + 1 :], rows=rows)


def stacked(tables: Sequence[ReportTable], width: int) -> Table:
    """``tables`` under each other for a terminal of ``width`` columns; neighbours with the same columns in one layout, the
    fullest in which all of them fit.

    Fuller to narrower: everything; short values and heads; then without the spare columns, one kind after the other; at
    last words wrap, and a table that would be cut even so is written row by row, with all its values.
    """
    stack = Table.grid()
    stack.add_column()
    for _, alike in groupby(tables, lambda table: table.columns):
        stack.add_row(_fitting(tuple(alike), width))
    return stack


def _fitting(tables: Sequence[ReportTable], width: int) -> Table:
    spares = sorted({column.spare for table in tables for column in table.columns} - {0})
    layouts = [_TableFit(), _TableFit(short=True), *(_TableFit(True, spare) for spare in spares)]
    layouts.append(replace(layouts[-1], wraps=True))
    console = Console(width=10 * width, color_system=None)
    stacks = (_stack(tables, layout, console, width) for layout in layouts)
    stack = next(stacks)
    while console.measure(stack).maximum > width and (narrower := next(stacks, None)) is not None:
        stack = narrower
    return stack


def shortened(table: ReportTable, limit: int, where: str) -> ReportTable:
    """The first ``limit`` rows, with a note that says ``where`` the others are."""
    if len(table.rows) <= limit:
        return table
    note = f"{len(table.rows) - limit} more rows in {where}"
    return ReportTable(table.title, table.columns, table.rows[:limit], (*table.notes, note))


@dataclass(frozen=True)
class _TableFit:
    """``short`` values and heads; ``without`` the columns that are spared first, up to this number; ``wraps``: words do."""

    short: bool = False
    without: int = 0
    wraps: bool = False

    def drops(self, column: ReportColumn) -> bool:
        """Whether ``column`` is left out."""
        return 0 < column.spare <= self.without


def _stack(tables: Sequence[ReportTable], layout: _TableFit, console: Console, width: int) -> Table:
    stack = Table.grid()
    stack.add_column()
    for table in tables:
        cut = layout.wraps and console.measure(_table(table, layout, LEAST_NAME)).maximum > width
        stack.add_row(_row_by_row(table) if cut else _table(table, layout))
        dropped = [one for one in table.columns if layout.drops(one) and not cut]
        notes = [visible(note) for note in table.told_with([one for one in table.columns if one not in dropped])]
        if dropped:
            notes.append(f"Not shown, for want of width: {', '.join(visible(one.head) for one in dropped)}.")
        for note in notes:
            stack.add_row(_Note(note))
        if notes:
            stack.add_row("")
    return stack


@dataclass(frozen=True)
class _Note:
    """Text that wraps to whatever width there is: it never decides the layout."""

    text: str

    def __rich_console__(self, console: Console, options: object) -> list[Text]:
        return [Text(self.text, style="dim")]

    def __rich_measure__(self, console: Console, options: object) -> object:
        from rich.measure import Measurement

        return Measurement(1, 1)


def _row_by_row(table: ReportTable) -> Group:
    """The names of every row, and below them its other values, each behind its head."""
    lines: list[RenderableType] = [Text(visible(table.title), style="bold"), ""]
    for row in table.rows:
        named = [value for column, value in zip(table.columns, row, strict=True) if column.left and value.text]
        lines.append(Text(" · ").join(_text(value, False) for value in named))
        others = [
            Text.assemble(f"{visible(column.head)} ", _text(value, False))
            for column, value in zip(table.columns, row, strict=True)
            if not column.left and value.text not in ("", "-")
        ]
        lines.append(Padding(Text("; ").join(others), (0, 0, 0, 2)))
    return Group(*lines, "")


def _table(table: ReportTable, layout: _TableFit, names: int | None = None) -> Table:
    """``names``: the most columns that wrapped names may take."""
    title = Text(visible(table.title), style="bold")
    drawn = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, collapse_padding=True)
    shown = [place for place, column in enumerate(table.columns) if not layout.drops(column)]
    for place in shown:
        column = table.columns[place]
        head = column.short or column.head if layout.short else column.head
        wraps = layout.wraps and column.left
        justify: Literal["left", "right"] = "left" if column.left else "right"
        most = names if wraps else None
        drawn.add_column(Text(visible(head)), justify=justify, no_wrap=not wraps, overflow="fold", max_width=most)
    for row in table.rows:
        drawn.add_row(*(_text(row[place], layout.short) for place in shown))
    return drawn


def _text(value: Value, short: bool) -> Text:
    shown = value.short if short and value.short is not None else value.text
    return Text(visible(shown), style=_STYLES[value.tone])
