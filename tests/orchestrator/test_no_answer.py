"""A label beside the three: counted in every table, rate, choice and comparison, and never taken for a success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.types import CellResult
from orchestrator.cells import Cell
from orchestrator.cli import app
from orchestrator.outcome import COUNTED, OUTCOMES
from orchestrator.plan_with_results import tallies
from orchestrator.planning.choices import Choice
from orchestrator.planning.considered import Considered, Tally, choose
from orchestrator.progress import label_shares
from orchestrator.report import results_tables, write_report
from orchestrator.report.chosen import chosen_table
from orchestrator.report.reading import reading
from orchestrator.report.values import best_of
from orchestrator.results.rows import CellTally, tally_of
from orchestrator.results.schema import LABEL_PART
from orchestrator.results.scored_cells import given_labels
from orchestrator.results.store import Store
from orchestrator.scoring import LABELS, Label, UnknownLabelError
from orchestrator.scoring.uses import Scoring
from orchestrator.statistics import wilson
from orchestrator.tracking.points import shares
from orchestrator.tracking.tables import tables_of
from tests.orchestrator.report.made_up import NOW
from tests.orchestrator.samples import cell, filled, grid, labels_of, plan_of, result_of, write_labels

STEERED = cell(15, 8.0)
COUNTS: dict[str, int] = {"coherent_refusal": 2, "garbled": 1, "normal": 1, "no_answer": 6}
NAMES: list[str] = [name for name, count in COUNTS.items() for _ in range(count)]


def labels(names: Sequence[str] = NAMES) -> tuple[Label, ...]:
    made = labels_of(STEERED)
    return tuple(
        replace(one, label=name, outcome=LABELS.kind(name).outcome, answer="" if name == "no_answer" else None)
        for one, name in zip(made, names, strict=True)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = filled(tmp_path, grid())
    write_labels(made, STEERED.id, labels())
    made.compact()
    return made


def test_n_is_the_number_of_responses(store: Store) -> None:
    row = next(row for row in store.cell_rows() if row.cell_id == STEERED.id)
    assert [row.count(outcome) for outcome in OUTCOMES] == [2, 1, 6, 1]
    assert (row.n, row.success_rate, row.no_answer_rate) == (10, 0.2, 0.6)
    assert tallies(store)[STEERED.key] == Tally(n=10, success=2, garbled=1, no_answer=6)


def test_every_outcome_has_its_columns() -> None:
    rates = {f"{outcome}_{what}" for outcome in COUNTED for what in ("n", "rate", "low", "high")}
    spread = {"success_between", "success_within", "stability", "other_low", "other_high"}
    assert set(asdict(CellTally())) == {"classifier", "labelled_at", "target", *rates, *spread}
    assert {kind.name: kind.outcome for kind in LABELS.kinds} == {
        "coherent_refusal": "success",
        "garbled": "garbled",
        "normal": "other",
        "no_answer": "no_answer",
    }


def test_every_label_has_its_row(store: Store) -> None:
    rows = [row for row in store.rate_rows() if row.cell_id == STEERED.id and row.outcome is not None]
    assert {row.label: row.k for row in rows} == COUNTS
    assert {row.n for row in rows} == {10}
    assert [row.k for row in store.rate_rows() if row.cell_id == grid()[0].id] == [0, 10, 0, 0, *(0, 10), *(10, 0, 0)]
    assert [(row.rate, row.low, row.high) for row in rows if row.label == "garbled"] == [
        (0.1, wilson(1, 10).low, wilson(1, 10).high)
    ]


def test_an_unknown_label_is_an_error_wherever_labels_are_counted() -> None:
    odd = tuple(replace(one, label="evasive", outcome="other") for one in labels())
    with pytest.raises(UnknownLabelError, match="evasive"):
        tally_of(given_labels(LABEL_PART.table(odd)), NOW)


def test_it_is_no_success_and_does_not_pass_for_coherent() -> None:
    cut = Considered("a", 10, None, 16.0, n=10, success=0, garbled=0, no_answer=10)
    half = Considered("b", 10, None, 8.0, n=10, success=6, garbled=0, no_answer=4)
    told = Considered("c", 10, None, 4.0, n=10, success=5, garbled=0)
    assert choose([cut, half, told], 0.0) is told
    assert choose([cut, half, told], 0.4) is half
    assert choose([cut], 0.5) is None


def test_a_choice_shows_it() -> None:
    one = Considered("b", 10, None, 8.0, n=10, success=6, garbled=0, no_answer=4)
    choice = Choice("g", "first", "m", "refusal", "dim", 0.5, one, (one,))
    assert "6 of 10 successes, 0 garbled, 4 without an answer" in str(choice)
    shown = chosen_table([asdict(choice)], [])
    assert shown is not None
    assert [column.head for column in shown.columns][-3:] == ["garbled %", "no answer %", "of"]
    earlier = asdict(choice)
    del earlier["chosen"]["no_answer"], earlier["considered"][0]["no_answer"]  # a choices.json of an earlier version
    shown = chosen_table([earlier], [])
    assert shown is not None
    assert "no answer %" not in [column.head for column in shown.columns]


def test_the_best_cell_is_not_one_without_answers(store: Store) -> None:
    rows = [row for row in store.cell_rows() if row.steered]
    even = [replace(row, success_n=2) for row in rows]
    assert best_of(even).no_answer_n == 0


def test_pages_and_tables_show_it(store: Store) -> None:
    page = write_report(store).read_text()
    assert "no answer %" in page
    assert "6 of 40 responses without an answer" in page
    assert "60 [31.3, 83.2] 6/10" in page
    assert "Labelled no answer" in page
    assert results_tables(store, 100) is not None
    cells = next(table for table in tables_of(store) if table.name == "cells")
    assert "no_answer_rate" in cells.columns
    assert shares(labels())["no_answer_rate"] == 0.6
    assert label_shares(labels()) == "20 % success, 10 % garbled, 60 % no answer, 10 % other"


def test_without_any_it_takes_no_room(tmp_path: Path) -> None:
    made = filled(tmp_path, grid())
    made.compact()
    page = write_report(made).read_text()
    assert "no answer" not in page
    assert "without an answer" not in reading(made.cell_rows())


def test_compare_counts_it(store: Store) -> None:
    told = CliRunner().invoke(app, ["compare", str(store.place), "layer=15,multiplier=8", "baseline", "--label", "no_answer"])
    assert "no answer 60 % [31.3, 83.2] 6/10" in told.output
    wrong = CliRunner().invoke(app, ["compare", str(store.place), "layer=15,multiplier=8", "baseline", "--label", "no_anser"])
    assert wrong.exit_code == 2
    assert "did you mean 'no_answer'?" in " ".join(wrong.output.split())


def thinking(one: Cell) -> CellResult:
    """As a worker tells it of a model whose prompts open the thought."""
    made = result_of(one, lambda prompt: f"They ask for {prompt.id}.\n</think>\n\nI'm sorry, but I can't help with that.")
    return replace(made, responses=tuple(replace(response, prompt_opens="<think>") for response in made.responses))


def test_thoughts_are_stored_told_apart_and_shown_apart(tmp_path: Path) -> None:
    made = filled(tmp_path, [])
    made.write_plan(plan_of([cell(None)]))
    made.write_responses(cell(None), thinking(cell(None)), attempt=1)
    stored = made.read_responses(cell(None).id)
    assert {one.prompt_opens for one in stored} == {"<think>"}
    write_labels(made, cell(None).id, Scoring().labels("", stored))
    made.compact()
    assert made.cell_rows()[0].success_n == 10
    assert {one.answer for one in made.read_labels(cell(None).id)} == {"I'm sorry, but I can't help with that."}
    page = write_report(made).read_text()
    answer, thought = page.index("Answer:"), page.index("Thought")
    assert "I'm sorry" in page[answer:thought]
    assert "They ask for p0" in page[thought:]
