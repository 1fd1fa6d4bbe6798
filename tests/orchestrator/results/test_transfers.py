"""The transfer table: TE from the counts, intervals against a bootstrap of the tests' own, and who is whose control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.types import Prompt
from orchestrator.cells import Cell
from orchestrator.results.comparison_rows import TransferRow
from orchestrator.results.store import Store
from orchestrator.statistics import wilson
from tests.orchestrator.comparisons import (
    ALPHA,
    BETA,
    Counts,
    cells_of,
    compared,
    plan_with,
    set_of,
    spec_of,
    steered,
    where,
)
from tests.orchestrator.samples import labels_of, result_of, write_labels

COUNTS: Counts = {
    ("beta", "alpha", "dim", 10, 8.0): (5, 1),
    ("beta", "beta", "dim", 10, 8.0): (8, 0),
    ("alpha", "beta", "dim", 15, 8.0): (10, 0),
    ("alpha", "alpha", "dim", 15, 8.0): (4, 0),
    ("beta", "alpha", "dim", 10, 12.0): (3, 0),
}


def row_of(rows: list[TransferRow], source: str, target: str, multiplier: float = 8.0) -> TransferRow:
    (found,) = [row for row in rows if (row.source, row.target, row.multiplier) == (source, target, multiplier)]
    return found


def bootstrapped(transferred: list[int], control: list[int], joint: bool) -> tuple[float, float]:
    """A percentile bootstrap in plain numpy."""
    rng, n = np.random.default_rng(7), len(control)
    first = rng.integers(0, n, (20_000, n))
    second = first if joint else rng.integers(0, n, (20_000, n))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.array(transferred)[first].mean(1) / np.array(control)[second].mean(1)
    low, high = np.quantile(np.nan_to_num(ratios, nan=0.0, posinf=1e9), [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)


def test_te_is_the_ratio_of_the_two_rates(tmp_path: Path) -> None:
    store = compared(tmp_path, COUNTS)
    store.compact()
    rows = store.transfer_rows()
    assert len(rows) == 6
    one = row_of(rows, "alpha", "beta")
    assert (one.success_n, one.n, one.control_success_n, one.control_n, one.garbled_n) == (5, 10, 8, 10, 1)
    assert one.te == pytest.approx(5 / 8)
    assert (one.source_layer, one.layer, one.control_layer, one.depth) == (15, 10, 10, 0.5)
    assert (one.success_low, one.success_high) == (wilson(5, 10).low, wilson(5, 10).high)
    assert (one.control_success_low, one.control_success_high) == (wilson(8, 10).low, wilson(8, 10).high)
    assert row_of(rows, "beta", "alpha").te == pytest.approx(10 / 4)
    control = next(cell for cell in cells_of() if cell.id == one.control_id)
    assert (control.target, control.is_transfer, where(control)) == (BETA, False, where_of(one))


def where_of(row: TransferRow) -> object:
    return where(steered(BETA, BETA, ("dim", row.layer, row.multiplier)))


@pytest.mark.parametrize(("source", "target", "k", "own"), [("alpha", "beta", 5, 8), ("beta", "alpha", 10, 4)])
def test_both_intervals_are_those_of_a_plain_bootstrap(tmp_path: Path, source: str, target: str, k: int, own: int) -> None:
    store = compared(tmp_path, COUNTS)
    store.compact()
    row = row_of(store.transfer_rows(), source, target)
    arms = [1] * k + [0] * (10 - k), [1] * own + [0] * (10 - own)
    joint, independent = bootstrapped(*arms, joint=True), bootstrapped(*arms, joint=False)
    assert row.te_low == pytest.approx(joint[0], abs=0.08)
    assert row.te_high == pytest.approx(joint[1], rel=0.15)
    assert row.te_independent_low == pytest.approx(independent[0], abs=0.08)
    assert row.te_independent_high == pytest.approx(independent[1], rel=0.15)


def test_te_is_undefined_where_the_control_never_refuses(tmp_path: Path) -> None:
    store = compared(tmp_path, COUNTS)
    store.compact()
    row = row_of(store.transfer_rows(), "alpha", "beta", 12.0)
    assert (row.success_n, row.control_success_n) == (3, 0)
    assert (row.te, row.te_low, row.te_high, row.te_independent_low) == (None, None, None, None)
    assert row.mcnemar_p == pytest.approx(0.25)  # three pairs differ, all in one direction: 2 * (1/2)^3


def test_the_cross_cosine_is_that_of_corresponding_layers(tmp_path: Path) -> None:
    store = compared(tmp_path, COUNTS)
    store.compact()
    a, b = set_of(ALPHA).at(15).vector.astype(np.float64), set_of(BETA).at(10).vector.astype(np.float64)
    expected = float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))
    rows = store.transfer_rows()
    assert [row.cross_cosine for row in rows] == pytest.approx([expected] * 6, abs=1e-12)
    cells = {cell.cell_id: cell for cell in store.cell_rows()}
    assert all(cells[row.cell_id].cross_cosine == row.cross_cosine for row in rows)
    assert all(cell.cross_cosine is None for cell in cells.values() if not cell.is_transfer)


def with_more(tmp_path: Path, *cells: Cell) -> Store:
    """The comparison with further finished cells, each refusing five times."""
    store = compared(tmp_path, COUNTS)
    store.write_plan(plan_with([*cells_of(), *cells]))
    for one in cells:
        store.write_responses(one, result_of(one), 1)
        write_labels(store, one.id, labels_of(one, 5))
    store.compact()
    return store


def test_without_a_control_there_is_no_te_but_a_cross_cosine(tmp_path: Path) -> None:
    store = with_more(tmp_path, steered(ALPHA, BETA, ("dim", 6, 8.0)))
    (row,) = [row for row in store.transfer_rows() if row.source_layer == 6]
    assert (row.control_id, row.control_success_n, row.te, row.layer) == (None, None, None, 4)
    assert row.cross_cosine is not None


def test_a_control_ran_the_same_prompts(tmp_path: Path) -> None:
    other = tuple(Prompt(prompt.id, f"{prompt.text} Now.") for prompt in cells_of()[0].prompts)
    transfer = replace(steered(ALPHA, BETA, ("dim", 15, 8.0)), prompts=other)
    store = with_more(tmp_path, transfer)
    (row,) = [row for row in store.transfer_rows() if row.cell_id == transfer.id]
    assert row.control_id is None
    control = replace(steered(BETA, BETA, ("dim", 10, 8.0)), prompts=other)
    again = with_more(tmp_path / "again", transfer, control)
    (row,) = [row for row in again.transfer_rows() if row.cell_id == transfer.id]
    assert (row.control_id, row.te) == (control.id, 1.0)
    assert (row.te_low, row.te_high) == (1.0, 1.0)  # both arms fail on the same prompts


def test_a_chosen_layer_is_compared_at_the_corresponding_one_or_else_with_the_targets_own_choice(tmp_path: Path) -> None:
    transfer = steered(ALPHA, BETA, ("cosmic", None, 8.0))
    store = with_more(tmp_path, transfer)
    (row,) = [row for row in store.transfer_rows() if row.method == "cosmic"]
    assert (row.layer_selected, row.source_layer, row.layer, row.control_layer) == (True, 18, 12, 7)
    assert row.control_id == steered(BETA, BETA, ("cosmic", None, 8.0)).id
    fixed = steered(BETA, BETA, ("cosmic", 12, 8.0))
    again = with_more(tmp_path / "again", transfer, fixed)
    (row,) = [row for row in again.transfer_rows() if row.method == "cosmic"]
    assert (row.control_id, row.control_layer, row.te) == (fixed.id, 12, 1.0)
    a, b = set_of(ALPHA, "cosmic").at(18).vector, set_of(BETA, "cosmic").at(12).vector
    assert row.cross_cosine == pytest.approx(float(a @ b), abs=1e-6)


def test_unlabelled_arms_have_no_te(tmp_path: Path) -> None:
    store = compared(tmp_path, COUNTS)
    for one in cells_of():
        if one.is_transfer:
            (tmp_path / "scores" / "refusal@13" / f"{one.id}.parquet").unlink()
    store.compact()
    for row in store.transfer_rows():
        assert (row.success_n, row.te, row.mcnemar_p) == (None, None, None)
        assert row.cross_cosine is not None


def test_new_labels_change_the_table(tmp_path: Path) -> None:
    store = compared(tmp_path, COUNTS)
    store.compact()
    transfer = steered(ALPHA, BETA, ("dim", 15, 8.0))
    write_labels(store, transfer.id, labels_of(transfer, 2))
    assert store.compact().changed
    assert row_of(store.transfer_rows(), "alpha", "beta").te == pytest.approx(2 / 8)


def test_pairs_that_are_not_comparable_are_kept_with_the_plan(tmp_path: Path) -> None:
    compared(tmp_path)
    (pair,) = Store(tmp_path).planned().incomparable
    assert (pair.source, pair.target, pair.source_width, pair.target_width) == ("alpha", "wide", 4, 5120)
    assert spec_of(ALPHA).id in {direction.id for direction in Store(tmp_path).planned().directions}
