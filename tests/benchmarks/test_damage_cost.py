"""The benchmark of damage runs the quickstart, and tells shares of the run beside which they were measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from actors.types import DamageJob, Prompt
from benchmarks.damage_cost import COMMAND, DRIVER, QUICKSTART, SETTINGS, TRUE, WITHOUT_ANSWERS, sweep_with, told
from orchestrator.run import prepare


@pytest.mark.parametrize("damage", [True, False])
def test_what_is_run_is_the_quickstart(damage: bool, tmp_path: Path) -> None:
    file = tmp_path / "damage.yaml"
    file.write_text(yaml.safe_dump(sweep_with(damage, tmp_path / "results")), encoding="utf-8")
    found, own = prepare(file), prepare(QUICKSTART)
    assert (found.sweep.damage is None) == (not damage)
    assert found.plan.cells == own.plan.cells


def test_every_setting_measures_what_it_says() -> None:
    prompts = tuple(Prompt(f"N{number}", "a question") for number in range(8))
    job = DamageJob("damage-1", None, prompts, 4, ((Prompt("T1", "another"), tuple(range(48))),))
    asked = {name: setting(job) for name, setting in SETTINGS.items()}
    assert vars(asked["4 prompts x 4 tokens, no answers"]) == vars(replace(job, neutral=prompts[:4], answers=()))
    assert vars(asked["8 prompts x 4 tokens, no answers"]) == vars(replace(job, answers=()))
    assert [len(tokens) for _, tokens in asked["8 prompts x 4 tokens, first 8 of answers"].answers] == [8]


def test_shares_are_of_the_command_of_the_same_round() -> None:
    first = {COMMAND: 40.0, DRIVER: 0.4, TRUE: 7.6, **dict.fromkeys(SETTINGS, 3.6)}
    second = {COMMAND: 80.0, DRIVER: 0.8, TRUE: 15.2, **dict.fromkeys(SETTINGS, 9.6)}
    lines = list(told([first, second]))
    assert lines[0] == f"{COMMAND}: 60.0 s [40.0, 80.0] in 2 rounds"
    assert lines[1] == f"{DRIVER}: 0.60 s, 1.0 % [1.0, 1.0]"
    assert lines[2] == f"{TRUE}: 12.00 s, 20.0 % [20.0, 20.0]"
    assert lines[3] == f"{WITHOUT_ANSWERS}: 7.20 s, 11.5 % [-7.6, 30.6]"
    assert lines[-1] == "of damage: true, the answers: 4.80 s, 8.5 % [-10.6, 27.6]"
    assert len(lines) == 4 + len(SETTINGS)
