"""A page as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.counting import counted
from orchestrator.report.blocks import Block, Bullets, Figure, Fold, Heading, Paragraph, Quote
from orchestrator.report.browser.packing import PackedAnswers
from orchestrator.report.report_table import ReportTable, Value
from orchestrator.report.untrusted import fenced, markdown


def markdown_page(blocks: Iterable[Block]) -> str:
    """The page's text."""
    return "\n\n".join(_block(block) for block in blocks) + "\n"


def markdown_table(table: ReportTable) -> str:
    """A table, its title left to the heading above it, its notes below."""
    lines = ["| " + " | ".join(markdown(column.head) for column in table.columns) + " |"]
    lines.append("|" + "|".join("---" if column.left else "--:" for column in table.columns) + "|")
    lines += ["| " + " | ".join(_value(value) for value in row) + " |" for row in table.rows]
    return "\n".join([*lines, *(f"\n{markdown(note)}" for note in table.told)])


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {markdown(text)}"
        case Paragraph(text):
            return markdown(text)
        case Bullets(items):
            return "\n".join(f"- {markdown(item)}" for item in items)
        case ReportTable():
            return markdown_table(block)
        case Figure(about, pictures, _, data):
            shown = [f"![{markdown(one.about)}]({one.path.as_posix()})" for one in pictures]
            return "\n\n".join([*shown, f"{markdown(about)} [Data]({data.as_posix()})"])
        case Quote(text, limit):
            return fenced(text, limit)
        case PackedAnswers():
            return f"The answers of {counted(block.cells, 'cell')} are in report.html; `show` prints them."
        case Fold(level, title, blocks):
            return "\n\n".join([f"{'#' * level} {markdown(title)}", *(_block(inner) for inner in blocks)])


def _value(value: Value) -> str:
    return value.text if value.number else markdown(value.text)
