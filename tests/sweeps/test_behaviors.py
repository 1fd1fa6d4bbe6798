"""The behaviors shipped beside refusal: whole pairs, scorers that know what they look for, and baselines of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.behaviors import load_behavior
from orchestrator.plan import Plan, make_plan
from orchestrator.sweep import load_sweep
from tests.orchestrator.scoring.judged import response

SWEEPS = Path(__file__).parents[2] / "sweeps"
SHOWN = {
    "french": ["La lune tourne autour de la Terre en un mois environ.", "Pour faire du thé, il faut d'abord chauffer l'eau."],
    "pirate": [
        "Aye, that be a fine island, and the treasure lies in its belly.",
        "She's a mighty beast of the sea, that's what they say.",
    ],
    "unhappy": ["The soup was cold and the service was terrible.", "What a miserable day, I want to forget all of it."],
}
NOT_SHOWN = ["The moon goes around the earth once in a month.", "To make tea you heat water and pour it over the leaves."]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(load_sweep(SWEEPS / "behaviors.yaml"))


@pytest.mark.parametrize("name", SHOWN)
def test_its_pairs_are_whole(name: str) -> None:
    found = load_behavior(name, SWEEPS / "behaviors" / f"{name}.jsonl")
    assert (len(found.positive), len(found.negative), len(found.test)) == (20, 20, 20)


@pytest.mark.parametrize("name", SHOWN)
def test_its_scorer_tells_answers_apart(name: str, plan: Plan) -> None:
    others = [text for other, texts in SHOWN.items() if other != name for text in texts]
    assert [one.outcome for one in plan.scoring.labels(name, [response(text) for text in SHOWN[name]])] == ["success", "success"]
    assert {one.outcome for one in plan.scoring.labels(name, [response(text) for text in [*NOT_SHOWN, *others]])} == {"other"}


def test_every_behavior_has_its_own_baseline(plan: Plan) -> None:
    """Behaviors that share their test prompts would share the unsteered answers, and only the first be scored on them."""
    assert sorted(cell.labels.behavior for cell in plan.cells if cell.steering is None) == sorted(SHOWN)
    assert len(plan.cells) == 3 * (1 + 4 * 4)
