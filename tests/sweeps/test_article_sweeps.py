"""The sweeps of the article plan offline, and their arms are asked alike: the same damage, held-out prompts, both ways."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from orchestrator.plan import make_plan
from orchestrator.sweep import Sweep, load_sweep

SWEEPS = Path(__file__).parents[2] / "sweeps"


@pytest.fixture(scope="module", params=["article", "article-small"])
def sweep(request: pytest.FixtureRequest) -> Sweep:
    return load_sweep(SWEEPS / f"{request.param}.yaml")


def test_every_arm_is_asked_on_other_prompts_than_those_that_choose(sweep: Sweep) -> None:
    grids = {grid.name: grid for grid in sweep.grids}
    arms: dict[tuple[str, float | None], list[str]] = defaultdict(list)
    for grid in grids.values():
        if grid.choose is not None:
            origin = grids[grid.choose.origin]
            (asked,), (chosen,) = grid.behaviors, origin.behaviors
            assert {one.text for one in asked.prompts}.isdisjoint(one.text for one in chosen.prompts)
            assert (grid.scopes, grid.methods, grid.actions) == (origin.scopes, origin.methods, origin.actions)
            arms[asked.key, grid.choose.kl] += [
                f"{grid.scopes[0]} {method} {dict(options).get('surface', '')}".strip() for method, options in grid.methods
            ]
    assert len(arms) == 4, "refusing and complying, at two damages each"
    wanted = ["own dim", "from_layer dim", "from_layer random", "own curve False", "own curve True"]
    assert all(found == wanted for found in arms.values()), arms
    assert {key for key, _ in arms} == {"refuse", "comply"}


def test_nothing_is_measured_twice_for_the_behaviors_of_the_arms(sweep: Sweep) -> None:
    plan = make_plan(sweep)
    assert {one.behavior for one in plan.analyses} == {"harms"}
    assert {one.method for one in plan.analyses} <= {"", "dim"}
    assert all(one.waiting for one in plan.deferred)
