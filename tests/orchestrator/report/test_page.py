"""The written report: complete, harmless whatever a model wrote, and left alone when nothing changed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from actors.types import Failure
from orchestrator.report import write_report
from orchestrator.report.untrusted import fenced, markdown
from orchestrator.results.store import Store
from orchestrator.untrusted import visible
from tests.orchestrator.samples import (
    Counts,
    direction_set,
    direction_spec,
    filled,
    grid,
    labels_of,
    plan_of,
    result_of,
    write_labels,
)

COUNTS: Counts = {(12, 8.0): (0, 10), (15, 8.0): (9, 1)}
EVIL = "````\n# heading\n<script>alert(1)</script>\x1b]0;title\x07 \u202e [x](http://e.x) | `" + "long " * 200


def test_the_page_holds_everything(tmp_path: Path) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    store.compact()
    path = write_report(store)
    text = path.read_text()
    assert str(path) == str(tmp_path / "report.md")
    for wanted in (
        "# sample",
        "best cell L15+ x 8: 9 of 10 labelled 'coherent refusal'",
        "| 90 [59.6, 98.2] 9/10 |",
        "### Labelled coherent refusal",
        "### Labelled garbled",
        "### Labelled normal",
        "Answer to p0.",
        "refusal@13=refusal+coherence@6",
        "- torch: 2.13.0",
        "smollm2-refusal",
    ):
        assert wanted in text, wanted
    pictures = re.findall(r"!\[.*\]\((.+)\)", text)
    assert len(pictures) == 3
    assert all((tmp_path / one).read_text().startswith("<svg") for one in pictures)


def test_of_many_numbers_of_provenance_the_range_is_told(tmp_path: Path) -> None:
    store, cells = filled(tmp_path, grid(), COUNTS), grid()
    for number, cell in enumerate(cells):
        (tmp_path / "responses" / f"{cell.id}.parquet").unlink()
        of = {"slots": f"{16 * 2**number}, 8", "torch": f"2.{number}+cpu", "few": str(number % 2)}
        store.write_responses(cell, replace(result_of(cell), provenance=of), attempt=1)
    store.compact()
    text = write_report(store).read_text()
    assert "slots: 8 to 256 (6 values)" in text
    assert "few: 0, 1" in text
    assert "torch: 2.0+cpu, 2.1+cpu, 2.2+cpu, 2.3+cpu, 2.4+cpu" in text


def test_a_no_op_leaves_the_page_alone(tmp_path: Path) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    store.compact()
    write_report(store)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = Store(tmp_path)
    again.compact()
    write_report(again)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_failed_and_missing_cells_are_on_the_page(tmp_path: Path) -> None:
    cells = grid()
    store = filled(tmp_path, cells[:3], COUNTS)
    store.write_plan(plan_of(cells))
    store.write_failure(Failure(cells[3].id, "job", "no", ""))
    store.write_failure(Failure("cell-of-another-plan", "job", "no", ""))
    store.compact()
    assert "1 cell failed, 1 cell not run yet" in write_report(store).read_text()


def test_an_empty_sweep(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_plan(plan_of(grid()))
    store.compact()
    assert "no finished cells, 5 cells not run yet" in write_report(store).read_text()


def test_what_a_model_wrote_stays_in_its_box(tmp_path: Path) -> None:
    store, one = Store(tmp_path), grid()[1]
    store.write_plan(plan_of([one]))
    store.write_direction(direction_spec(), direction_set())
    store.write_responses(one, result_of(one, lambda _: EVIL), 1)
    write_labels(store, one.id, labels_of(one, 0, 10))
    store.compact()
    text = write_report(store).read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" in text
    assert "<script>" not in outside
    assert "# heading" not in outside
    assert "long " * 100 not in text


def test_a_sample_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    store = filled(tmp_path, grid(), COUNTS)
    store.compact()
    for path in (tmp_path / "scores" / "refusal@13").iterdir():
        path.unlink()
    assert "### Labelled" not in write_report(store).read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain caf\u00e9 \u4e2d\u6587 \U0001f600", "plain caf\u00e9 \u4e2d\u6587 \U0001f600"),
        ("a\x1b[31m\x07", "a\\x1b[31m\\x07"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202e\u2028\u200b\x9b", "\\u202e\\u2028\\u200b\\x9b"),
    ],
)
def test_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_limits_lines_and_fences() -> None:
    assert visible("abcdef", limit=3) == "abc [...]"
    assert visible("abc", limit=3) == "abc"
    assert visible("a\nb\x00", keep_lines=True) == "a\nb\\x00"
    assert fenced("a ```` b", 100) == "`````text\na ```` b\n`````"
    assert markdown("a|b *c* <i> [x](y) `z`\n# h") == r"a\|b \*c\* &lt;i&gt; \[x\](y) \`z\`\n# h".replace(r"\n", r"\\n")


def test_of_many_series_the_most_successful_have_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline, *steered = grid()
    cells = [baseline, *(replace(one, labels=replace(one.labels, behavior=f"b{number}")) for number, one in enumerate(steered))]
    store = filled(tmp_path, cells, {(12, 2.0): (1, 0), (12, 8.0): (7, 0), (15, 2.0): (2, 0), (15, 8.0): (9, 0)})
    store.compact()
    monkeypatch.setattr("orchestrator.report.findings.SERIES_SHOWN", 2)
    monkeypatch.setattr("orchestrator.report.page.CELLS_SHOWN", 0)
    page = write_report(store).read_text()
    titles = [line for line in page.splitlines() if line.startswith("## ") and " · " in line]
    assert [title.split(" · ")[1] for title in titles] == ["b1", "b3"]
    assert "Below stand 2 of 5 series" in page
    assert page.count("1 more rows in cells.parquet") == 2
    assert all(f"· b{number} |" in page for number in range(4)), "the overview has every series"
