"""The tables that compare: which cells stand in them, with which numbers, and which rates are marked in-sample."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import fisher_exact

from orchestrator.planning.choices import Choice, encode_choices
from orchestrator.planning.considered import Considered
from orchestrator.report import ROWS_SHOWN, results_tables
from orchestrator.report.chosen import chosen_table
from orchestrator.report.doubts import doubts_table
from orchestrator.report.methods import methods_table
from orchestrator.report.quantization import quantization_table
from orchestrator.report.report_table import ReportTable
from orchestrator.report.series import series_of
from orchestrator.report.tables import best_table, cells_table
from orchestrator.report.transfer import te_text, transfer_table
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store
from tests.orchestrator.compare.made_up import made
from tests.orchestrator.comparisons import ALPHA, ALPHA_INT8, Counts, compared, set_of
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import filled, grid

COUNTS: Counts = {
    ("alpha", "alpha", "dim", 15, 8.0): (9, 0),
    ("alpha", "alpha", "dim", 21, 12.0): (7, 0),
    ("alpha", "alpha", "cosmic", 18, 12.0): (6, 2),
    ("alpha/int8", "alpha/int8", "dim", 15, 8.0): (1, 3),
    ("alpha/int8", "alpha/int8", "dim", 21, 12.0): (10, 0),
    ("beta", "alpha", "dim", 10, 8.0): (5, 0),
    ("beta", "beta", "dim", 10, 8.0): (8, 0),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = compared(tmp_path, COUNTS)
    found.compact()
    return found


def texts(table: ReportTable | None) -> list[list[str]]:
    assert table is not None
    return [[value.text for value in row] for row in table.rows]


def test_methods_stand_side_by_side(store: Store) -> None:
    rows = store.cell_rows()
    directions = store.directions()

    def cosine(one: CellRow, other: CellRow) -> float | None:
        return directions.cosine((one.direction_id, one.direction_layer), (other.direction_id, other.direction_layer))

    lines = texts(methods_table(rows, cosine))
    assert [line[:2] for line in lines] == [
        [model, method] for model in ("alpha", "alpha/int8", "beta") for method in ("dim", "cosmic")
    ]
    assert lines[0][2:6] == ["L15+ (50 %)", "8", "90† [59.6, 98.2] 9/10", "0 [0, 27.8] 0/10"]
    assert lines[1][2:5] == ["L18+ (60 %) chosen", "12", "60† [31.3, 83.2] 6/10"]
    dim, cosmic = set_of(ALPHA).at(15).vector, set_of(ALPHA, "cosmic").at(18).vector
    assert lines[1][6] == f"{np.dot(dim.astype(float), cosmic.astype(float)):.3f}"
    assert (lines[0][6], lines[0][7], lines[1][7]) == ("-", "9", "3")


def test_one_method_is_no_comparison(store: Store) -> None:
    assert methods_table([row for row in store.cell_rows() if row.method != "cosmic"], lambda *_: None) is None
    assert methods_table(rows_of(), lambda *_: None) is None


def test_quantized_forms_are_compared_at_the_setting_of_full_precision(store: Store) -> None:
    lines = texts(quantization_table(store.cell_rows(), store.direction_rows()))
    assert [line[:3] for line in lines[:2]] == [
        ["alpha", "float32", "dim L15+ (50 %) x 8"],
        ["alpha", "int8", "dim L15+ (50 %) x 8"],
    ]
    assert [line[3] for line in lines[:2]] == ["90† [59.6, 98.2] 9/10", "10 [1.8, 40.4] 1/10"]
    a, b = set_of(ALPHA).at(15).vector.astype(float), set_of(ALPHA_INT8).at(15).vector.astype(float)
    assert [line[5] for line in lines[:2]] == ["-", f"{a @ b:.3f}"]
    assert [line[6:8] for line in lines[:2]] == [["16.00", "-"], ["14.40", "16.00"]]
    p = [fisher_exact([[1, 9], [9, 1]]).pvalue, fisher_exact([[0, 10], [6, 4]]).pvalue]
    assert [line[8] for line in lines] == ["-", f"{2 * min(p):.2g}", "-", f"{max(p):.2g}"]
    assert "beta" not in {line[0] for line in lines}


def test_a_selected_layer_that_means_nothing_is_listed(store: Store) -> None:
    rows = store.direction_rows()
    assert doubts_table(rows) is None
    told = "cosmic selected layer 18, position -1, but its edits close 0% of the distance between the classes"
    doubtful = [replace(row, warning=told) if row.selected and row.model == "alpha" else row for row in rows]
    assert [line[:4] for line in texts(doubts_table(doubtful))] == [
        ["alpha", "refusal", "cosmic", "L18"],
        ["alpha/int8", "refusal", "cosmic", "L18"],
    ]
    assert {line[4] for line in texts(doubts_table(doubtful))} == {told}


def test_without_quantized_weights_there_is_no_table(store: Store) -> None:
    unquantized = [row for row in store.cell_rows() if row.quantization == "none"]
    assert quantization_table(unquantized, store.direction_rows()) is None
    only = [row for row in store.cell_rows() if row.quantization != "none"]
    assert quantization_table(only, store.direction_rows()) is None


def test_transfer_beside_the_targets_own(store: Store) -> None:
    table = transfer_table(store.transfer_rows(), store.planned().incomparable)
    lines = texts(table)
    assert table is not None
    assert "joint" in table.notes[0]
    (line,) = [line for line in lines if line[:3] == ["alpha -> beta", "dim", "L15 -> L10 x 8"]]
    assert line[3:6] == ["50 [23.7, 76.3] 5/10", "80 [49, 94.3] 8/10", "0"]
    assert line[6].startswith("0.62 [")
    (undefined,) = [line for line in lines if line[:3] == ["alpha -> beta", "dim", "L15 -> L10 x 4"]]
    assert undefined[6] == "undefined"
    assert lines[-1] == ["alpha -> wide", "-", "-", "-", "-", "-", "not comparable: widths 4, 5120", "-"]
    assert transfer_table((), ()) is None
    only = texts(transfer_table((), store.planned().incomparable))
    assert len(only) == 1


def test_why_there_is_no_te(store: Store) -> None:
    row = next(row for row in store.transfer_rows() if row.te is not None)
    assert te_text(replace(row, te_high=float("inf"))).endswith(", inf]")
    assert te_text(replace(row, te=None)) == "undefined"
    assert te_text(replace(row, te=None, control_id=None)) == "no self-control"
    assert te_text(replace(row, te=None, control_success_n=None)) == "unlabelled"


def test_a_rate_that_chose_its_own_setting_is_marked() -> None:
    rows = rows_of()
    (series,) = series_of(rows)
    assert texts(best_table([series]))[0][3].startswith("90† [59.6")
    alone = replace(series, steered=series.steered[-1:])
    assert texts(best_table([alone]))[0][3].startswith("90 [59.6")
    assert "†" not in str(cells_table(series))
    marked = replace(series, steered=(*series.steered[:-1], replace(rows[-1], in_sample=True)))
    table = cells_table(marked)
    assert texts(table)[-1][3] == "90† [59.6, 98.2] 9/10"
    assert table.notes[0].startswith("† in-sample")
    assert "†" not in str(cells_table(replace(series, steered=(replace(rows[-1], in_sample=False),))))


def test_series_of_quantized_models_and_other_prompts_are_told_apart(store: Store) -> None:
    titles = [series.title for series in series_of(store.cell_rows())]
    assert "alpha · refusal · int8 · dim" in titles
    assert "alpha · refusal · float32 · direction from beta · dim" in titles
    assert "beta · refusal · cosmic" in titles
    rows = rows_of()
    other = [replace(row, cell_id=f"{row.cell_id}o", prompts_sha256="x", in_sample=False) for row in rows]
    found = series_of([*rows, *other])
    assert [series.title for series in found] == ["smollm2 · refusal · 10 prompts", "smollm2 · refusal · held-out prompts"]
    assert found[1].baseline is other[0]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_tables_after_a_run_fit_the_terminal(store: Store, width: int) -> None:
    text = shown(store, width)
    assert max(map(len, text.splitlines())) <= width
    for words in ("Methods", "Quantization", "Transfer", "TE [95 %, joint]", "widths 4, 5120", "L18+"):
        assert words in text, words
    assert "…" not in text


def test_many_cells_are_shown_by_the_best_of_each_series(tmp_path: Path) -> None:
    cells = grid(layers=tuple(range(30)), multipliers=(2.0, 4.0, 8.0))
    assert len(cells) > ROWS_SHOWN
    many = filled(tmp_path, cells, {(15, 8.0): (9, 1)})
    many.compact()
    text = shown(many, 100)
    assert "The best cell of each series" in text
    assert "L15+ (50 %) x 8" in text
    assert len(text.splitlines()) < 12


def test_no_finished_cell_no_tables(tmp_path: Path) -> None:
    assert results_tables(Store(tmp_path), 80) is None


def test_other_methods_than_dim_are_compared_with_the_first(store: Store) -> None:
    rows = [replace(row, method="logistic") if row.method == "dim" else row for row in store.cell_rows() if row.model != "beta"]
    lines = texts(methods_table(rows, lambda *_: 0.5))
    assert [line[1] for line in lines[:2]] == ["logistic", "cosmic"]
    assert [line[6] for line in lines[:2]] == ["-", "0.500"]


def test_a_setting_that_was_chosen_from_full_precision_is_still_compared(store: Store) -> None:
    rows = [replace(row, in_sample=True if row.quantization == "none" and row.steered else None) for row in store.cell_rows()]
    lines = texts(quantization_table(rows, store.direction_rows()))
    assert [line[1] for line in lines[:2]] == ["float32", "int8"]
    assert ["†" in line[3] for line in lines[:2]] == [True, False]
    assert methods_table(rows, lambda *_: None) is not None


def test_chosen_settings_are_shown_with_their_evidence(store: Store) -> None:
    tried = tuple(Considered(f"cell-{m}", layer, 0.5, m, 10, k, 0) for layer, m, k in ((15, 8.0, 9), (15, 12.0, 7)))
    choice = Choice("transfer", "sweep", "alpha", "refusal/select", "dim", 0.0, tried[0], tried)
    selected = replace(choice, method="cosmic", chosen=replace(tried[1], layer=None))
    none = replace(choice, model="beta", chosen=None, reason="not run: none of 2")
    assert chosen_table(store.choices(), []) is None
    store.write_choices(encode_choices((choice, selected, none)))
    lines = texts(chosen_table(store.choices(), [made("8.0", 9, 10, behavior="refusal/select")]))
    assert lines[0] == ["alpha", "refusal/select", "dim", "transfer", "L15", "8", "90† [59.6, 98.2] 9/10", "0", "2"]
    assert (lines[1][4], lines[1][5]) == ("chosen", "12")
    assert (lines[2][4], lines[2][6]) == ("-", "not run: none of 2")
    assert "Chosen settings" in shown(store, 100)
    older = replace(choice, method="curve")
    store.write_choices(encode_choices((older,)).replace('"options": "{}"', '"other": "{}"'))
    cell = replace(made("8.0", 9, 10, method="curve"), method_options='{"surface":true}')
    assert texts(chosen_table(store.choices(), [cell]))[0][2] == "curve (surface true)"
    (store.root / "choices.json").write_text("[")
    assert store.choices() == []


def shown(store: Store, width: int) -> str:
    out = StringIO()
    Console(file=out, width=width, color_system=None).print(results_tables(store, width))
    return out.getvalue()
