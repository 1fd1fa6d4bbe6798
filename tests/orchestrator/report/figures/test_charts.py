"""The data of each figure are the numbers of the rows: every cell that belongs there, and no other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.types import Decoding
from orchestrator.planned import IncomparablePair
from orchestrator.report.blocks import Row
from orchestrator.report.figures import damage, depths, doses, heat_maps, norms, scaling
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.registry import FIGURES, SERIES
from orchestrator.report.figures.transfer import matrices
from orchestrator.report.findings import SweepFindings
from orchestrator.report.sections import SECTIONS
from orchestrator.report.values import success_rate
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store
from orchestrator.statistics import wilson
from tests.orchestrator.comparisons import Counts, compared
from tests.orchestrator.report.figures.found import found_of, swept
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import filled, grid

TRANSFERRED: Counts = {
    ("beta", "alpha", "dim", 10, 4.0): (9, 0),
    ("beta", "beta", "dim", 10, 4.0): (3, 0),
    ("beta", "alpha", "dim", 10, 8.0): (5, 0),
    ("beta", "beta", "dim", 10, 8.0): (8, 0),
    ("alpha", "beta", "dim", 15, 8.0): (2, 0),
    ("alpha", "alpha", "dim", 21, 12.0): (6, 1),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SweepFindings:
    """Two models, one also in int8, two methods, transfers, and a pair that cannot be compared."""
    store: Store = compared(tmp_path_factory.mktemp("compared"), TRANSFERRED)
    store.compact()
    return SweepFindings(store)


def told(rows: Sequence[Row], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in columns) for row in rows]


def panel(charts: Sequence[Chart], words: str) -> Chart:
    (one,) = (chart for chart in charts if words in chart.title)
    return one


def test_every_figure_stands_somewhere() -> None:
    assert {kind.heading for kind in FIGURES.values()} <= {SERIES, *SECTIONS}
    assert all(re.fullmatch(r"[a-z][a-z-]+", name) for name in FIGURES)


def test_heat_maps_hold_each_outcome_of_each_cell_with_its_interval() -> None:
    rows = swept()
    rows = [rows[0], *rows[2:]]
    success, garbled = heat_maps.charts(found_of(rows))
    assert (success.series, garbled.series) == ("smollm2 · refusal",) * 2
    assert "coherent refusal (%); unsteered 10" in success.title
    assert told(success.rows, "layer", "multiplier", "k", "n", "value") == [
        (row.layer, row.multiplier, row.success_n, 10, (row.success_n or 0) / 10) for row in rows[1:]
    ]
    assert told(garbled.rows, "measure", "k")[0] == ("garbled", 9)
    interval = wilson(9, 10)
    (best,) = (row for row in success.rows if row["k"] == 9)
    assert (best["low"], best["high"]) == pytest.approx((interval.low, interval.high))


def test_damage_is_a_panel_where_it_was_measured() -> None:
    rows = [replace(row, kl=0.25 * number) for number, row in enumerate(swept())]
    (nats,) = (chart for chart in heat_maps.charts(found_of(rows)) if "damage" in chart.title)
    assert told(nats.rows, "value") == [(0.25 * number,) for number in range(1, 10)]


def test_doses_run_over_the_multiplier_and_over_its_share_of_the_norm() -> None:
    multipliers, shares = doses.charts(found_of(swept()))
    assert len(multipliers.rows) == len(shares.rows) == 9
    for row in shares.rows:
        assert row["norm_ratio"] == pytest.approx((row["multiplier"] or 0) / 32)  # type: ignore[operator]
    assert list(doses.charts(found_of(rows_of()))) == [], "two points are no curve"


def test_profiles_have_a_line_for_each_multiplier() -> None:
    (chart,) = depths.charts(found_of(swept()))
    assert told(chart.rows, "line", "layer", "k")[:4] == [("x 2", 12, 1), ("x 2", 15, 4), ("x 2", 21, 0), ("x 8", 12, 1)]
    chosen = [replace(row, layer_selected=row.layer == 15) for row in swept()]
    assert list(depths.charts(found_of(chosen))) == [], "a chosen layer is of another series, and two depths are no line"


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_nobody_beats_those_of_the_front(points: list[tuple[float, int]]) -> None:
    made = rows_of()
    rows = [replace(made[number], kl=kl) for kl, number in points]

    def beaten(row: CellRow) -> bool:
        at = (-success_rate(row), row.kl or 0.0)
        others = [(-success_rate(one), one.kl or 0.0) for one in rows]
        return any(one[0] <= at[0] and one[1] <= at[1] and one != at for one in others)

    assert {(success_rate(row), row.kl) for row in damage.front(rows)} == {
        (success_rate(row), row.kl) for row in rows if not beaten(row)
    }


def test_damage_has_a_point_for_each_measured_cell() -> None:
    assert list(damage.charts(found_of(swept()))) == []
    rows = [replace(row, kl=0.3 * number) for number, row in enumerate(swept())]
    (chart,) = damage.charts(found_of(rows))
    assert told(chart.rows, "kl", "k") == [(0.3 * number, row.success_n) for number, row in enumerate(rows)]
    assert [row["k"] for row in chart.rows if row["front"]] == [1, 4, 9]
    assert "new tokens" not in chart.title


def test_answers_of_two_decodings_share_no_front() -> None:
    rows = [replace(row, kl=0.3 * number) for number, row in enumerate(swept())]
    longer = [replace(row, max_new_tokens=row.max_new_tokens + 7, success_n=row.n) for row in rows]
    charts = list(damage.charts(found_of([*rows, *longer])))
    assert [chart.title.rpartition(" · ")[2] for chart in charts] == [
        f"{rows[0].max_new_tokens} new tokens",
        f"{longer[0].max_new_tokens} new tokens",
    ]
    assert [row["k"] for row in charts[0].rows if row["front"]] == [1, 4, 9]


def test_norms_take_the_best_multiplier_of_each_direction() -> None:
    (chart,) = norms.charts(found_of(swept()))
    assert told(chart.rows, "norm", "multiplier", "k") == [(12.5, 2.0, 1), (15.5, 8.0, 9), (21.5, 8.0, 3)]


@pytest.mark.parametrize(
    ("location", "size"),
    [("Qwen/Qwen2.5-0.5B-Instruct", 0.5), ("google/gemma-2-27b-it", 27), ("smollm2-135m-instruct", 0.135), ("a/b-v0.3", None)],
)
def test_sizes_are_those_of_the_name(location: str, size: float | None) -> None:
    row = replace(swept("some-model")[1], location=location)
    assert scaling.size_of(row) == (None if size is None else pytest.approx(size))


def test_scaling_takes_the_best_cell_of_each_size() -> None:
    small = [replace(row, location="a/b-3B") for row in swept("small")]
    large = [replace(row, location="a/b-14B", success_n=(row.success_n or 0) // 2) for row in swept("large")]
    rates, place = scaling.charts(found_of([*small, *large]))
    assert told(rates.rows, "size", "k", "layer") == [(3.0, 9, 15), (14.0, 4, 15)]
    assert told(place.rows, "value", "rate") == [(0.5, 0.9), (0.5, 0.4)]
    assert list(scaling.charts(found_of(small))) == [], "one size is no scaling"


def test_transfer_shows_the_place_where_the_targets_own_direction_works_best(found: SweepFindings) -> None:
    pairs = (IncomparablePair("alpha", "wide", 4, 5120, "width"), IncomparablePair("deep", "beta", 4, 4, "layers"))
    (matrix,) = matrices(found.transfers, pairs, found.rows)
    assert (matrix.sources, matrix.targets) == (("alpha", "beta", "deep"), ("alpha", "beta", "wide"))
    assert matrix.shown["alpha", "beta"].te == pytest.approx(5 / 8)
    assert matrix.absent == {("beta", "alpha"): "undefined", ("alpha", "wide"): "4 | 5120", ("deep", "beta"): "no match"}
    te, cosine = FIGURES["transfer"].charts(found)
    (pair,) = (row for row in te.rows if (row["source"], row["target"]) == ("alpha", "beta"))
    (row,) = (row for row in found.transfers if row.target == "beta" and row.multiplier == 8.0)
    assert (pair["value"], pair["low"], pair["high"]) == (row.te, row.te_low, row.te_high)
    assert [one["value"] for one in cosine.rows if one["source"] == "alpha" and one["target"] == "beta"] == [row.cross_cosine]


def test_directions_that_two_tools_read_have_a_matrix_each(found: SweepFindings) -> None:
    rows = [*found.rows, *(replace(row, cell_id=f"other-{row.cell_id}", extractor="other") for row in found.rows)]
    transfers = [*found.transfers, *(replace(row, cell_id=f"other-{row.cell_id}") for row in found.transfers)]
    titles = [matrix.title for matrix in matrices(transfers, (), rows)]
    assert ["read by other" in title for title in titles] == [False, True]


def test_methods_and_weights_stand_beside_each_other(found: SweepFindings) -> None:
    (methods,) = FIGURES["methods"].charts(found)
    assert {(row["name"], row["line"]) for row in methods.rows} == {
        (model, method) for model in ("alpha", "alpha int8", "beta") for method in ("dim", "cosmic (own layer)")
    }
    rates, turned = FIGURES["quantization"].charts(found)
    of = {(row["method"], row["quantization"]): row for row in rates.rows}
    assert of["dim", "none"]["k"] == 6
    (direction,) = {row.direction_cosine_to_full_precision for row in found.rows if row.cell_id == of["dim", "int8"]["cell_id"]}
    assert of["dim", "int8"]["cosine"] == direction
    assert {row["quantization"] for row in turned.rows} == {"int8"}


def test_flips_are_the_labels_of_every_prompt(found: SweepFindings) -> None:
    charts = list(FIGURES["flips"].charts(found))
    chart = next(one for one in charts if one.title.startswith("beta · refusal · dim"))
    stored = {row.cell_id: {one.prompt_id: one.label for one in found.store.read_labels(*row.key)} for row in found.rows}
    assert {(row["cell_id"], row["prompt_id"]): row["label"] for row in chart.rows} == {
        (cell_id, prompt): label
        for cell_id in {str(row["cell_id"]) for row in chart.rows}
        for prompt, label in stored[cell_id].items()
    }
    flips = [int(str(row["flips"])) for row in chart.rows]
    assert flips == sorted(flips, reverse=True)
    assert flips[0] == sum(row["outcome"] != "other" for row in chart.rows if row["prompt_id"] == chart.rows[0]["prompt_id"])


def test_coverage_names_each_behavior_once(tmp_path: Path) -> None:
    two = [replace(one, labels=replace(one.labels, behavior=name)) for name in ("refusal", "french") for one in grid()[:2]]
    store = filled(tmp_path, [replace(one, decoding=Decoding(50 + number)) for number, one in enumerate(two)])
    store.compact()
    (chart,) = FIGURES["coverage"].charts(SweepFindings(store))
    assert [row["cells"] for row in chart.rows] == [
        *("refusal · unsteered", "refusal · dim", "french · unsteered", "french · dim"),
    ]


def test_coverage_counts_the_plan(found: SweepFindings) -> None:
    (chart,) = FIGURES["coverage"].charts(found)
    assert sum(int(str(row["planned"])) for row in chart.rows) == len(found.store.planned().cells)
    assert {row["finished"] == row["planned"] for row in chart.rows} == {True}
