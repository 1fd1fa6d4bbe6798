"""The sweeps that the benchmark of damage runs are sweeps, and differ in nothing but the damage."""

from __future__ import annotations

from pathlib import Path

import yaml

from benchmarks.damage_cost import NONE, SETTINGS, sweep_with
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
