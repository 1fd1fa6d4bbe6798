"""A table as values, and as text for a terminal; ``markdown`` and ``html`` write the same for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.outcome import Outcome
from orchestrator.untrusted import visible

Tone = Outcome | Literal["", "alarm", "faint"]
"""What a value stands out as."""

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
    """A column. ``short``: its head where space is short. ``spare``: 0 is always shown; 1 is the first to go, then 2, ..."""

    head: str
    short: str = ""
    left: bool = False
    spare: int = 0


@dataclass(frozen=True)
class Value:
    """One value of a table. ``short``: its text where space is short. ``number``: written by this program from numbers alone."""

    text: str
    short: str | None = None
    tone: Tone = ""
    number: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table: every row has a value per column. ``notes`` are said below it."""

    title: str
    columns: tuple[ReportColumn, ...]
    rows: tuple[tuple[Value, ...], ...]
    notes: tuple[str, ...] = ()

    def without(self, column: ReportColumn) -> ReportTable:
        """The same without ``column``."""
        place = self.columns.index(column)
        rows = tuple(row[:place] + row[place + 1 :] for row in self.rows)
        return replace(self, columns=self.columns[:place] + self.columns[place + 1 :], rows=rows)


def stacked(tables: Sequence[ReportTable], width: int) -> Table:
    """``tables`` under each other for a terminal of ``width`` columns, all in the fullest layout that fits.

    Fuller to narrower: everything; short values and heads; then without the spare columns, one kind after the other; at
    last words wrap.
    """
    spares = sorted({column.spare for table in tables for column in table.columns} - {0})
    layouts = [_TableFit(), _TableFit(short=True), *(_TableFit(True, spare) for spare in spares)]
    layouts.append(replace(layouts[-1], wraps=True))
    console = Console(width=10 * width, color_system=None)
    stacks = (_stack(tables, layout) for layout in layouts)
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


def _stack(tables: Sequence[ReportTable], layout: _TableFit) -> Table:
    stack = Table.grid()
    stack.add_column()
    for table in tables:
        stack.add_row(_table(table, layout))
        for note in table.notes:
            stack.add_row(_Note(visible(note)))
        dropped = [visible(one.head) for one in table.columns if 0 < one.spare <= layout.without]
        if dropped:
            stack.add_row(_Note(f"Not shown, for want of width: {', '.join(dropped)}."))
        if table.notes or dropped:
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


def _table(table: ReportTable, layout: _TableFit) -> Table:
    title = Text(visible(table.title), style="bold")
    drawn = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, collapse_padding=True)
    shown = [place for place, column in enumerate(table.columns) if not 0 < column.spare <= layout.without]
    for place in shown:
        column = table.columns[place]
        head = column.short or column.head if layout.short else column.head
        wraps = layout.wraps and column.left
        drawn.add_column(Text(visible(head)), justify="left" if column.left else "right", no_wrap=not wraps, overflow="fold")
    for row in table.rows:
        drawn.add_row(*(_text(row[place], layout.short) for place in shown))
    return drawn


def _text(value: Value, short: bool) -> Text:
    shown = value.short if short and value.short is not None else value.text
    return Text(visible(shown), style=_STYLES[value.tone])
