"""The table of directions: cosines checked against numpy by hand, whichever model was finished first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.results.comparison_rows import DirectionRow
from orchestrator.results.directions_table import cosine
from orchestrator.results.schema import DIRECTIONS, TRANSFERS
from orchestrator.results.store import Store
from tests.orchestrator.comparisons import ALPHA, ALPHA_INT8, BETA, CHOSEN, cells_of, compared, plan_with, set_of, spec_of
from tests.orchestrator.samples import filled, grid


def by_set(store: Store) -> dict[tuple[str, int], DirectionRow]:
    return {(row.direction_id, row.layer): row for row in store.direction_rows()}


def test_every_layer_of_every_set_has_a_row(tmp_path: Path) -> None:
    store = compared(tmp_path)
    store.compact()
    rows = by_set(store)
    assert len(rows) == 2 * (30 + 30 + 20)
    one = rows[spec_of(BETA, "cosmic").id, 7]
    assert (one.model, one.behavior, one.quantization, one.dtype, one.method) == ("beta", "refusal", "none", "float32", "cosmic")
    assert (one.depth, one.n_layers, one.raw_norm, one.residual_norm, one.extractor) == (7 / 20, 20, 8.0, 10.0, "nnsight")
    chosen = {(row.direction_id, row.layer) for row in rows.values() if row.selected}
    assert chosen == {(spec_of(model, "cosmic").id, layer) for model, layer in CHOSEN.items()}
    assert len({row.prompts_sha256 for row in rows.values()}) == 1
    assert {pair.prompts_sha256 for pair in store.planned().directions} == {one.prompts_sha256}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("method", ["dim", "cosmic"])
def test_a_quantized_direction_is_compared_with_full_precision(tmp_path: Path, reverse: bool, method: str) -> None:
    store = compared(tmp_path, reverse=reverse)
    store.compact()
    rows = by_set(store)
    full, coarse = set_of(ALPHA, method), set_of(ALPHA_INT8, method)
    for layer in range(30):
        a, b = full.at(layer).vector.astype(np.float64), coarse.at(layer).vector.astype(np.float64)
        row = rows[spec_of(ALPHA_INT8, method).id, layer]
        expected = sum(a * b) / (sum(a * a) ** 0.5 * sum(b * b) ** 0.5)
        assert row.full_precision_cosine == pytest.approx(expected, abs=1e-12)
        assert row.full_precision_cosine != pytest.approx(1.0)
        assert row.full_precision_direction_id == spec_of(ALPHA, method).id
        assert row.raw_norm == pytest.approx(0.9 * (layer + 1))
        assert row.full_precision_raw_norm == layer + 1.0
    for model in (ALPHA, BETA):
        row = rows[spec_of(model, method).id, 5]
        assert (row.full_precision_direction_id, row.full_precision_cosine, row.full_precision_raw_norm) == (None, None, None)


def test_a_cell_has_the_cosine_of_the_direction_that_steered_it(tmp_path: Path) -> None:
    store = compared(tmp_path)
    store.compact()
    table = by_set(store)
    for row in store.cell_rows():
        if row.quantization == "none" or not row.steered:
            assert row.direction_cosine_to_full_precision is None
        else:
            layer = 18 if row.method == "cosmic" else row.layer
            assert layer is not None
            assert row.direction_cosine_to_full_precision == table[row.direction_id or "", layer].full_precision_cosine


def test_full_precision_that_comes_later_fills_the_table_without_generating(tmp_path: Path) -> None:
    store = compared(tmp_path)
    full = tmp_path / "directions" / f"{spec_of(ALPHA).id}.safetensors"
    kept = full.read_bytes()
    full.unlink()
    store.compact()
    before = by_set(store)[spec_of(ALPHA_INT8).id, 3]
    assert (before.full_precision_cosine, before.full_precision_direction_id) == (None, None)
    full.write_bytes(kept)
    assert Store(tmp_path).compact().changed
    assert by_set(store)[spec_of(ALPHA_INT8).id, 3].full_precision_cosine is not None


def test_float32_is_preferred_and_only_the_same_extraction_counts(tmp_path: Path) -> None:
    store = compared(tmp_path)
    half, brain = replace(ALPHA, dtype="float16"), replace(ALPHA, dtype="bfloat16")
    for model in (half, brain):
        store.write_direction(spec_of(model), set_of(BETA))
    others = (
        replace(spec_of(ALPHA), options=(("ridge", 1.0),)),
        replace(spec_of(ALPHA), extractor="hooks"),
        replace(spec_of(ALPHA), positive=spec_of(ALPHA).negative),
    )
    for other in others:
        store.write_direction(other, set_of(BETA))
    directions = store.directions()
    assert directions.full_precision(spec_of(ALPHA_INT8).id) == spec_of(ALPHA).id
    (tmp_path / "directions" / f"{spec_of(ALPHA).id}.safetensors").unlink()
    assert store.directions().full_precision(spec_of(ALPHA_INT8).id) == spec_of(brain).id
    (tmp_path / "directions" / f"{spec_of(brain).id}.safetensors").unlink()
    assert store.directions().full_precision(spec_of(ALPHA_INT8).id) == spec_of(half).id
    (tmp_path / "directions" / f"{spec_of(half).id}.safetensors").unlink()
    assert store.directions().full_precision(spec_of(ALPHA_INT8).id) is None
    assert store.directions().full_precision(spec_of(BETA).id) is None


def test_a_damaged_direction_costs_its_own_rows_alone(tmp_path: Path) -> None:
    store = compared(tmp_path)
    path = tmp_path / "directions" / f"{spec_of(ALPHA).id}.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    assert store.compact().cells == len(cells_of())
    rows = by_set(store)
    assert {direction_id for direction_id, _ in rows} == {spec_of(m, k).id for m in CHOSEN for k in ("dim", "cosmic")} - {
        path.stem
    }
    assert rows[spec_of(ALPHA_INT8).id, 0].full_precision_cosine is None
    assert not path.exists()


def test_cosines_are_exact_and_need_equal_widths() -> None:
    a, b = np.array([1, 2, 3], np.float32), np.array([-3, 2, 1], np.float32)
    assert cosine(a, b) == pytest.approx(4 / 14, abs=1e-15)
    assert cosine(a, 3 * a) == pytest.approx(1.0, abs=1e-15)
    with pytest.raises(ValueError, match="3 and 2 components"):
        cosine(a, np.ones(2, np.float32))


def test_directions_of_unequal_width_have_no_cosine_in_a_table(tmp_path: Path) -> None:
    store = compared(tmp_path)
    wide = replace(BETA, fingerprint="w" * 20)
    found = set_of(BETA)
    stretched = tuple(replace(one, vector=np.ones(7, np.float32)) for one in found.directions)
    store.write_direction(spec_of(wide), replace(found, directions=stretched))
    assert store.directions().cosine((spec_of(wide).id, 3), (spec_of(BETA).id, 3)) is None
    assert store.directions().cosine((spec_of(BETA).id, 99), (spec_of(BETA).id, 3)) is None
    assert store.directions().cosine((None, None), (spec_of(BETA).id, 3)) is None


def test_columns_are_typed_even_where_all_is_null(tmp_path: Path) -> None:
    store = filled(tmp_path, grid())
    store.compact()
    assert pq.read_schema(tmp_path / "directions.parquet").equals(DIRECTIONS.schema)
    assert pq.read_schema(tmp_path / "transfer.parquet").equals(TRANSFERS.schema)
    assert (len(store.direction_rows()), store.transfer_rows()) == (30, [])
    (tmp_path / "directions.parquet").write_bytes(b"junk")
    assert store.direction_rows() == []
    assert store.compact().changed
    assert len(store.direction_rows()) == 30


def test_only_directions_of_the_plan_have_rows(tmp_path: Path) -> None:
    store = compared(tmp_path)
    store.write_plan(plan_with([one for one in cells_of() if one.target == BETA and not one.is_transfer]))
    store.compact()
    assert {row.model for row in store.direction_rows()} == {"beta"}


def test_the_warning_of_a_stored_set_is_in_the_row_of_its_selected_layer(tmp_path: Path) -> None:
    store = compared(tmp_path)
    doubtful = replace(set_of(BETA, "cosmic"), record={"warning": "cosmic selected layer 7, but it means nothing"})
    (tmp_path / "directions" / f"{spec_of(BETA, 'cosmic').id}.safetensors").unlink()
    store.write_direction(spec_of(BETA, "cosmic"), doubtful)
    store.compact()
    told = {key: row.warning for key, row in by_set(store).items() if row.warning is not None}
    assert told == {(spec_of(BETA, "cosmic").id, CHOSEN[BETA]): "cosmic selected layer 7, but it means nothing"}


def test_a_table_of_an_earlier_version_is_read_without_the_columns_it_lacks(tmp_path: Path) -> None:
    store = compared(tmp_path)
    store.compact()
    rows = store.direction_rows()
    path = tmp_path / "directions.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["warning"]), path)
    assert store.direction_rows() == rows


def test_sets_of_an_earlier_cosmic_are_no_full_precision_of_todays(tmp_path: Path) -> None:
    """They stay in the folder, under their own ids; by what was written down then, they would be kin of today's."""
    store = compared(tmp_path)
    now = {model: store.directions().sources[spec_of(model, "cosmic").id] for model in (ALPHA, ALPHA_INT8)}
    assert now[ALPHA].kin == now[ALPHA_INT8].kin
    assert store.directions().full_precision(spec_of(ALPHA_INT8, "cosmic").id) == spec_of(ALPHA, "cosmic").id
    (tmp_path / "directions" / f"{spec_of(ALPHA, 'cosmic').id}.safetensors").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orchestrator.results.direction_file.changed_since", lambda _spec: {})
        store.write_direction(spec_of(ALPHA, "cosmic"), set_of(ALPHA, "cosmic"))
    assert store.directions().full_precision(spec_of(ALPHA_INT8, "cosmic").id) is None
