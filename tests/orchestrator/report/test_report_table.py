"""Tables as text: the fullest layout that fits, notes below, and nothing lost that has to be shown."""

from __future__ import annotations

from dataclasses import replace
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


def test_what_a_column_says_is_told_where_it_is_shown() -> None:
    told = tuple(replace(column, note=f"{column.head.capitalize()}: so it is.") for column in COLUMNS)
    grid = replace(GRID, columns=told)
    for width in (100, 60, 43, 36, 20):
        text = " ".join(shown(width, grid).split())
        for head, value in (("Seconds", "1.25"), ("Norm", "0.50")):
            assert (f"{head}: so it is." in text) == (value in text), (width, head)
        assert "Name of the model: so it is." in text
    assert grid.told == (*GRID.notes, " ".join(column.note for column in told))
    assert grid.without(told[3]).told[-1].endswith("Seconds: so it is.")


def test_words_wrap_before_anything_is_cut() -> None:
    lines = shown(20, GRID).splitlines()
    assert max(map(len, lines)) <= 20
    assert not any("…" in line for line in lines)
    first = "".join(line[:9] for line in lines)
    assert all(word in first for word in ("alpha", "wi", "name"))
    assert any(line.endswith(" 90 ") for line in lines)


def test_a_table_that_would_be_cut_is_written_row_by_row() -> None:
    columns = (
        ReportColumn("arm", left=True),
        ReportColumn("KL"),
        ReportColumn("rate"),
        ReportColumn("points"),
        ReportColumn("p", spare=1),
    )
    numbers = ("0.376 [0.162, 0.590]", "61.1 [44.9, 75.2] 22/36", "-2.8 [-15.5, +10.0]", "0.005")
    first = (Value("first: [dim]"), *map(Value, numbers[:2]), Value("-"), Value("-"))
    other = (Value("another arm \x07"), *(Value(one, short="cut") for one in numbers))
    lines = shown(60, ReportTable("Arms", columns, (first, other), ("A note.",)), GRID).splitlines()
    text = " ".join(" ".join(lines).split())
    assert f"Arms first: [dim] KL {numbers[0]}; rate {numbers[1]} another arm \\x07 KL {numbers[0]}; rate {numbers[1]}; " in text
    assert f"; points {numbers[2]}; p {numbers[3]} A note." in text
    assert max(map(len, lines)) <= 60
    assert "name of the model" in text, "a table that fits is a table still"


def test_a_wide_table_takes_no_column_from_another() -> None:
    wide = ReportTable(
        "Wide", (ReportColumn("name", left=True), ReportColumn("says", left=True)), ((Value("long " * 9), Value("x " * 20)),)
    )
    text = shown(60, GRID, wide)
    assert all(word in text for word in ("1.25", "0.50")), text
    assert max(map(len, text.splitlines())) <= 60
    narrow = replace(GRID, rows=((Value("a"), *GRID.rows[1][1:]),))
    assert "2.5" in shown(43, narrow, wide)
    assert "2.5" not in shown(43, GRID, narrow), "neighbours with the same columns have one layout"


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
