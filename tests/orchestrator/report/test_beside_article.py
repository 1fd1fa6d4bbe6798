"""The article's numbers beside those of a sweep: signs, ranges, and which rows each is of, on made-up rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from orchestrator.analysis.analysis import AnalysisRow
from orchestrator.analysis.angles import AngleRow
from orchestrator.analysis.motion import MotionRow
from orchestrator.analysis.propagation import PropagationRow
from orchestrator.analysis.random_floor import FloorRow
from orchestrator.report.beside_article import PUBLISHED, beside_article_tables
from orchestrator.results.plan_file import PlannedCells
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse

_Row = TypeVar("_Row", bound=AnalysisRow)


def row(kind: type[_Row], **values: Any) -> _Row:
    """A row of which the test says what matters; all else is 0."""
    common = {"analysis_id": "analysis-1", "model": "m", "behavior": "b"}
    others = {one.name: 0 for one in fields(kind) if one.default is MISSING}
    return kind(**{**others, **common, **values})


def planned(scorer: str) -> PlannedCells:
    use = ScorerUse(scorer, {}, f"{scorer}@1")
    return PlannedCells("s", (), (), (), (), scoring={"b": BehaviorScoring((use,), Criterion(use.id, "coherence@1"))})


def told(rows: dict[str, Sequence[AnalysisRow]], scorer: str = "refusal") -> dict[str, str]:
    """What stands under *here*, by what was measured."""
    tables = beside_article_tables(planned(scorer), lambda name: rows.get(name, ()))
    return {line[0].text: line[-1].text for table in tables for line in table.rows}


def test_what_arrives_is_told_of_what_was_added_whichever_sign_it_had() -> None:
    on = {"source": 3, "layer": 4, "norm_chance_low": 0.9, "norm_chance_high": 1.2}
    found = told(
        {
            "propagation": [
                row(PropagationRow, source=3, multiplier=8.0, layer=3, alignment=1.0, norm_ratio=1.0),
                row(PropagationRow, **on, multiplier=8.0, alignment=0.9, chance_high=0.1, norm_ratio=1.1),
                row(PropagationRow, **on, multiplier=-8.0, alignment=-0.7, chance_high=0.2, norm_ratio=1.5),
                row(PropagationRow, source=3, multiplier=-8.0, layer=5, alignment=0.3, kept=-0.25, norm_ratio=2.0),
            ]
        }
    )
    assert found["cosine of the shift and the layer's own direction, one block on"] == "0.70 to 0.90 (random: -0.20 to 0.10)"
    assert found["length of the shift over what was added, one block on"] == "1.10 to 1.50 (random: 0.90 to 1.20)"
    assert found["cosine of the shift and what was added, at the last layer"] == "0.25 (random: 0.00)"


def test_angles_are_the_mean_row_and_the_spread_of_neighbours() -> None:
    mean = {"corrected": 40.0, "corrected_low": 39.0, "corrected_high": 41.0, "raw": 38.0}
    neighbours = [row(AngleRow, classes="label", layer=one, other=one + 1, raw=raw) for one, raw in enumerate((10.0, 20.0, 30.0))]
    far = row(AngleRow, classes="label", layer=0, other=2, raw=90.0)
    found = told({"angles": [row(AngleRow, classes="label", layer=None, other=None, **mean), *neighbours, far]})
    assert found["angle between neighbouring layers' directions, degrees"] == "40.0 [39.0, 41.0], raw 38.0"
    assert found["its standard deviation over depth"] == "10.0"


def test_the_floor_counts_layers_and_signs_against_isotropic_directions_alone() -> None:
    rows = [row(FloorRow, against="isotropic", below=below, ratio=ratio) for below, ratio in ((0, 0.25), (3, 1.5))]
    found = told({"random_floor": [*rows, row(FloorRow, against="covariance", below=0, ratio=9.0)]})
    assert found["KL below that of all random directions, at how many layers and signs"] == "1 of 2"
    assert found["KL over the mean of random directions"] == "0.25 to 1.50"


def test_motion_is_of_prompts_that_are_pushed_to_the_other_class() -> None:
    rows = [
        row(MotionRow, steered="negative", multiplier=8.0, t=0.6),
        row(MotionRow, steered="negative", multiplier=-8.0, t=1.4),
        row(MotionRow, steered="positive", multiplier=-8.0, t=0.3),
        row(MotionRow, steered="positive", multiplier=8.0, t=-0.4),
    ]
    assert told({"motion": rows})["place between the classes (0 refuses, 1 complies)"] == "to refuse 0.60; to comply 0.30"


def test_only_behaviors_that_are_scored_by_refusals_and_only_what_was_measured() -> None:
    rows: dict[str, Sequence[AnalysisRow]] = {"motion": [row(MotionRow, steered="negative", multiplier=8.0, t=0.6)]}
    assert told(rows, scorer="pattern") == {}
    assert told({}) == {}
    assert {one.measured for one in PUBLISHED if one.analysis == "motion"} >= told(rows).keys()
