"""A results folder from a stranger: reading it follows no path out of it, drives no terminal, and runs nothing."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.errors import InputError
from orchestrator.results.store import Store, UnreadableFileError
from tests.orchestrator import samples

DEEP = "[" * 100_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    filled = samples.filled(tmp_path / "results", samples.grid())
    filled.compact()
    return filled


def change_plan(store: Store, change: Callable[[dict[str, Any]], object]) -> None:
    plan = store.root / "plan.json"
    content = json.loads(plan.read_text())
    change(content)
    plan.write_text(json.dumps(content))


def said(command: str, store: Store) -> str:
    done = CliRunner().invoke(app, [command, str(store.root)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output


@pytest.mark.parametrize("command", ["status", "score"])
def test_a_cell_id_that_is_a_path_is_not_followed(store: Store, command: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim.parquet"
    victim.write_bytes(b"not yours")
    change_plan(store, lambda plan: plan["cells"][0].update(cell_id="../../victim"))
    said(command, store)
    assert victim.read_bytes() == b"not yours"
    assert not (store.root / "quarantine").exists()


def test_names_in_a_plan_do_not_drive_the_terminal(store: Store) -> None:
    change_plan(store, lambda plan: (plan.update(name="\x1b[2Jred\x07"), plan["cells"][0].update(model="\x1b]0;t\x07")))
    assert "\x1b" not in said("status", store)


def test_a_failure_does_not_drive_the_terminal(store: Store) -> None:
    cell = samples.cell(20, 3.0)
    store.write_plan(samples.plan_of((*samples.grid(), cell)))
    failure = {"item_id": cell.id, "kind": "\x1b[2J", "message": "\x1b]0;title\x07\u202e", "traceback": ""}
    (store.root / "failures").mkdir(exist_ok=True)
    (store.root / "failures" / f"{cell.id}.json").write_text(json.dumps(failure))
    output = said("status", store)
    assert "title" in output
    assert not {"\x1b", "\x07", "\u202e"} & set(output)


@pytest.mark.parametrize(
    "header",
    [struct.pack("<Q", 2**62) + b"x", struct.pack("<Q", 8) + b"[[[[[[[[", b"", b"\xff" * 64],
    ids=["long", "deep", "none", "noise"],
)
def test_a_hostile_direction_is_moved_away(store: Store, header: bytes) -> None:
    file = next((store.root / "directions").iterdir())
    file.write_bytes(header)
    with pytest.raises(UnreadableFileError):
        store.read_direction(file.stem)
    assert not file.exists()


def test_a_direction_with_deep_metadata_is_moved_away(store: Store) -> None:
    file = next((store.root / "directions").iterdir())
    tensors = {"directions": np.zeros((1, 4), np.float32), "layers": np.zeros(1, np.int64)}
    norms = {"raw_norms": np.zeros(1), "residual_norms": np.zeros(1)}
    file.write_bytes(save({**tensors, **norms}, {"selected_layer": DEEP, "record": "{}"}))
    with pytest.raises(UnreadableFileError):
        store.read_direction(file.stem)


def test_a_deep_plan_is_bad_input(store: Store) -> None:
    (store.root / "plan.json").write_text(DEEP)
    with pytest.raises(InputError):
        Store(store.root).planned()


def test_a_deep_failure_is_moved_away(store: Store) -> None:
    (store.root / "failures").mkdir(exist_ok=True)
    (store.root / "failures" / f"cell-{'0' * 20}.json").write_text(DEEP)
    assert store.failures() == ()
