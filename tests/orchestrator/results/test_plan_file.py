"""A plan that somebody or something else has written into: told as damaged, whatever stands there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InputError
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import columns_of
from orchestrator.results.plan_file import decode_plan

CELL = {one.name: None if one.name == "layers" else "x" for one in columns_of(CellAxes) if not one.added_later}


def plan_of(folder: Path, cells: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(
        json.dumps({"version": 4, "name": "x", "cells": cells, "directions": [], "models": [], "warnings": []}), encoding="utf-8"
    )
    return path


def test_a_plan_with_a_cell_is_read(tmp_path: Path) -> None:
    assert decode_plan(plan_of(tmp_path, [CELL])).axis("cell_id") == ["x"]


@pytest.mark.parametrize("wrong", [{"cell_id": ["x"]}, {"cell_id": None}, {"behavior": {}}, {"layers": 3}])
def test_a_cell_whose_names_are_no_texts_is_damage(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is damaged"):
        decode_plan(plan_of(tmp_path, [CELL, {**CELL, **wrong}]))
