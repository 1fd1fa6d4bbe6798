"""The scorers that do not decide: which they are, and what the table says of them."""

from __future__ import annotations

from scipy.stats import binomtest

from orchestrator.cells import CellKey
from orchestrator.report.others import others_of, others_table
from orchestrator.report.series import series_of
from orchestrator.results.rate_rows import RateRow, scorer_rate_rows
from orchestrator.results.schema import SCORE_PART
from orchestrator.results.scored_cells import given
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.score import Labels, ResponseScore, Scale
from tests.orchestrator.report.made_up import rows_of

SCORING = BehaviorScoring(
    (
        ScorerUse("pattern", {}, "pattern@1"),
        ScorerUse("mine.py:items", {}, "mine.items@1"),
        ScorerUse("length", {}, "length@1-a"),
        ScorerUse("length", {}, "length@1-b"),
        ScorerUse("coherence", {}, "coherence@6"),
    ),
    Criterion("pattern@1", "coherence@6"),
)


def scored(number: int, label: str | None, value: float | None = None) -> ResponseScore:
    return ResponseScore(f"T{number}", label, value, "{}", None)


def rates_of(cell: CellKey) -> list[RateRow]:
    """Of ten responses seven have few items; they are 1 to 10 words long."""
    labels = [scored(number, "few" if number < 7 else "none") for number in range(10)]
    numbers = [scored(words, None, float(words)) for words in range(1, 11)]
    return [
        *scorer_rate_rows(cell, given("mine.items@1", SCORE_PART.table(labels)), Labels(("few", "many", "none"))),
        *scorer_rate_rows(cell, given("length@1-a", SCORE_PART.table(numbers)), Scale("words")),
    ]


def test_those_that_decide_are_left_out_and_a_name_that_is_shared_becomes_the_id() -> None:
    assert others_of(SCORING) == {"mine.items@1": "mine.py:items", "length@1-a": "length@1-a", "length@1-b": "length@1-b"}


def test_a_row_per_cell_and_scorer() -> None:
    rows = rows_of()
    table = others_table(series_of(rows), {rows[0].behavior: others_of(SCORING)}, rates_of(rows[0].key))
    assert table is not None
    assert len(table.rows) == 3 * len(rows)
    said = [line[-1] for line in table.rows[:3]]
    ends = [binomtest(k, 10).proportion_ci(method="wilson") for k in (7, 3)]
    few, none = (f"[{100 * one.low:.1f}, {100 * one.high:.1f}]" for one in ends)
    assert [one.text for one in said] == [f"few 7/10 {few}, none 3/10 {none}", "mean 5.5 [3.33, 7.67]", "not scored"]
    assert [one.head for one in table.columns] == ["cell", "scorer", "says"], "one series needs no name"
    assert said[0].short == "few 7/10, none 3/10"


def test_without_others_there_is_no_table() -> None:
    rows = rows_of()
    assert others_table(series_of(rows), {rows[0].behavior: {}}, rates_of(rows[0].key)) is None
