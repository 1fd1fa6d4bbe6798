"""Tables on narrow terminals: no number in them is cut off."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_ENDLESS = 100_000


@dataclass(frozen=True)
class Uncut:
    """A table as wide as its columns that do not wrap and the longest words of the others: where a terminal is narrower, lines go
    on behind its edge, to be printed with ``crop=False``. (rich cuts letters off all columns then, so that 0.031 reads 0.0.)"""

    table: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column in self.table.columns:
            if column.no_wrap:
                lines = (line for cell in (column.header, *column.cells, column.footer) for line in _lines(cell))
                column.min_width = max(column.min_width or 0, *map(cell_len, lines))
        least = Measurement.get(console, options.update(width=_ENDLESS), self.table).minimum
        yield from console.render(self.table, options.update(width=max(options.max_width, least)))


def _lines(cell: RenderableType) -> list[str]:
    return (cell.plain if isinstance(cell, Text) else str(cell)).split("\n")
