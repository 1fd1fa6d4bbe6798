"""The page as one HTML file: whole, harmless whatever a model wrote, needing nothing else and running nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator.report import write_report
from orchestrator.report.as_html import html_page
from orchestrator.report.as_markdown import markdown_page
from orchestrator.report.blocks import Block, Bullets, Figure, Fold, Heading, Paragraph, Picture, Quote
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid, labels_of, plan_of, result_of, write_labels

EVIL = '</pre></style><script>alert(1)</script><img src=http://e.x onerror=x>\x1b[31m \u202e & "quoted" \' | `x` *b*'
BLOCKS: list[Block] = [
    Heading(1, EVIL),
    Bullets((EVIL,)),
    Paragraph(EVIL),
    Heading(2, EVIL),
    ReportTable(EVIL, (ReportColumn(EVIL, left=True), ReportColumn("n")), ((Value(EVIL), Value("1", tone="garbled")),), (EVIL,)),
    Figure(EVIL, (Picture(Path("report/a.svg"), "<svg></svg>", EVIL),), ({"value": 1, EVIL: EVIL},) * 2, Path("report/a.csv")),
    Fold(3, EVIL, (Paragraph(EVIL), Quote(EVIL, 1000))),
]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("p = 4.8e-7.", ["4.8e-7"]),
        ("L10-20, 2026-01-31", ["L10-20", "2026-01-31"]),
        ("Qwen2.5-7B, gpt-4o, -3, cell-33dec30731263447edb0", []),
    ],
)
def test_a_number_is_not_broken_at_its_hyphen(text: str, whole: list[str]) -> None:
    page = "".join(html_page([Heading(1, "s"), Paragraph(text)]))
    assert re.findall(r'<span class="whole">([^<]*)</span>', page) == whole


def test_an_interval_is_not_broken() -> None:
    page = "".join(html_page([Heading(1, "s"), Paragraph("9.0 [-1.8, 40.4] 1/10, [one, two]")]))
    assert '9.0 <span class="interval">[-1.8, 40.4]</span> 1/10, [one, two]' in page


class Seen(HTMLParser):
    """The tags of a page, checked for balance, and its text."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(blocks: Sequence[Block]) -> str:
    return "".join(html_page(blocks))


def parsed(page: str) -> Seen:
    seen = Seen()
    seen.feed(page)
    seen.close()
    assert seen.open == []
    return seen


def test_nothing_that_a_model_wrote_becomes_markup() -> None:
    seen = parsed(page_of(BLOCKS))
    assert "script" not in seen.tags
    assert "onerror" not in seen.attributes
    assert [source[:14] for source in seen.sources] == ["data:text/csv;"]
    assert seen.text.count("<script>alert(1)</script>") == 12
    assert "\x1b" not in seen.text
    assert "\u202e" not in seen.text
    assert "\\x1b[31m" in seen.text


def test_nothing_is_loaded_and_nothing_runs() -> None:
    page = page_of(BLOCKS)
    assert "Content-Security-Policy\" content=\"default-src 'none'; img-src data:;" in page
    assert page.startswith("<!DOCTYPE html>")


def test_several_sections_are_linked_by_their_headings() -> None:
    blocks: list[Block] = [Heading(1, "t"), *(Heading(2, f"Part {number} of x") for number in range(3))]
    seen = parsed(page_of(blocks))
    assert seen.sources == ["#part-0-of-x", "#part-1-of-x", "#part-2-of-x"]
    assert 'id="part-2-of-x"' in page_of(blocks)
    assert "nav" not in parsed(page_of(blocks[:3])).tags


def test_values_keep_their_tone_and_side() -> None:
    page = page_of(BLOCKS)
    assert '<td class="garbled">1</td>' in page
    assert '<th class="left">' in page


def test_the_same_blocks_as_markdown() -> None:
    text = markdown_page(BLOCKS)
    assert "<script>" not in text.split("```")[0]
    assert "![" in text
    assert "](report/a.svg)" in text
    assert "|---|--:|" in text


@pytest.mark.parametrize("counts", [{}, {(15, 8.0): (9, 1)}])
def test_the_report_of_a_sweep(tmp_path: Path, counts: dict[tuple[int, float] | None, tuple[int, int]]) -> None:
    store = filled(tmp_path, grid(), counts)
    store.compact()
    write_report(store)
    seen = parsed((tmp_path / "report.html").read_text())
    for words in ("unsteered", "L15+ (50 %)", "Answer to p0.", "Where the numbers come from", "torch: 2.13.0"):
        assert words in seen.text, words
    assert {"table", "svg", "details"} <= seen.tags


def test_a_hostile_response_in_a_report(tmp_path: Path) -> None:
    store, one = Store(tmp_path), grid()[0]
    store.write_plan(plan_of([one]))
    store.write_responses(one, result_of(one, lambda _: EVIL), 1)
    write_labels(store, one.id, labels_of(one, 0, 10))
    store.compact()
    write_report(store)
    page = (tmp_path / "report.html").read_text()
    assert "alert(1)" in parsed(page).text
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    (script,) = (text for attributes, text in scripts if "text/plain" not in attributes)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page.partition("</head>")[0]
    assert all(re.fullmatch(r"[A-Za-z0-9+/=]+", text) for attributes, text in scripts if "text/plain" in attributes)
    assert len(scripts) == 3
