"""The figures of analyses hold the numbers of their rows, and are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.analysis import AnalysisRow, Class, Material
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.registry import FIGURES
from orchestrator.report.findings import SweepFindings
from orchestrator.results.columns import row_of

LAYERS, PROMPTS = 5, 12
COMMON = {"analysis_id": "a", "model": "m", "behavior": "b"}
INJECTED = {"method": "dim", "source": 1, "n": 6}
INTERVALS = {
    "propagation": {
        f"{name}_{end}": number
        for name, middle in (("alignment", 0.5), ("kept", 0.4), ("norm_ratio", 1.0))
        for end, number in (("low", middle - 0.1), ("high", middle + 0.1))
    }
    | {
        f"{name}_{end}": number
        for name in ("chance", "kept_chance", "norm_chance")
        for end, number in (("low", -0.2), ("high", 0.4))
    }
}


@dataclass
class Stored:
    """Stands for the store: the rows of analyses."""

    rows: Mapping[str, Sequence[AnalysisRow]]

    def analysis_rows(self, name: str) -> Sequence[AnalysisRow]:
        return self.rows.get(name, [])


def found_of(**rows: Sequence[AnalysisRow]) -> SweepFindings:
    found = SweepFindings.__new__(SweepFindings)
    found.store = cast("Any", Stored(rows))
    return found


def made(name: str, rows: Iterable[Mapping[str, object]]) -> list[AnalysisRow]:
    return [row_of(ANALYSES[name].row, {**COMMON, **row}) for row in rows]


def measured(name: str) -> list[AnalysisRow]:
    """The analysis of made-up activations."""
    random = np.random.default_rng(3)
    states = random.normal(size=(2 * PROMPTS, LAYERS, 16)) + np.repeat([2.0, -2.0], PROMPTS)[:, None, None]
    classes: list[Class] = [side for side in ("positive", "negative") for _ in range(PROMPTS)]
    analysis = ANALYSES[name]
    return made(name, analysis.rows(Material({"activations": states}, tuple(classes), (None,) * 2 * PROMPTS), analysis.options()))


def charts_of(figure: str, rows: Sequence[AnalysisRow], analysis: str | None = None) -> list[Chart]:
    charts = list(FIGURES[figure].charts(found_of(**{analysis or figure: rows})))
    for number, chart in enumerate(charts):
        assert "<svg" in chart.svg(f"{figure}-{number}")
    return charts


def test_angles_to_the_next_layer_and_between_all_pairs() -> None:
    rows: list[Any] = measured("angles")
    neighbours, raw, corrected = charts_of("angles", rows)
    pairs = [row for row in rows if row.layer is not None]
    assert [(one["layer"], one["value"]) for one in neighbours.rows if one["line"] == "corrected"] == [
        (row.layer, row.corrected) for row in pairs if row.other == row.layer + 1
    ]
    for chart, name in ((raw, "raw"), (corrected, "corrected")):
        there = {(one["layer"], one["other"]): one["value"] for one in chart.rows}
        assert len(there) == LAYERS * (LAYERS - 1)
        assert there == {at: getattr(row, name) for row in pairs for at in ((row.layer, row.other), (row.other, row.layer))}


def test_learning_curves_pass_through_the_agreement_that_was_found() -> None:
    rows: list[Any] = measured("stability")
    curves, layers = charts_of("stability", rows)
    assert [one["value"] for one in layers.rows if one["line"] != "wanted"] == [row.agreement for row in rows]
    told: list[Any] = list(curves.rows)
    for one in told:
        (row,) = (row for row in rows if one["line"] == f"layer {row.layer}")
        assert one["value"] == pytest.approx(1 / (1 + row.k / one["prompts"]))
        assert one["low"] <= one["value"] <= one["high"]


def test_paths_join_the_knots_of_a_layer_by_strength() -> None:
    rows: list[Any] = measured("splines")
    bows, *paths = charts_of("curves", rows, "splines")
    assert len(bows.rows) == 2 * LAYERS
    assert len(paths) == 3
    for path in paths:
        (layer,) = {one["layer"] for one in path.rows}
        knots = [row for row in rows if row.layer == layer and row.knot is not None]
        assert [(one["x"], one["value"]) for one in path.rows] == [(row.first, row.second) for row in knots]
        strengths = [float(str(one["strength"])) for one in path.rows]
        assert strengths == sorted(strengths)


def test_propagation_shows_the_first_multiplier_of_each_source_beside_random_directions() -> None:
    rows = made(
        "propagation",
        [
            {**INJECTED, "source": source, "multiplier": multiplier, "layer": layer, **INTERVALS["propagation"]}
            | {"alignment": 0.5, "kept": 0.4, "norm_ratio": 1.0}
            for source in (1, 2)
            for multiplier in (8.0, -8.0)
            for layer in range(source, LAYERS)
        ],
    )
    first, second = charts_of("propagation", rows)
    assert "added at layer 1 x 8" in first.title
    assert "added at layer 2 x 8" in second.title
    own = [one for one in first.rows if one["line"] == "own direction there"]
    assert [(one["layer"], one["value"], one["low"]) for one in own] == [(layer, 0.5, 0.4) for layer in range(1, LAYERS)]
    chance = [one for one in first.rows if one["line"] == "random: own direction there"]
    assert {(one["low"], one["high"]) for one in chance} == {(-0.2, 0.4)}


def test_the_floor_shows_the_direction_once_and_each_kind_of_random_ones() -> None:
    of = {"kl": 0.01, "random_kl": 0.02, "random_p5": 0.005, "random_p95": 0.05, "below": 3, "share": 0.3, "share_low": 0.1}
    of |= {"share_high": 0.6, "ratio": 0.5, "ratio_low": 0.2, "ratio_high": 1.0, "random": 10, "multiplier": 8.0}
    kl, rank = charts_of(
        "random-floor",
        made("random_floor", [{**INJECTED, **of, "against": kind} for kind in ("isotropic", "covariance")]),
        "random_floor",
    )
    assert [one["kind"] for one in kl.rows] == ["the direction", "10 random, isotropic", "10 random, covariance"]
    assert [(one["k"], one["n"], one["low"]) for one in rank.rows] == [(3, 10, 0.1)] * 2


def test_motion_shows_the_orthogonal_share_of_each_class() -> None:
    share = {
        "orthogonal": 0.2,
        "orthogonal_low": 0.1,
        "orthogonal_high": 0.3,
        "cosine": 0.9,
        "cosine_low": 0.8,
        "cosine_high": 1.0,
    }
    rows = [
        {
            **INJECTED,
            **share,
            "multiplier": 8.0,
            "layer": layer,
            "steered": side,
            "t": 0.5,
            "t_low": None,
            "t_high": None,
            "bow": 0.1,
        }
        | {"bow_p": 0.5}
        for layer in (2, 4)
        for side in ("positive", "negative")
    ]
    (chart,) = charts_of("motion", made("motion", rows))
    assert {(one["line"], one["layer"], one["value"]) for one in chart.rows} == {
        (f"{side} x 8", layer, 0.2) for side in ("positive", "negative") for layer in (2, 4)
    }


def test_without_analyses_there_is_no_such_figure() -> None:
    for name in ("angles", "stability", "curves", "propagation", "random-floor", "motion"):
        assert charts_of(name, []) == []
