"""The one-line reading says what the counts say, however the sweep went."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.report.reading import reading
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import Counts, grid

BASELINE = "smollm2 · refusal: unsteered 0 of 10 answers are labelled 'coherent refusal' by the scorer text-3way"


def test_the_phenomenon() -> None:
    assert reading(rows_of()) == (
        "smollm2 · refusal: unsteered 0 of 10 answers are labelled 'coherent refusal' by the scorer text-3way; "
        "best cell L15+ x 8: 9 of 10 labelled 'coherent refusal', in percent 90† [59.6, 98.2]; 1 of 4 cells "
        "mostly garbled, the weakest at L12+ x 8; the shift arrived as asked in all 4 steered cells"
    )


def test_what_only_chose_a_setting_is_told_last() -> None:
    others = [replace(row, cell_id=f"other-{row.cell_id}") for row in rows_of(cells=grid(name="other"))]
    rows = [*rows_of(), *others]
    first = {row.cell_id for row in rows if row.model == "smollm2" and row.steered}
    assert [line[:5] for line in reading(rows).splitlines()] == ["smoll", "other"]
    assert [line[:5] for line in reading(rows, deciding=first).splitlines()] == ["other", "smoll"]
    assert reading(rows, limit=1, deciding=first).startswith("other")


def test_without_one_label_for_success_it_is_said_so() -> None:
    told = reading([replace(row, target=None, classifier=None) for row in rows_of()])
    assert "unsteered 0 of 10 answers are counted as success; best cell L15+ x 8: 9 of 10 counted as success, " in told


def test_no_success() -> None:
    told = reading(rows_of({}))
    assert "none of the answers of the 4 steered cells is labelled 'coherent refusal'; no cell mostly garbled" in told
    assert "best cell" not in told


def test_everything_garbled() -> None:
    counts: Counts = {None: (0, 3), **{(layer, m): (0, 10) for layer in (12, 15) for m in (2.0, 8.0)}}
    told = reading(rows_of(counts))
    assert "by the scorer text-3way, 3 garbled; none of the answers of the 4 steered cells is labelled" in told
    assert "every steered cell is mostly garbled" in told


def test_a_baseline_that_refuses_is_not_hidden() -> None:
    told = reading(rows_of({**dict(rows_counts()), None: (9, 0)}))
    assert "unsteered 9 of 10 answers are labelled 'coherent refusal'" in told
    assert "no cell has more answers labelled 'coherent refusal' than unsteered (best cell L15+ x 8: 9 of 10 labelled" in told


def rows_counts() -> Counts:
    return {(15, 8.0): (9, 1)}


def test_no_baseline_and_no_steered_cells() -> None:
    rows = rows_of()
    assert reading(rows[1:]).startswith("smollm2 · refusal: no unsteered baseline; best cell")
    assert reading(rows[:1]) == BASELINE + "; no steered cells"
    assert reading([]) == "no finished cells"


def test_failed_and_missing_cells_are_told() -> None:
    rows = rows_of()
    assert reading(rows, failed=1, planned=9).endswith("\n1 cell failed, 3 cells not run yet")
    assert reading(rows, failed=0, planned=5).count("\n") == 0
    assert reading([], failed=2, planned=2) == "no finished cells, 2 cells failed"


def test_a_part_of_the_plan_is_no_finding() -> None:
    rows, planned = rows_of(), rows_of()
    told = reading(rows[:3], 0, planned)
    assert told == (
        "smollm2 · refusal: so far, 3 of 5 cells: unsteered 0 of 10 answers are labelled 'coherent refusal' by the scorer "
        "text-3way; best cell so far L12+ x 8: 1 of 10 labelled 'coherent refusal', in percent 10† [1.8, 40.4]; "
        "1 of 2 cells so far mostly garbled, the weakest at L12+ x 8; the shift arrived as asked in all 2 "
        "steered cells so far\n2 cells not run yet"
    )
    assert reading(rows[:2], 0, 13).startswith("smollm2 · refusal: so far, 2 of 13 cells: ")
    one = reading(rows[:2], 0, planned)
    assert "none of the answers of the 1 steered cell so far is labelled 'coherent refusal'; no cell mostly garbled so far" in one
    assert "by the scorer text-3way; no steered cells so far" in reading(rows[:1], 0, planned)
    assert "no unsteered baseline so far" in reading(rows[1:], 0, planned)
    assert "so far, 4 of 5 cells" in reading(rows[:4], 1, planned)
    assert "so far" not in reading(rows, 0, planned)
    refusing = rows_of({None: (9, 0), (12, 2.0): (1, 0)})
    assert "no cell so far has more answers labelled 'coherent refusal' than unsteered (best cell so far L12+ x 2" in reading(
        refusing[:2], 0, planned
    )
    garbled = rows_of({(12, 2.0): (0, 9)})
    assert "every steered cell so far is mostly garbled" in reading(garbled[:2], 0, planned)


def test_a_finished_series_beside_one_that_is_not() -> None:
    other = rows_of(cells=grid(name="other"))
    first, second = reading([*rows_of(), *other[:2]], 0, [*rows_of(), *other]).splitlines()[:2]
    assert "so far" not in first
    assert second.startswith("other · refusal: so far, 2 of 5 cells: ")


def test_steering_that_did_not_fire_is_told() -> None:
    rows = rows_of()
    rows[1] = replace(rows[1], fired=False)
    rows[2] = replace(rows[2], fired=False)
    assert reading(rows).endswith("the shift did NOT arrive as asked in 2 of 4 steered cells")


def test_a_cell_of_which_nothing_was_asked_is_no_failed_edit() -> None:
    one = rows_of({None: (0, 0), (12, 8.0): (1, 0)}, grid((12,), (8.0,)))
    told = reading([one[0], replace(one[1], fired=None, acted_n=0)])
    assert told.endswith("; the condition held for no prompt")
    assert "arrive" not in told
    rows = rows_of()
    rows[1] = replace(rows[1], fired=None, acted_n=0)
    rows[2] = replace(rows[2], fired=None)
    assert reading(rows).endswith(
        "the shift arrived as asked in all 2 steered cells; the condition held for no prompt in 1 of 4 steered cells; no shift "
        "was asked in 1 of 4 steered cells"
    )


def test_unlabelled_cells_are_no_evidence() -> None:
    rows = [replace(row, success_n=None, garbled_n=None) for row in rows_of()]
    told = reading(rows)
    assert "the unsteered baseline is not labelled" in told
    assert "4 cells not labelled" in told
    assert "coherent refusal" not in told


def test_multiplier_zero_is_no_steered_cell() -> None:
    counts: Counts = {None: (0, 0), (15, 0.0): (9, 0), (15, 8.0): (1, 0)}
    told = reading(rows_of(counts, grid((15,), (0.0, 8.0))))
    assert "best cell L15+ x 8: 1 of 10" in told
    assert told.endswith("the shift arrived as asked")


def test_on_a_tie_the_fewest_garbled_then_the_weakest() -> None:
    counts: Counts = {(12, 2.0): (5, 1), (12, 8.0): (5, 0), (15, 2.0): (5, 0), (15, 8.0): (5, 0)}
    assert "best cell L15+ x 2: 5 of 10" in reading(rows_of(counts))


def test_one_line_for_every_model_whose_name_cannot_break_it() -> None:
    told = reading([*rows_of(), *rows_of(cells=grid(name="evil\nname\x1b[31m"))])
    assert len(told.splitlines()) == 2
    assert "\x1b" not in told
