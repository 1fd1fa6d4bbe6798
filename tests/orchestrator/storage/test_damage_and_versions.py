"""Whatever bit of a part flips, a reader gets the same content or none; what a newer version wrote is refused and left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save

from orchestrator.errors import InputError
from orchestrator.results import direction_file, plan_file, versions
from orchestrator.results.direction_file import decode_direction, decode_source
from orchestrator.results.parts import decode_responses, decode_scores, responses_of
from orchestrator.results.schema import RECORD_KEY, open_writer
from orchestrator.results.store import Store
from orchestrator.storage import Place, StoredFile, UnreadableFileError, open_files
from tests.orchestrator.samples import direction_set, direction_spec, plan_of
from tests.orchestrator.storage.writes import CELLS, prepare

ONE = CELLS[1]
DECODE: dict[str, Callable[[StoredFile], object]] = {
    f"responses/{ONE.id}.parquet": lambda file: (
        responses_of((stored := decode_responses(file, ONE.id)).table),
        stored.measures,
        stored.steered,
    ),
    f"scores/refusal@13/{ONE.id}.parquet": lambda file: decode_scores(file, "refusal@13", ONE.id),
    f"directions/{direction_spec().id}.safetensors": lambda file: (repr(decode_direction(file)), decode_source(file)),
}


@pytest.mark.parametrize("key", DECODE)
def test_a_flipped_bit_is_noticed_or_without_effect(tmp_path: Path, key: str) -> None:
    prepare(tmp_path, "responses")
    file = StoredFile(open_files(tmp_path), key)
    whole, decode = file.read_bytes(), DECODE[key]
    wanted = decode(file)
    noticed, tried = 0, range(0, len(whole), 3)
    bits = np.random.default_rng(7).integers(0, 8, len(tried))
    for position, bit in zip(tried, bits, strict=True):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << int(bit)
        (tmp_path / key).write_bytes(flipped)
        try:
            assert decode(file) == wanted, f"bit {bit} of byte {position}"
        except (UnreadableFileError, InputError):
            noticed += 1
    assert noticed > 0.5 * len(tried)


@pytest.mark.parametrize("key", DECODE)
def test_a_truncated_file_is_noticed(tmp_path: Path, key: str) -> None:
    prepare(tmp_path, "responses")
    file = StoredFile(open_files(tmp_path), key)
    whole = file.read_bytes()
    for size in {0, 1, 4, 8, 100, len(whole) // 2, len(whole) - 4, len(whole) - 1}:
        (tmp_path / key).write_bytes(whole[:size])
        with pytest.raises(UnreadableFileError):
            DECODE[key](file)


def contents(place: Place) -> dict[str, bytes]:
    files = open_files(place)
    names = [
        (folder, name)
        for folder in ("", "directions", "responses", "scores/refusal@13", "scores/coherence@6", "quarantine")
        for name in files.names(folder)
    ]
    return {f"{folder}/{name}": files.read(f"{folder}/{name}".lstrip("/")) for folder, name in names if name != ".lock"}


def test_a_folder_of_a_newer_version_is_refused_and_left_alone(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(plan_file, "PLAN_VERSION", plan_file.PLAN_VERSION + 2)  # a plan without samples is of the one before
        prepare(place, "responses")
        Store(place).compact()
    before = contents(place)
    store = Store(place)
    with pytest.raises(InputError, match="newer version"), store.lock():
        store.write_plan(plan_of(CELLS))
    with pytest.raises(InputError, match="newer version"):
        store.planned()
    assert contents(place) == before


def test_a_newer_part_or_direction_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(versions, "SCHEMA_VERSION", versions.SCHEMA_VERSION + 1)
        newer.setattr(direction_file, "DIRECTION_VERSION", direction_file.DIRECTION_VERSION + 1)
        prepare(tmp_path, "responses")
    before, store = contents(tmp_path), Store(tmp_path)
    for read in (
        lambda: store.read_responses(ONE.id),
        lambda: store.read_labels(ONE.id),
        lambda: store.read_direction(direction_spec().id),
        store.compact,
    ):
        with pytest.raises(InputError, match=r"version .* update it"):
            read()
    assert contents(tmp_path) == before


def test_what_a_later_version_says_besides_is_ignored(tmp_path: Path) -> None:
    prepare(tmp_path, "responses")
    Store(tmp_path).compact()
    rows = Store(tmp_path).cell_rows()
    plan = json.loads((tmp_path / "plan.json").read_bytes())
    for entry in (*plan["cells"], *plan["directions"], *plan["models"]):
        entry["invented"] = 1
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    for path in [*(tmp_path / "responses").iterdir(), *(tmp_path / "scores").glob("*/*"), tmp_path / "cells.parquet"]:
        table = pq.read_table(path)
        record = json.loads((table.schema.metadata or {}).get(RECORD_KEY, b"{}"))
        record.pop("sha256", None)
        record.get("measures", {})["invented"] = 1
        metadata = {RECORD_KEY: json.dumps(record).encode()}
        table = table.append_column("invented", [["x"] * table.num_rows]).replace_schema_metadata(metadata)
        with open_writer(path, table.schema) as writer:
            writer.write_table(table)
    before, store = contents(tmp_path), Store(tmp_path)
    assert store.cell_rows() == rows
    assert (len(store.read_responses(ONE.id)), len(store.read_labels(ONE.id))) == (10, 10)
    assert contents(tmp_path) == before
    assert store.compact().cells == len(CELLS)
    assert store.cell_rows() == rows
    assert not (tmp_path / "quarantine").exists()


def test_older_tables_are_made_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(versions, "TABLES_VERSION", versions.TABLES_VERSION - 1)
        prepare(place, "responses")
        Store(place).compact()
        open_files(place).write("cells.parquet", b"columns of another time")
        tables = json.loads(open_files(place).read(".compacted"))
    assert Store(place).compact().changed
    assert len(Store(place).cell_rows()) == len(CELLS)
    assert json.loads(open_files(place).read(".compacted"))["state"] != tables["state"]


def test_parts_without_digests_are_those_of_an_earlier_version(tmp_path: Path) -> None:
    prepare(tmp_path, "responses")
    for path in [*(tmp_path / "responses").iterdir(), *(tmp_path / "scores").glob("*/*")]:
        table = pq.read_table(path)
        record = json.loads(table.schema.metadata[RECORD_KEY])
        del record["sha256"]
        table = table.replace_schema_metadata({RECORD_KEY: json.dumps(record).encode()})
        with open_writer(path, table.schema) as writer:
            writer.write_table(table)
    path = next((tmp_path / "directions").iterdir())
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    del metadata["sha256"]
    path.write_bytes(save(load(path.read_bytes()), metadata))
    store = Store(tmp_path)
    assert store.compact().cells == len(CELLS)
    assert len(store.read_responses(ONE.id)) == 10
    assert repr(store.read_direction(direction_spec().id)) == repr(direction_set())
    assert not (tmp_path / "quarantine").exists()
