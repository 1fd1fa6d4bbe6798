"""The table fits its terminal, shows every interval it promises, and obeys nothing that a name says."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from orchestrator.report.as_markdown import markdown_table
from orchestrator.report.report_table import stacked
from orchestrator.report.series import series_of
from orchestrator.report.tables import cells_table
from orchestrator.results.plan_file import PlannedDamage
from orchestrator.results.rows import CellRow
from orchestrator.scoring.score import GARBLED_BY_LOSS
from orchestrator.statistics import wilson
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import grid


def shown(rows: list[CellRow], width: int) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(stacked([cells_table(one) for one in series_of(rows)], width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 110, 120])
@pytest.mark.parametrize("many", [1, 100])
def test_nothing_is_cut_off(width: int, many: int) -> None:
    rows = [
        replace(
            row,
            multiplier=None if row.multiplier is None else row.multiplier - 120.25,
            seconds=12345.6,
            norm_ratio=-12.34,
            n=row.n * many,
            success_n=row.count("success") * many,
            success_low=wilson(row.count("success") * many, row.n * many).low,
            success_high=wilson(row.count("success") * many, row.n * many).high,
            garbled_n=row.count("garbled") * many,
        )
        for row in rows_of()
    ]
    text = shown(rows, width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert ("90 [59.6, 98.2] 9/10" if many == 1 else "90 [88, 91.7] 900/1000") in text


def test_more_columns_show_more() -> None:
    rows = rows_of()
    assert shown(rows, 120).count("100 [72.2, 100] 10/10") == 2
    assert shown(rows, 80).count("[72.2, 100]") == 0
    assert "1.2" in shown(rows, 80)
    assert "1.2" not in shown(rows, 74)
    assert "0.25" in shown(rows, 74)
    assert "0.25" not in shown(rows, 66)


def test_the_least_telling_columns_go_first() -> None:
    measured = {"kl": 0.376, "kl_low": 0.162, "kl_high": 0.59, "loss": 1.5, "norm_ratio": 0.25, "seconds": 7.7}
    rows = [replace(row, **measured, fired=row.steered or None) for row in rows_of()]  # type: ignore[arg-type]
    dropped: list[list[str]] = []
    for width in range(170, 45, -1):
        told = " ".join(shown(rows, width).split()).partition("Not shown, for want of width: ")[2].rstrip(".")
        if told and (not dropped or told.split(", ") != dropped[-1]):
            dropped.append(told.split(", "))
    order = ["seconds", "x norm", "loss", "KL", "fired"]
    assert [set(one) for one in dropped] == [set(order[: number + 1]) for number in range(len(dropped))]
    assert len(dropped) == len(order)
    assert "NO" in shown([*rows[:-1], replace(rows[-1], fired=False)], 48)


def test_order_and_content() -> None:
    lines = [line.split() for line in shown(rows_of(), 80).splitlines() if line.strip()]
    assert [line[0] for line in lines[3:]] == ["unsteered", "L12+", "L12+", "L15+", "L15+"]
    assert lines[-1] == ["L15+", "(50", "%)", "8", "0.25", "90", "[59.6,", "98.2]", "9/10", "10", "0", "yes", "1.2"]


def test_a_steering_that_did_not_fire_stands_out() -> None:
    rows = rows_of()
    assert " NO " in shown([rows[0], replace(rows[1], fired=False)], 80)


def test_unlabelled_cells_show_no_rate() -> None:
    rows = [replace(row, success_n=None, garbled_n=None) for row in rows_of()]
    text = shown(rows, 120)
    assert "unlabelled" in text
    assert "%" not in text.replace("(40 %)", "").replace("(50 %)", "").split("\n", 4)[4]


def test_a_name_is_text_not_markup() -> None:
    text = shown(rows_of(cells=grid(name="[bold]x[/bold] [link=file:///]\x1b[31m")), 120)
    assert "[bold]x[/bold] [link=file:///]\\x1b[31m" in text
    assert "\x1b" not in text


def test_no_rows() -> None:
    assert shown([], 80).strip() == ""


def test_markdown_has_every_interval() -> None:
    lines = markdown_table(cells_table(series_of(rows_of())[0])).splitlines()
    assert lines[0].count("|") == lines[1].count("|") == 9
    assert lines[-1] == "| L15+ (50 %) | 8 | 0.25 | 90 [59.6, 98.2] 9/10 | 10 [1.8, 40.4] 1/10 | 0 [0, 27.8] 0/10 | yes | 1.2 |"
    assert len(lines) == 7


def test_what_decides_on_garbled_is_told_where_it_is_not_rules_alone() -> None:
    by_loss = [replace(row, classifier="refusal@12=refusal+coherence_loss@1") for row in rows_of()]
    assert GARBLED_BY_LOSS in cells_table(series_of(by_loss)[0]).told
    assert GARBLED_BY_LOSS not in cells_table(series_of(rows_of())[0]).told


def test_damage_has_columns_where_it_was_measured() -> None:
    measured = [replace(row, kl=0.3 * number, loss=1.5 + number) for number, row in enumerate(rows_of())]

    def heads(rows: list[CellRow]) -> list[str]:
        return [column.head for column in cells_table(series_of(rows)[0]).columns]

    assert not {"KL", "loss"} & set(heads(rows_of()))
    ends = cells_table(series_of([replace(row, kl_low=0.0, kl_high=2.0) for row in measured])[0], PlannedDamage(4, 1, 0))
    place = [column.head for column in ends.columns].index("KL")
    assert [row[place].text for row in ends.rows][:2] == ["0.000", "0.300 [0.000, 2.000]"]
    assert "KL: the damage, KL(unsteered ‖ steered) of the next token in nats, on 4 neutral prompts x 1 token" in ends.told[-1]
    assert "in nats per token" in ends.told[-1]
    assert {"KL", "loss"} <= set(heads(measured))
    assert "loss" not in heads([replace(row, loss=None) for row in measured])
    partly = cells_table(series_of([*measured[:-1], replace(measured[-1], kl=None)])[0])
    place = [column.head for column in partly.columns].index("KL")
    assert [row[place].text for row in partly.rows] == ["0.000", "0.300", "0.600", "0.900", "-"]
