"""A made-up sweep beside the paper: which cell goes with which printed rate, and what is said of the rest."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import fisher_exact

from orchestrator.cells import Cell, variant_id
from orchestrator.compare.beside import Beside, beside, model_of
from orchestrator.paper.tables import MODELS, Measurement, chosen_tables
from orchestrator.plan import Plan, make_plan
from orchestrator.results.rows import CellRow, axes_of
from orchestrator.sweep import load_sweep
from tests.orchestrator.compare.made_up import made, reader, unsteered

QWEN: dict[str, Any] = {"model": "q7", "location": "Qwen/Qwen2.5-7B-Instruct", "n_layers": 28}


def qwen(name: str, k: int, n: int, layer: int = 16, **axes: Any) -> CellRow:
    place = {"layers": tuple(range(layer, 28)), "source_layer": layer, "depth": None}
    return made(name, k, n, **{**QWEN, **place, **axes})


def placed(table: str, *rows: CellRow) -> tuple[list[Beside], list[Measurement]]:
    return beside(chosen_tables([table]), rows, reader())


def pairs(table: str, *rows: CellRow) -> list[tuple[str, str]]:
    return [(one.measurement.condition, one.row.cell_id.removeprefix("cell-")) for one in placed(table, *rows)[0]]


def test_layers_multipliers_and_quantizations_are_matched() -> None:
    rows = [
        qwen("aaaa", 29, 30),
        qwen("bbbb", 28, 30, quantization="int8"),
        qwen("cccc", 20, 30, quantization="nf4"),
        qwen("dddd", 21, 30, quantization="fp4"),
        qwen("eeee", 1, 30, layer=17),
        qwen("ffff", 1, 30, multiplier=20.0),
        qwen("0001", 1, 30, scope="single"),
        qwen("0002", 1, 30, intervention="ablation"),
        qwen("0003", 1, 30, method="pca"),
        qwen("0004", 1, 30, behavior="sycophancy"),
        qwen("0005", 1, 30, adapter=True),
        qwen("0006", 1, 30, system_prompt="Be brief."),
        qwen("0007", 1, 30, location="Qwen/Qwen2.5-Coder-7B-Instruct", model="coder"),
        qwen("0008", 1, 30, is_transfer=True, source_model="other"),
        unsteered("0009", 0, 30, **QWEN),
    ]
    expected = [("Qwen 7B L16 x 15", "aaaa"), ("Qwen 7B int8 L16 x 15", "bbbb")]
    assert pairs("8", *rows) == [*expected, ("Qwen 7B int4 L16 x 15", "cccc"), ("Qwen 7B int4 L16 x 15", "dddd")]
    assert [one.condition for one in placed("8", *rows)[1]] == [f"Qwen 32B{q} L32 x 15" for q in ("", " int8", " int4")]
    assert pairs("unsteered", *rows) == [("Qwen 7B unsteered", "0009")]


def test_the_numbers_of_a_pair() -> None:
    found, _ = placed("5", qwen("aaaa", 20, 30, layer=14), qwen("bbbb", 5, 30, layer=19))
    first, second = found
    assert first.p == pytest.approx(fisher_exact([[20, 10], [26, 4]]).pvalue)
    assert first.points == pytest.approx(-20)
    assert second.points == 0
    assert second.p == 1.0
    assert first.p is not None
    assert first.p_holm == pytest.approx(2 * first.p)


def test_as_many_prompts_as_the_paper_go_first() -> None:
    rows = [qwen("aaaa", 29, 30), qwen("bbbb", 50, 50, behavior="refusal50")]
    assert pairs("3", *rows) == [("Qwen 7B L16 x 15", "bbbb")]
    assert pairs("8", *rows) == [("Qwen 7B L16 x 15", "aaaa")]
    assert pairs("3", rows[0]) == [("Qwen 7B L16 x 15", "aaaa")]


def test_both_cosmics_stand_beside_the_papers_with_their_own_layer() -> None:
    target: dict[str, Any] = {"model": "q32", "location": "Qwen/Qwen2.5-32B-Instruct", "n_layers": 64, "source_layer": 30}
    rows = [
        made("aaaa", 6, 50, method="cosmic", layer_selected=True, layers=tuple(range(30, 64)), **target),
        made("bbbb", 7, 50, method="cosmic_svd", layer_selected=True, layers=tuple(range(40, 64)), **target),
        made("cccc", 7, 50, method="cosmic", layers=tuple(range(41, 64)), **target),
        made("dddd", 30, 50, layers=tuple(range(32, 64)), **target),
    ]
    found, _ = placed("7", *rows)
    assert [one.row.cell_id[-4:] for one in found] == ["dddd", "aaaa", "bbbb"]
    assert [one.notes for one in found[1:]] == [("cosmic L30",), ("cosmic_svd L40",)]


def test_a_transfer_with_its_effectiveness_and_cosine() -> None:
    gemma: dict[str, Any] = {
        "model": "g9",
        "location": "google/gemma-2-9b-it",
        "n_layers": 42,
        "multiplier": 25.0,
        "layers": tuple(range(21, 42)),
    }
    rows = [
        qwen("0000", 30, 30),
        made("aaaa", 5, 30, is_transfer=True, source_model="q7", source_layer=14, depth=0.5, cross_cosine=0.02, **gemma),
        made("bbbb", 29, 30, source_model="g9", source_layer=21, depth=0.5, **gemma),
    ]
    found, missing = placed("10", *rows)
    assert [one.measurement.condition for one in found] == ["Gemma 9B ~50 % x 25", "Qwen 7B -> Gemma 9B ~50 % x 25"]
    assert found[1].te is not None
    assert round(found[1].te.value or 0, 2) == 0.17
    assert ("cross-cosine", 0.019, 0.02) in found[1].others
    assert len(missing) == 5
    alone, _ = placed("10", *rows[:2])
    assert alone[0].te is None


def test_differences_in_the_conditions_are_told() -> None:
    (one, *_), _ = placed("8", qwen("aaaa", 9, 10, max_new_tokens=48, dtype="float32", in_sample=True, fired=False))
    assert one.notes == (
        "48 new tokens, the paper 100",
        "float32, the paper 16-bit",
        "in-sample: its prompts chose its setting",
        "its steering did not fire",
    )


def test_a_rate_without_n_is_shown_without_a_test() -> None:
    found, _ = placed("tooling", qwen("aaaa", 9, 10, extractor="hooks"), qwen("bbbb", 9, 10, extractor="nnsight"))
    assert [(one.row.cell_id[-4:], one.p, one.p_holm) for one in found] == [("bbbb", None, None), ("aaaa", None, None)]
    assert found[1].points == pytest.approx(80)


@pytest.mark.parametrize("number", range(2, 11))
def test_the_sweep_of_each_table_runs_all_its_conditions(number: int) -> None:
    """The sweep files and the tables are two readings of the paper: every printed rate has a planned cell, of as many prompts."""
    plan = make_plan(load_sweep(Path(__file__).parents[3] / "sweeps" / f"paper-table{number}.yaml"))
    rows = [planned_row(plan, place, one) for place, one in enumerate(plan.cells)]
    found, missing = placed(str(number), *rows)
    assert [one.condition for one in missing] == []
    assert {one.row.n for one in found} <= {30, 50}
    assert [one.measurement.condition for one in found if one.row.n != one.measurement.n] == []
    assert all(not one.notes or one.measurement.quantization == "int4" or one.measurement.method == "cosmic" for one in found)


def planned_row(plan: Plan, place: int, one: Cell) -> CellRow:
    """The row that a planned cell will have, with nothing refused; a layer to be selected is 20."""
    shape = next(model.shape for model in plan.models if model.variant == variant_id(one.target))
    axes = asdict(axes_of(one, shape))
    if one.steering is not None and axes["layers"] is None:
        axes |= {"layers": tuple(range(20, shape.n_layers)), "source_layer": 20}
    return replace(made("0", 0, len(one.prompts)), **{**axes, "cell_id": f"cell-{place:04x}"})


@pytest.mark.parametrize("key", MODELS)
def test_every_model_is_known_by_its_repository_or_folder(key: str) -> None:
    repo = MODELS[key].repo
    assert model_of(made("aaaa", 1, 1, location=repo)) == key
    assert model_of(made("aaaa", 1, 1, location=repo.split("/")[1].lower(), source="folder")) == key
    assert model_of(made("aaaa", 1, 1, location=f"{repo}-AWQ")) is None
