"""Arms at equal damage on the page: each beside the first one, prompt by prompt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student

from orchestrator.report.equal_damage import equal_damage_table, equal_damages
from orchestrator.report.figures.equal_damage import charts
from orchestrator.report.findings import SweepFindings
from tests.orchestrator.compare.made_up import made, reader, unsteered

N = 40
OWN = {(f"T{number}", 0): number < 30 for number in range(N)}
ONE = {(f"T{number}", 0): number < 18 or number >= 38 for number in range(N)}
RANDOM = {(f"T{number}", 0): number < 4 for number in range(N)}
STORED = {"cell-a": OWN, "cell-b": ONE, "cell-c": RANDOM}
ROWS = [
    made("a", 30, N, kl=0.11, kl_low=0.09, kl_high=0.13, scope="own"),
    made("b", 20, N, kl=0.1, kl_low=0.08, kl_high=0.12),
    made("c", 4, N, kl=0.09, kl_low=0.07, kl_high=0.11, method="random"),
    unsteered("d", 5, N),
]
MATCHES = [
    {"grid": grid, "model": "m", "behavior": "refusal", "kl": 0.1, "cell_id": f"cell-{name}"}
    for grid, name in (("own", "a"), ("one", "b"), ("random", "c"), ("not finished", "e"))
]


def found() -> Any:
    return equal_damages(MATCHES, ROWS, reader(STORED))


def test_each_arm_is_compared_with_the_first_prompt_by_prompt() -> None:
    (group,) = found()
    assert [arm.name for arm in group.arms] == ["own", "one", "random"]
    own, *others = group.arms
    assert own.against is None
    p = [binomtest(2, 14).pvalue, binomtest(0, 26).pvalue]  # ONE alone has 38 and 39, OWN alone 18 to 29; 4 to 29
    assert [arm.against.paired.p for arm in others] == pytest.approx(p)
    assert [arm.against.paired.p_holm for arm in others] == pytest.approx([p[0], 2 * p[1]])
    for arm, outcomes in zip(others, (ONE, RANDOM), strict=True):
        differences = np.array([100.0 * (outcomes[key] - OWN[key]) for key in OWN])
        half = student.ppf(0.975, N - 1) * differences.std(ddof=1) / np.sqrt(N)
        assert (arm.points.value, arm.points.low, arm.points.high) == pytest.approx(
            (differences.mean(), differences.mean() - half, differences.mean() + half)
        )


def test_the_table_and_the_figure_have_every_arm_with_the_damage_it_does() -> None:
    table = equal_damage_table(found())
    assert table is not None
    heads = [column.head for column in table.columns]
    lines = [dict(zip(heads, (value.text for value in row), strict=True)) for row in table.rows]
    assert [(line["arm"], line["KL"]) for line in lines] == [
        ("own", "0.110 [0.090, 0.130]"),
        ("one", "0.100 [0.080, 0.120]"),
        ("random", "0.090 [0.070, 0.110]"),
    ]
    assert not any("not matched" in note for note in table.notes)
    weak = equal_damage_table(equal_damages([{**one, "reached": one["grid"] != "one"} for one in MATCHES], ROWS, reader(STORED)))
    assert weak is not None
    assert [row[heads.index("KL")].text.partition(" ")[0] for row in weak.rows] == ["0.110", "0.100‡", "0.090"]
    assert any("not matched" in note for note in weak.notes)
    assert [line["points against the first"].partition(" ")[0] for line in lines] == ["-", "-25.0", "-65.0"]
    findings = SweepFindings.__new__(SweepFindings)
    findings.__dict__["equal_damage"] = found()
    (chart,) = charts(findings)
    assert [(row["arm"], row["k"], row["matched"]) for row in chart.rows] == [
        (name, k, "KL 0.1") for name, k in (("own", 30), ("one", 20), ("random", 4))
    ]
    assert "<svg" in chart.svg("equal-damage")


def test_one_cell_for_two_arms_is_compared_with_nothing() -> None:
    twice = [MATCHES[0], {**MATCHES[0], "grid": "again"}]
    (group,) = equal_damages(twice, ROWS, reader(STORED))
    assert [arm.against for arm in group.arms] == [None, None]
    assert equal_damage_table(equal_damages([], ROWS, reader(STORED))) is None
