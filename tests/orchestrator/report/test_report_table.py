"""Tables as text: the fullest layout that fits, notes below, and nothing lost that has to be shown."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from orchestrator.report.report_table import ReportColumn, ReportTable, Value, shortened, stacked

COLUMNS = (
    ReportColumn("name of the model", left=True),
    ReportColumn("rate in percent", "rate"),
    ReportColumn("seconds", "s", spare=1),
    ReportColumn("norm", spare=2),
)
ROWS = (
    (Value("alpha with a name"), Value("90 [59.6, 98.2] 9/10", short="90"), Value("1.25"), Value("0.50")),
    (Value("[bold]beta[/bold]\x1b[31m"), Value("0"), Value("2.5"), Value("-")),
)
GRID = ReportTable("Title \x07", COLUMNS, ROWS, ("A note that is rather longer than the whole table is wide, and wraps.",))


def shown(width: int, *grids: ReportTable) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(stacked(grids, width))
    return out.getvalue()


@pytest.mark.parametrize(
    ("width", "present", "absent"),
    [
        (100, ("rate in percent", "59.6", "seconds", "norm"), ()),
        (60, ("rate", "1.25", "0.50"), ("59.6", "seconds", "percent")),
        (43, ("0.50",), ("1.25", "59.6")),
        (36, ("alpha with a name", "90"), ("1.25", "0.50")),
    ],
)
def test_the_fullest_layout_that_fits(width: int, present: tuple[str, ...], absent: tuple[str, ...]) -> None:
    text = shown(width, GRID)
    assert all(word in text for word in present), text
    assert not any(word in text for word in absent), text
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text


def test_words_wrap_before_anything_is_cut() -> None:
    lines = shown(20, GRID).splitlines()
    assert max(map(len, lines)) <= 20
    assert not any("…" in line for line in lines)
    first = "".join(line[:9] for line in lines)
    assert all(word in first for word in ("alpha", "wi", "name"))
    assert any(line.endswith(" 90 ") for line in lines)


def test_names_are_text_and_notes_are_whole() -> None:
    text = shown(100, GRID)
    assert "[bold]beta[/bold]\\x1b[31m" in text
    assert "Title \\x07" in text
    assert "\x1b" not in text
    assert " ".join(shown(43, GRID).split()).count("rather longer than the whole table is wide, and wraps.") == 1


def test_a_long_table_is_shortened_and_says_so() -> None:
    grid = ReportTable("", COLUMNS[:1], tuple((Value(str(number)),) for number in range(9)), ("first",))
    assert shortened(grid, 9, "page") is grid
    short = shortened(grid, 4, "report.html")
    assert [row[0].text for row in short.rows] == ["0", "1", "2", "3"]
    assert short.notes == ("first", "5 more rows in report.html")
