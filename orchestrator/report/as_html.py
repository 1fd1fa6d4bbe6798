"""A page as one HTML file that needs no other: pictures lie in it, nothing is loaded and nothing runs."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

from orchestrator.report.blocks import Block, Bullets, Fold, Heading, Paragraph, Picture, Quote
from orchestrator.report.report_table import ReportTable, Value
from orchestrator.untrusted import visible

LINKS_SHOWN = 16
"""More links than this are folded away."""

_STYLE = """
:root { --ink: #1a1c20; --quiet: #5b616b; --line: #d9dde3; --paper: #fff; --tint: #f5f6f8; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 84rem; padding: 1.5rem 2rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.9rem; margin: .4rem 0 1rem; } h2 { font-size: 1.35rem; margin: 2.6rem 0 .8rem; padding-top: .8rem;
  border-top: 1px solid var(--line); } h3 { font-size: 1.1rem; margin: 1.4rem 0 .5rem; }
p, ul { max-width: 62rem; } li { margin: .25rem 0; } .note { color: var(--quiet); font-size: .9rem; margin: .4rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none; font-size: .95rem; }
a { color: #0b57a4; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { background: var(--tint); font-weight: 600; } th.left, td.left { text-align: left; }
tbody tr:hover { background: var(--tint); }
td.success { background: #cfe5f7; font-weight: 600; } td.garbled { background: #fbdcb8; }
td.other { color: inherit; } td.no_answer { background: #e4d9f2; }
td.alarm { background: #b3261e; color: #fff; font-weight: 700; } td.faint { color: var(--quiet); }
img { max-width: 100%; height: auto; display: block; margin: 1rem 0; }
pre { background: var(--tint); border: 1px solid var(--line); border-radius: 4px; padding: .6rem .8rem; margin: .4rem 0 .8rem;
  white-space: pre-wrap; overflow-wrap: anywhere;
  font: .88rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; } details > *:not(summary) { margin-left: 1rem; }
""".strip()

_HEAD = (
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
)


def html_page(blocks: Sequence[Block]) -> str:
    """The page's text, with links to its second-level headings when there are several."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    body = [_block(block) for block in blocks]
    body.insert(1, _contents(blocks))
    head = f"{_HEAD}<title>{_text(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
    return head + "\n".join(part for part in body if part) + "\n</body>\n</html>\n"


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
            return f'<h{level} id="{_anchor(text)}">{_text(text)}</h{level}>'
        case Paragraph(text):
            return f"<p>{_text(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"
        case ReportTable():
            return _table(block)
        case Picture(_, png, about):
            data = base64.b64encode(png).decode()
            return f'<img src="data:image/png;base64,{data}" alt="{_text(about)}">'
        case Quote(text, limit):
            return f"<pre>{escape(visible(text, limit, keep_lines=True))}</pre>"
        case Fold(_, title, blocks):
            inner = "\n".join(_block(one) for one in blocks)
            return f"<details>\n<summary>{_text(title)}</summary>\n{inner}\n</details>"


def _table(table: ReportTable) -> str:
    left = [' class="left"' if column.left else "" for column in table.columns]
    heads = "".join(f"<th{side}>{_text(column.head)}</th>" for column, side in zip(table.columns, left, strict=True))
    rows = "\n".join(
        "<tr>" + "".join(_value(value, column.left) for value, column in zip(row, table.columns, strict=True)) + "</tr>"
        for row in table.rows
    )
    notes = "".join(f'\n<p class="note">{_text(note)}</p>' for note in table.notes)
    return f'<div class="wide"><table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>{notes}'


def _value(value: Value, left: bool) -> str:
    classes = " ".join(name for name in ("left" if left else "", value.tone) if name)
    return f'<td class="{classes}">{_text(value.text)}</td>' if classes else f"<td>{_text(value.text)}</td>"


def _text(text: str) -> str:
    return escape(visible(text))


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "section"
