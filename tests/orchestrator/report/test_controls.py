"""What a series is told beside the random control: at which setting, how much better, and in which words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.report.controls import against_control, controls_table
from orchestrator.report.reading import reading, reading_lines
from orchestrator.report.series import series_of
from orchestrator.results.rows import CellRow
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import Counts


def random_rows(counts: Counts, seed: int = 0) -> list[CellRow]:
    """The steered cells of the sample grid with a random direction."""
    options = f'{{"seed": {seed}}}'
    return [
        replace(row, method="random", method_options=options, cell_id=f"random-{seed}-{row.cell_id}", direction_id=f"d{seed}")
        for row in rows_of(counts)
        if row.steered
    ]


@pytest.mark.parametrize(
    ("random", "words"),
    [
        (0, "at the same setting the random control has 0 of 10: +90 points [48.8, 98.2], better than random"),
        (8, "at the same setting the random control has 8 of 10: +10 points [-23.6, 42.1], not shown to be better than random"),
    ],
)
def test_the_best_cell_is_set_beside_the_random_one_of_its_setting(random: int, words: str) -> None:
    rows = [*rows_of(), *random_rows({(15, 8.0): (random, 0), (12, 8.0): (10, 0)})]
    first, second = reading(rows).splitlines()
    assert words in first
    assert "random control" not in second


def test_a_direction_may_be_worse_than_random() -> None:
    rows = [*rows_of({(15, 8.0): (1, 0)}), *random_rows({(15, 8.0): (10, 0)})]
    assert "has 10 of 10: -90 points [-98.2, -48.8], worse than random" in reading(rows)


def test_of_several_controls_the_best_counts() -> None:
    rows = [*rows_of(), *random_rows({(15, 8.0): (1, 0)}), *random_rows({(15, 8.0): (2, 0)}, seed=1)]
    assert "the best of 2 random controls has 2 of 10" in reading(rows)


def test_a_control_that_has_not_the_setting_is_told_with_its_own() -> None:
    rows = [*rows_of(), *[row for row in random_rows({(12, 8.0): (3, 0)}) if row.layers != rows_of()[-1].layers]]
    assert "at another setting (L12+ x 8) the best of 2 random controls has 3 of 10" in reading(rows)


def test_a_control_of_other_prompts_or_another_model_is_none() -> None:
    dim, random = rows_of(), random_rows({(15, 8.0): (1, 0)})
    for change in ({"prompts_sha256": "other"}, {"model": "other"}, {"behavior": "other"}, {"intervention": "ablation"}):
        other = [replace(row, **change) for row in random]  # type: ignore[arg-type]
        assert against_control(dim[1:], [*dim, *other]) is None, change
    assert against_control(random, [*dim, *random]) is None


def test_the_table_has_a_line_for_each_series_with_a_control() -> None:
    rows = [*rows_of(), *random_rows({(15, 8.0): (8, 0)})]
    table = controls_table(series_of(rows), rows)
    assert table is not None
    ((title, best, rate, control, points, words),) = ([value.text for value in row] for row in table.rows)
    assert title.endswith("dim")
    assert (best, rate, control) == ("L15+ x 8", "90† [59.6, 98.2] 9/10", "80 [49, 94.3] 8/10")
    assert (points, words) == ("+10 [-23.6, 42.1]", "not shown to be better than random")
    assert table.notes[1].startswith("† in-sample")
    assert controls_table(series_of(rows_of()), rows_of()) is None


def test_a_rate_that_is_the_best_of_several_is_marked_in_words_too() -> None:
    rows = rows_of()
    marked = reading_lines(rows, 0, rows, 8, ())
    assert "in percent 90† [59.6, 98.2]" in marked[0]
    assert marked[-1].startswith("† in-sample")
    alone = [rows[0], rows[-1]]
    (line,) = reading_lines(alone, 0, alone, 8, ())
    assert "in percent 90 [59.6, 98.2]" in line
    assert "†" in reading([rows[0], replace(rows[-1], in_sample=True)])
