"""A page as one HTML file that needs no other: pictures and answers lie in it, and nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files

from orchestrator.report.blocks import Block, Bullets, Figure, Fold, Heading, Paragraph, Quote
from orchestrator.report.browser.packing import PackedAnswers
from orchestrator.report.figures.canvas import for_page
from orchestrator.report.figures.chart import csv_of, data_table
from orchestrator.report.report_table import ReportTable, Value
from orchestrator.untrusted import visible

LINKS_SHOWN = 16
"""More links than this are folded away."""
DATA_SHOWN = 200
"""Rows of a figure's data in its table."""
DATA_HELD = 200_000
"""Characters of CSV up to which the page holds all of a figure's data."""

_FILES = files("orchestrator.report")
_HYPHENATED = re.compile(r"(?<![\w.])[A-Z]?\d+(?:\.\d+)*(?:e?-\d+(?:\.\d+)*)+(?!\w)")
"""``4.8e-7``, ``L10-20``, ``2026-01-31``: what a browser would break after its hyphen."""
_INTERVAL = re.compile(r"\[[-+]?\d[\d.e+-]*, [-+]?\d[\d.e+-]*\]")


def html_page(blocks: Sequence[Block]) -> Iterator[str]:
    """The page, piece by piece, with links to its second-level headings when there are several, and a browser of its answers
    where these are among the ``blocks``."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    answers = next((block for block in blocks if isinstance(block, PackedAnswers)), None)
    script = "" if answers is None else _part("browser/browser.js")
    style = _part("page.css") + ("" if answers is None else _part("browser/browser.css"))
    yield f"{_head(script)}<title>{_text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    for number, block in enumerate(blocks):
        yield _block(block) + "\n"
        if number == 0 and (contents := _contents(blocks)):
            yield contents + "\n"
    if answers is not None:
        yield f'<script type="text/plain" id="answers-index">{answers.index}</script>\n'
        for number, pack in enumerate(answers.packs):
            yield f'<script type="text/plain" id="pack-{number}">{pack}</script>\n'
        yield f"<script>{script}</script>\n"
    yield "</body>\n</html>\n"


def _head(script: str) -> str:
    """What the page may do: show pictures that lie in it, and run the one ``script``, by its digest."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    runs = f"; script-src 'sha256-{digest}'" if script else ""
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{runs}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    )


def _part(name: str) -> str:
    return _FILES.joinpath(name).read_text(encoding="utf-8")


def _contents(blocks: Iterable[Block]) -> str:
    headings = [block.text for block in blocks if isinstance(block, Heading) and block.level == 2]
    if len(headings) < 3:
        return ""
    links = "<ul>" + "".join(f'<li><a href="#{_anchor(text)}">{_text(text)}</a></li>' for text in headings) + "</ul>"
    many = len(headings) > LINKS_SHOWN
    return f"<nav><details><summary>Contents</summary>{links}</details></nav>" if many else f"<nav>{links}</nav>"


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f'<h{level} id="{_anchor(text)}">{_whole(text)}</h{level}>'
        case Paragraph(text):
            return f"<p>{_whole(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_whole(item)}</li>" for item in items) + "</ul>"
        case ReportTable():
            return _table(block)
        case Figure():
            return _figure(block)
        case Quote(text, limit):
            return f"<pre>{escape(visible(text, limit, keep_lines=True))}</pre>"
        case PackedAnswers():
            left = f'\n<p class="note">{block.left_out} answers more are in responses.parquet.</p>' if block.left_out else ""
            return _part("browser/browser.html") + left
        case Fold(_, title, blocks):
            inner = "\n".join(_block(one) for one in blocks)
            return f"<details>\n<summary>{_text(title)}</summary>\n{inner}\n</details>"


def _figure(figure: Figure) -> str:
    """The panels, which tell their numbers to whoever points at them; the same as a table, and to keep as CSV, when opened."""
    panels = "\n".join(f'<div role="img" aria-label="{_text(one.about)}">{for_page(one.svg)}</div>' for one in figure.pictures)
    data, shown = csv_of(figure.rows), figure.rows[:DATA_SHOWN]
    name, note = escape(figure.data.name), ""
    if len(data) > DATA_HELD:
        note = f'<p class="note">All {len(figure.rows)} rows are in {escape(figure.data.as_posix())}.</p>'
    else:
        link = f'href="data:text/csv;charset=utf-8;base64,{base64.b64encode(data.encode("utf-8", "replace")).decode()}"'
        note = f'<p><a download="{name}" {link}>{name}</a>, all {len(figure.rows)} rows with all columns</p>'
    table = f"<details><summary>Data</summary>\n{note}\n{_table(data_table(shown))}\n</details>"
    return (
        f'<figure>\n<div class="panels">\n{panels}\n</div>\n<figcaption>{_whole(figure.about)}</figcaption>\n{table}\n</figure>'
    )


def _table(table: ReportTable) -> str:
    left = [' class="left"' if column.left else "" for column in table.columns]
    heads = "".join(f"<th{side}>{_text(column.head)}</th>" for column, side in zip(table.columns, left, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(_value(value, column.left) for value, column in zip(row, table.columns, strict=True)) + "</tr>"
        for row in table.rows
    )
    notes = "".join(f'\n<p class="note">{_whole(note)}</p>' for note in table.told)
    return f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>{notes}'


def _value(value: Value, left: bool) -> str:
    classes = " ".join(name for name in ("left" if left else "", value.tone) if name)
    return f'<td class="{classes}">{_whole(value.text)}</td>' if classes else f"<td>{_whole(value.text)}</td>"


def _text(text: str) -> str:
    return escape(visible(text))


def _whole(text: str) -> str:
    """Text in which no number is broken over two lines, and no interval but on paper."""
    unbroken = _INTERVAL.sub(r'<span class="interval">\g<0></span>', _text(text))
    return _HYPHENATED.sub(r'<span class="whole">\g<0></span>', unbroken)


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
