"""Results in a script: directions as arrays, comparisons, and mistakes told with the nearest name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

import orchestrator
from orchestrator import Results, load_results
from orchestrator.compare.answer import Request, answer
from orchestrator.errors import InputError
from tests.orchestrator.samples import MODEL, cell, filled, grid, plan_of, result_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    filled(root, grid(), {(15, 8.0): (9, 1)}).compact()
    return root


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load_results(folder)


def test_a_direction_is_a_unit_vector_and_all_of_them_a_matrix(results: Results) -> None:
    every = results.direction(method="dim", behavior="refusal")
    assert every.shape == (30, 4)
    assert every.dtype == np.float32
    assert np.array_equal(results.direction(15, model="smollm2"), every[15])


def test_a_mistake_in_a_name_is_told_with_the_nearest(results: Results) -> None:
    with pytest.raises(InputError, match="did you mean 'dim'"):
        results.direction(15, method="dimm")
    with pytest.raises(InputError, match="did you mean 'method'"):
        results.direction(15, methd="dim")
    with pytest.raises(InputError, match=r"layer: there is no such layer \(got 30\); allowed: 0..29"):
        results.direction(30)


@pytest.mark.parametrize(("layers", "told"), [(range(1, 30), "1..29"), ((3, 7), "3, 7"), ((3,), "3")])
def test_of_a_set_of_some_layers_those_are_told(layers: Sequence[int], told: str, results: Results) -> None:
    some = replace(results, directions=results.directions.filter(pl.col("layer").is_in(list(layers))))
    with pytest.raises(InputError, match=rf"layer: there is no such layer \(got 0\); allowed: {told}$"):
        some.direction(0)
    assert some.direction(3 if 3 in layers else 15).shape == (4,)


def test_several_direction_sets_are_told_apart(tmp_path: Path) -> None:
    filled(tmp_path, [cell(15, 8.0), cell(15, 8.0, replace(MODEL, fingerprint="e" * 20), "other")]).compact()
    found = load_results(tmp_path)
    with pytest.raises(InputError, match="2 direction sets are meant; allowed: model=smollm2 or other"):
        found.direction(15)
    assert found.direction(15, model="other").shape == (4,)


def test_comparisons_are_those_of_the_command(results: Results, folder: Path) -> None:
    (one,) = results.compare("layer=15,multiplier=8", "baseline")
    content, _ = answer(Request((str(folder), "layer=15,multiplier=8", "baseline")))
    told = cast("list[dict[str, Any]]", content["comparisons"])[0]
    assert (one.points, one.p, one.h) == (told["points"], told["p"], told["cohens_h"])
    assert one.paired is not None
    assert one.paired.p == told["paired"]["p"]
    by_level = results.compare(by="multiplier", against=8, where="layer=15")
    assert [comparison.b.name for comparison in by_level] == ["multiplier=8"] * len(by_level)
    (garbled,) = results.compare("layer=15,multiplier=8", "baseline", label="garbled")
    assert (garbled.a.k, garbled.b.k) == (1, 0)
    with pytest.raises(InputError, match="what against what"):
        results.compare("layer=15")


def test_what_is_finished_is_compared_while_a_run_goes_on(tmp_path: Path) -> None:
    store = filled(tmp_path, grid()[:3])
    store.write_plan(plan_of(grid()))
    later = grid()[3]
    store.write_responses(later, result_of(later), 1)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    (one,) = load_results(tmp_path).compare(grid()[1].id, "baseline")
    assert one.a.n == 10
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_names_and_what_they_show_fit_a_line(results: Results) -> None:
    for name in orchestrator.__all__:
        assert getattr(orchestrator, name) is not None
    assert dir(orchestrator) == sorted(orchestrator.__all__)
    with pytest.raises(AttributeError, match="it has Behavior, "):
        orchestrator.load_result  # noqa: B018
    (one,) = results.compare("layer=15,multiplier=8", "baseline")
    shown = [results, one, *grid()[:2], grid()[1].steering and grid()[1].steering.direction]  # type: ignore[union-attr]
    assert repr(results) == "Results(5 cells, 50 responses, 1 directions)"
    assert "baseline 0/10" in repr(one)
    for value in shown:
        assert "\n" not in repr(value)
        assert len(repr(value)) <= 160, repr(value)
