"""The sweeps that the benchmark of damage runs are sweeps, and differ in nothing but the damage."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.damage_cost import NONE, SETTINGS, sweep_with, told
from orchestrator.sweep import load_sweep


def test_every_setting_is_a_sweep_like_the_quickstart(tmp_path: Path) -> None:
    plain = sweep_with(SETTINGS[NONE], tmp_path)
    for name, damage in SETTINGS.items():
        sweep = sweep_with(damage, tmp_path)
        assert {key: value for key, value in sweep.items() if key != "damage"} == plain
        assert ("damage" in sweep) == (name != NONE)
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump(sweep), encoding="utf-8")
        assert (load_sweep(file).damage is None) == (name == NONE)


def test_what_is_added_is_told_round_by_round() -> None:
    name = list(SETTINGS)[1]
    rounds = [{NONE: 40.0, name: 42.0}, {NONE: 50.0, name: 54.0}, {NONE: 40.0, name: 44.0}, {NONE: 99.0}]
    lines = list(told(rounds))
    assert len(lines) == 2, "settings that were not run are not told"
    assert lines[1] == f"{name}: 44.0 s, +8.0 % [+5.0, +10.0] in 3 rounds, mean +7.7 % [+1.4, +13.9]"
