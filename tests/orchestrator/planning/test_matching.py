"""Equal damage: the strength that follows from a grid's damage, what runs at it, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cells import Cell
from orchestrator.errors import InputError
from orchestrator.plan import Plan, make_plan
from orchestrator.planning.choices import decode_choices, decode_matches, encode_choices
from orchestrator.planning.considered import Considered, Tally
from orchestrator.planning.matching import matched
from orchestrator.report.chosen import chosen_table
from tests.orchestrator.planning.test_choices import BEST, FINAL, PILOT, by_place, followed, place, sweep_of, tallies

STRENGTHS = (2.0, 4.0, 8.0, 16.0)


def tried(layer: int, multiplier: float, kl: float, success: int = 5, garbled: int = 0) -> Considered:
    return Considered(f"cell-{layer}-{multiplier}", layer, None, multiplier, 10, success, garbled, kl=kl)


@given(scale=st.floats(1e-4, 0.05), power=st.floats(0.5, 4), wanted=st.floats(2.5, 15), sign=st.sampled_from([1, -1]))
def test_where_damage_is_a_power_of_the_strength_it_is_found_exactly(
    scale: float, power: float, wanted: float, sign: int
) -> None:
    settings = [tried(3, sign * strength, scale * strength**power) for strength in STRENGTHS]
    found = matched(settings[::-1], scale * wanted**power, 1.0)
    assert found is not None
    assert found.reached
    assert found.multiplier == pytest.approx(sign * wanted, rel=1e-5)
    assert found.nearest in settings


def test_the_layer_is_the_one_that_succeeds_most_at_that_damage() -> None:
    settings = [tried(layer, m, 0.01 * m, success) for layer, success in ((3, 4), (7, 9), (9, 6)) for m in STRENGTHS]
    settings += [tried(12, m, 0.0001 * m, 10) for m in STRENGTHS]  # never does as much: the strongest, and only if all are so
    found = matched(settings, 0.05, 1.0)
    assert found is not None
    assert (found.nearest.layer, found.multiplier) == (7, 5.0)
    weak = matched([one for one in settings if one.layer == 12], 0.05, 1.0)
    assert weak is not None
    assert (weak.multiplier, weak.reached) == (16.0, False)


def test_along_a_curve_strengths_are_interpolated_as_they_are() -> None:
    settings = [tried(3, -0.01, 0.1), tried(3, -0.5, 1.0)]
    found = matched(settings, 0.1**0.5, 1.0, evenly=True)
    assert found is not None
    assert found.multiplier == pytest.approx(-0.255)


@pytest.mark.parametrize("sign", [1, -1])
def test_from_nothing_on_strengths_are_interpolated_as_they_are(sign: int) -> None:
    settings = [tried(3, 0.0, 0.1), tried(3, sign * 30.0, 1.0)]
    found = matched(settings, 0.1**0.5, 1.0)
    assert found is not None
    assert found.multiplier == pytest.approx(sign * 15)


def test_settings_that_all_do_more_or_garble_give_none() -> None:
    assert matched([tried(3, m, m) for m in STRENGTHS], 0.5, 1.0) is None
    garbling = [tried(3, m, 0.01 * m, garbled=2) for m in STRENGTHS]
    assert matched(garbling, 0.05, 0.1) is None
    assert matched(garbling, 0.05, 0.2) is not None


ARMS = (
    {**PILOT, "name": "pilot-own", "scope": "own", "multipliers": [4, 8, 16]},
    {**PILOT, "name": "pilot-one", "multipliers": [4, 8, 16]},
    {**FINAL, "name": "own", "scope": "own", "choose": {**BEST, "from": "pilot-own", "kl": 0.1}},
    {**FINAL, "name": "one", "choose": {**BEST, "from": "pilot-one", "kl": 0.1}},
)


def damaged(plan: Plan, kl: Callable[[Cell], float | None]) -> dict[tuple[str, str], Tally]:
    known = tallies(plan, lambda cell: (len(cell.prompts) if cell.steering and cell.steering.layers[0] == 14 else 0, 0))
    return {cell.key: replace(known[cell.key], kl=kl(cell)) for cell in plan.cells}


def power(cell: Cell) -> float | None:
    """The KL of a cell: ten times less where one direction serves all layers."""
    if cell.steering is None:
        return 0.0
    return cell.steering.action.multiplier**2 / (1000 if cell.steering.source_layer is None else 10_000)


def test_arms_run_at_the_strengths_of_equal_damage_on_held_out_prompts(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, *ARMS, damage=True)
    first = make_plan(sweep)
    known = damaged(first, power)
    plan = make_plan(sweep, known)
    steered = {
        (cell.labels.scope, cell.steering.layers[0], cell.steering.action.multiplier): cell.labels.behavior
        for cell in followed(plan, first)
        if cell.steering is not None
    }
    assert steered == {("own", 14, 10.0): "refusal/report", ("from_layer", 14, 16.0): "refusal/report"}
    assert [(one.grid, one.behavior, one.kl) for one in plan.matches] == [
        ("own", "refusal/report", 0.1),
        ("one", "refusal/report", 0.1),
    ]
    assert [one.reached for one in plan.matches] == [True, False]
    assert {one.cell_id for one in plan.matches} == {cell.id for cell in followed(plan, first) if cell.steering}
    own, one = plan.choices
    assert "layer 14, multiplier 10 for a KL of 0.1 (nearest of 9 in grid pilot-own: multiplier 8 with 15 of 15" in str(own)
    assert (one.multiplier, one.kl) == (16.0, 0.1), "the strongest, which does less damage than wanted"
    text = encode_choices(plan.choices, plan.arms, plan.matches)
    table = chosen_table(decode_choices(text.encode()), [])
    assert table is not None
    heads = [column.head for column in table.columns]
    told = [dict(zip(heads, (value.text for value in row), strict=True)) for row in table.rows]
    assert [(line["layer"], line["multiplier"], line["KL"]) for line in told] == [("L14", "10", "0.064"), ("L14", "16", "0.026")]
    assert any("between two settings" in note for note in table.notes)
    assert [one["grid"] for one in decode_matches(text.encode())] == ["own", "one"]
    assert "matched" not in json.loads(encode_choices(plan.choices))
    unmeasured = make_plan(sweep, {**known, first.cells[2].key: replace(known[first.cells[2].key], kl=None)})
    assert [one.reason for one in unmeasured.deferred if one.waiting]
    far = make_plan(sweep, damaged(first, lambda cell: 1.0))
    assert followed(far, first) == []
    assert {one.waiting for one in far.deferred} == {False}
    assert all("a KL of 0.1 (the least are 0% and 1)" in one.reason for one in far.deferred)


def test_a_choice_tells_methods_by_their_options(tmp_path: Path) -> None:
    curves = [{"name": "curve"}, {"name": "curve", "options": {"surface": True}}]
    along = {"methods": curves, "intervention": "curve", "scope": "own"}
    pilot = {**PILOT, **along, "multipliers": [0.5, 1]}
    sweep = sweep_of(tmp_path, pilot, {**FINAL, **along, "choose": BEST}, damage=True)
    plan = make_plan(sweep, tallies(make_plan(sweep), lambda _: (15, 0)))
    heads = [str(choice).partition(": ")[0].rpartition(", ")[2] for choice in plan.choices]
    assert heads == ["curve", "curve (surface true)"]
    table = chosen_table(decode_choices(encode_choices(plan.choices).encode()), [])
    assert table is not None
    place = [column.head for column in table.columns].index("method")
    assert [row[place].text for row in table.rows] == heads


def test_without_a_wanted_damage_a_choice_is_as_it_was(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, PILOT, {**FINAL, "choose": BEST}, damage=True)
    first = make_plan(sweep)
    plan = make_plan(sweep, tallies(first, by_place({(14, 10): (15, 0)})))
    assert [place(cell) for cell in followed(plan, first)] == [(14, 10.0)]
    assert (plan.matches, plan.choices[0].multiplier) == ((), None)


@pytest.mark.parametrize(
    ("pilot", "final", "damage", "parts"),
    [
        ({}, {"kl": 0.1}, False, ("choose.kl", "no 'damage'")),
        ({}, {"kl": 0.1, "max_kl": 0.2}, True, ("choose.max_kl", "nothing bounds it (got 0.2)", "no max_kl beside kl")),
        ({}, {"kl": 0.1, "around": [1.0]}, True, ("choose.around", "nothing varies it (got [1.0])", "no around beside kl")),
        ({}, {"kl": 0.1, "layer": None}, True, ("choose", "'kl' decides the multiplier and the layer, and 'layer' is missing")),
        ({}, {"kl": 0}, True, ("choose.kl", "out of range")),
        ({"multipliers": [-4, 4]}, {"kl": 0.1}, True, ("choose.from", "steers both ways")),
        ({"scope": "single"}, {"kl": 0.1}, True, ("choose.from", "another scope does other damage: single and from_layer")),
    ],
)
def test_what_cannot_be_matched_is_told(
    tmp_path: Path, pilot: dict[str, object], final: dict[str, object], damage: bool, parts: tuple[str, ...]
) -> None:
    choose = {key: value for key, value in {**BEST, **final}.items() if value is not None}
    with pytest.raises(InputError) as refused:
        sweep_of(tmp_path, {**PILOT, **pilot}, {**FINAL, "choose": choose}, damage=damage)
    assert any(all(part in str(one) for part in parts) for one in refused.value.problems), str(refused.value)
