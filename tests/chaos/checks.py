"""What must hold of a results folder after a run, whatever went wrong in it."""

from __future__ import annotations

import fcntl
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tests.chaos.sweep import Asked

VOLATILE = {"seconds", "attempt", "worker", "provenance", "finished_at", "labelled_at"}
"""Columns of ``cells.parquet`` that tell when, where and at which attempt."""

TALLIES = ("logs", "control", "quarantine", "failures")


@dataclass(frozen=True)
class Content:
    """Everything in a results folder that a disturbance must not change. ``files``: names, logs apart."""

    files: frozenset[str]
    directions: dict[str, tuple[dict[str, object], bytes]]
    tables: dict[str, list[dict[str, object]]]
    parts: dict[str, list[dict[str, object]]]

    def differences(self, other: Content) -> list[str]:
        """Where the two differ, in words."""
        found = [f"only in one: {name}" for name in sorted(self.files ^ other.files)]
        for kind in ("directions", "tables", "parts"):
            ours, theirs = getattr(self, kind), getattr(other, kind)
            found += [f"{kind}: {name}" for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
        return found


def content_of(results: Path) -> Content:
    """What is there now."""
    tables = {path.name: pq.read_table(path).to_pylist() for path in sorted(results.glob("*.parquet"))}
    tables["cells.parquet"] = [_lasting(row) for row in tables["cells.parquet"]]
    return Content(
        files=frozenset(name for name in names_in(results) if not name.startswith(tuple(f"{kind}/" for kind in TALLIES))),
        directions={path.name: _safetensors(path.read_bytes()) for path in sorted((results / "directions").iterdir())},
        tables=tables,
        parts={f"{path.parent.name}/{path.name}": pq.read_table(path).to_pylist() for path in _parts(results)},
    )


def complaints(results: Path, asked: Asked) -> list[str]:
    """What is wrong with a finished folder by itself."""
    cells = [str(row["cell_id"]) for row in pq.read_table(results / "cells.parquet", columns=["cell_id"]).to_pylist()]
    keys = pq.read_table(results / "responses.parquet", columns=["cell_id", "prompt_id"]).to_pylist()
    rows = [(str(row["cell_id"]), str(row["prompt_id"])) for row in keys]
    beat = json.loads((results / "driver.json").read_text())
    wrong = {
        "cells twice": [name for name, count in Counter(cells).items() if count > 1],
        "rows twice": [name for name, count in Counter(rows).items() if count > 1],
        "cells": [] if len(cells) == asked.cells else [len(cells)],
        "rows": [] if len(rows) == asked.rows else [len(rows)],
        "cells in the tables but not in parts": sorted(set(cells) ^ {path.stem for path in (results / "responses").iterdir()}),
        "directions": [] if len(list((results / "directions").iterdir())) == asked.directions else ["another number"],
        "failures, requests, damaged or temporary files": [name for name in names_in(results) if _is_left_over(name)],
        "state of the driver": [] if beat["state"] == "finished" else [beat["state"]],
        "lock": [] if _is_free(results / ".lock") else ["somebody holds it"],
    }
    return [f"{what}: {found}" for what, found in wrong.items() if found]


def stamps(results: Path) -> dict[str, tuple[int, int]]:
    """The state of every file that a run with nothing to do leaves alone: all but its log, its beat and its lock."""
    kept = [name for name in names_in(results) if not name.startswith("logs/") and name not in ("driver.json", ".lock")]
    return {name: ((found := (results / name).stat()).st_mtime_ns, found.st_ino) for name in kept}


def names_in(results: Path) -> list[str]:
    """All files, relative."""
    return sorted(str(path.relative_to(results)) for path in results.rglob("*") if path.is_file())


def _safetensors(content: bytes) -> tuple[dict[str, object], bytes]:
    """Header and data, by the format's definition; the library writes the header's keys in any order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header: dict[str, object] = json.loads(content[8:end])
    return header, content[end:]


def _parts(results: Path) -> list[Path]:
    return sorted([*(results / "responses").glob("*.parquet"), *(results / "scores").glob("*/*.parquet")])


def _lasting(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name not in VOLATILE}


def _is_left_over(name: str) -> bool:
    return name.endswith(".tmp") or name.startswith(("failures/", "control/", "quarantine/"))


def _is_free(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
