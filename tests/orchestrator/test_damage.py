"""Whatever is damaged in a results folder, before a run or during it, the same run mends it, or does not say that it is done.

The tables are counted here by pyarrow alone, against what was planned.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.numpy import load, save
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.folder import Folder
from orchestrator.results.remembered import table_states
from orchestrator.results.schema import RECORD_KEY
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import no_pool, write_sweep
from tests.orchestrator.quick_cli import quick_cli
from tests.orchestrator.test_rounds import write as write_rounds

TEXTS = ("Why is the sky blue?", "Name a river.", "What is a prime number?")
SCORES = "scores/refusal@13"
CELLS, PROMPTS, LAYERS = 5, len(TEXTS), 8
MEASURED = ("finished_at", "labelled_at", "attempt", "seconds")
"""Columns of the cells that another run of the same cell may fill otherwise."""

Damage = Callable[[Path], None]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    return quick_cli(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of one model: a baseline and four steered cells of three prompts."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
        told = CliRunner().invoke(app, ["run", str(write_sweep(folder, "[1, 2, 4, 8]", TEXTS)), "--quiet"])
    assert told.exit_code == 0, told.output
    assert shape(folder / "out") == (CELLS, CELLS * PROMPTS, LAYERS)
    return folder


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    """The same again, to be damaged."""
    shutil.copytree(finished, tmp_path / "copy")
    Store(tmp_path / "copy" / "out").compact()  # it remembers the copies
    return tmp_path / "copy" / "tiny.yaml"


def shape(out: Path) -> tuple[int, int, int]:
    """Rows of the tables that the plan determines."""
    names = ("cells", "responses", "directions")
    return tuple(pq.read_table(out / f"{name}.parquet").num_rows for name in names)


def contents(out: Path) -> dict[str, list[dict[str, Any]]]:
    """All tables, but for what a second run of a cell measures anew."""
    found = {name: pq.read_table(out / f"{name}.parquet") for name in ("cells", "responses", "directions", "transfer")}
    found["cells"] = found["cells"].drop_columns(list(MEASURED))
    return {name: table.to_pylist() for name, table in found.items()}


def part(out: Path, number: int = 0, kind: str = "responses") -> Path:
    return sorted(path for path in (out / kind).iterdir() if not path.name.startswith("."))[number]


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """The table with its own record, changed: nothing but its rows can tell."""
    table = pq.read_table(path)
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), path)


def on(kind: str, damage: Callable[[Path], None]) -> Damage:
    return lambda out: damage(part(out, kind=kind))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def delete(path: Path) -> None:
    path.unlink()


def flip(place: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 4
        path.write_bytes(content)

    return damage


def flip_in_data(path: Path) -> None:
    """A bit of what the pages of the second column hold, not of their headers."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size - 8] ^= 4
    path.write_bytes(content)


def swap(path: Path) -> None:
    """Another cell's part under this name."""
    other = next(one for one in sorted(path.parent.iterdir()) if one != path)
    path.write_bytes(other.read_bytes())


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").write_text("of somebody")


def dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def repeat(path: Path, kept: int) -> None:
    """So many of its rows, and the first of them once more."""
    rewritten(path, lambda one: pa.concat_tables([one.slice(0, kept), one.slice(0, 1)]))


def forget_record(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata({RECORD_KEY: b"{}"}), path)


def everything(out: Path) -> None:
    for kind in ("responses", SCORES, "directions"):
        for path in list((out / kind).iterdir()):
            truncate(path)


def direction(change: Callable[[dict[str, Any], dict[str, str]], None], digest: bool = False) -> Damage:
    """A direction file that was written with other content; without its digest, as earlier versions wrote it."""

    def damage(out: Path) -> None:
        path = part(out, kind="directions")
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata())
        tensors = load(path.read_bytes())
        change(tensors, metadata)
        if not digest:
            metadata.pop("sha256", None)
        path.write_bytes(save(tensors, metadata))

    return damage


def nan_norms(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    tensors["raw_norms"] = np.full(LAYERS, np.nan)


def other_id(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    metadata["id"] = "direction-of-another"


def one_norm_less(tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    tensors["residual_norms"] = tensors["residual_norms"][1:]


def other_sweep_s_table(out: Path) -> None:
    table = pq.read_table(out / "cells.parquet")
    ids = pa.array([f"cell-{number}" for number in range(table.num_rows)])
    rewritten(out / "cells.parquet", lambda one: one.set_column(0, one.schema.field("cell_id"), ids))


def lying(**summary: object) -> Damage:
    """What ``.compacted`` says is not so, and the tables lack a cell while it swears to them."""

    def damage(out: Path) -> None:
        for name in ("cells", "responses"):
            rewritten(out / f"{name}.parquet", lambda one: one.slice(PROMPTS))
        path = out / ".compacted"
        content = json.loads(path.read_bytes())
        folder = Folder(out)
        content["tables"] = table_states(folder)
        content["summary"] |= summary
        path.write_text(json.dumps(content))

    return damage


def undeclared(out: Path) -> None:
    """A label that the record does not name."""
    path = part(out, kind=SCORES)
    table = pq.read_table(path)
    column, values = table.schema.get_field_index("label"), pa.array(["evasive"] * table.num_rows)
    rewritten(path, lambda one: one.set_column(column, one.schema.field(column), values))


def secretly(damage: Damage, name: str) -> Damage:
    """With the time of the file set back, as a copy or a tool may leave it."""

    def hidden(out: Path) -> None:
        before = (out / name).stat()
        damage(out)
        os.utime(out / name, ns=(before.st_atime_ns, before.st_mtime_ns))

    return hidden


def write_junk(*names: str) -> Damage:
    def damage(out: Path) -> None:
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(b'{"version": 1, "cells": [')

    return damage


def gone(*names: str) -> Damage:
    def damage(out: Path) -> None:
        for name in names:
            found = out / name
            shutil.rmtree(found) if found.is_dir() else found.unlink()

    return damage


def file_for_folder(name: str) -> Damage:
    def damage(out: Path) -> None:
        gone(name)(out) if (out / name).is_dir() else None
        (out / name).write_text("no folder")

    return damage


def both(*damages: Damage) -> Damage:
    def damage(out: Path) -> None:
        for one in damages:
            one(out)

    return damage


def on_table(name: str, damage: Callable[[Path], None]) -> Damage:
    return lambda out: damage(out / name)


def pipe_instead(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device_instead(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


FORMS: dict[str, Damage] = {
    **{
        f"{kind} {name}": on(kind, damage)
        for kind in ("responses", SCORES, "directions")
        for name, damage in {
            "truncated": truncate,
            "empty": empty,
            "zeros": zero,
            "flipped bit in the middle": flip(0.5),
            "deleted": delete,
            "folder instead": folder_instead,
            "link to itself": dead_link,
        }.items()
    },
    **{
        f"{name} a {thing}": lambda out, name=name, damage=damage: damage(out / name)  # type: ignore[misc]
        for name in ("plan.json", ".compacted", "cells.parquet")
        for thing, damage in {"pipe": pipe_instead, "link to a device": device_instead}.items()
    },
    "responses flipped bit in the data": on("responses", flip_in_data),
    "responses flipped bit in the footer": on("responses", flip(0.98)),
    "responses of another cell": on("responses", swap),
    "labels of another cell": on(SCORES, swap),
    "responses of another schema": on("responses", lambda path: rewritten(path, lambda one: one.drop_columns(["token_ids"]))),
    "responses without their record": on("responses", forget_record),
    "responses one row short": on("responses", lambda path: rewritten(path, lambda one: one.slice(1))),
    "responses without rows": on("responses", lambda path: rewritten(path, lambda one: one.slice(0, 0))),
    "responses one row twice": on("responses", lambda path: repeat(path, PROMPTS)),
    "responses one row in place of another": on("responses", lambda path: repeat(path, PROMPTS - 1)),
    "labels one row short": on(SCORES, lambda path: rewritten(path, lambda one: one.slice(1))),
    "labels one row twice": on(SCORES, lambda path: repeat(path, PROMPTS)),
    "labels of no scorer": undeclared,
    "direction with nan": direction(nan_norms),
    "direction of another id": direction(other_id),
    "direction with one norm less": direction(one_norm_less),
    "direction whose digest is another's": direction(lambda tensors, _: tensors.update(raw_norms=np.ones(LAYERS)), digest=True),
    "all parts at once": everything,
    "all labels deleted": gone("scores"),
    "a whole folder deleted": gone("responses"),
    **{
        f"table {name} {how}": on_table(f"{name}.parquet", damage)
        for name in ("cells", "responses", "directions", "transfer")
        for how, damage in {"truncated": truncate, "deleted": delete, "folder instead": folder_instead}.items()
    },
    "table of another plan": other_sweep_s_table,
    "table flipped bit, time set back": secretly(on_table("responses.parquet", flip(0.3)), "responses.parquet"),
    "tables short and a memory that lies": lying(),
    "tables short and a memory that lies about all": lying(cells=99, responses=999, planned=CELLS),
    "plan truncated": on_table("plan.json", truncate),
    "plan empty": on_table("plan.json", empty),
    "plan a folder": on_table("plan.json", folder_instead),
    "sweep file truncated": on_table("sweep.yaml", truncate),
    "memory damaged": write_junk(".compacted"),
    "choices, heartbeat and a request damaged": write_junk("choices.json", "driver.json", "control/pause"),
    "failure damaged": write_junk("failures/cell-x.json"),
    "leftovers of a killed driver": write_junk(".cells.parquet.1.tmp", "responses/.x.parquet.1.tmp", f"{SCORES}/.y.tmp"),
    "lock with words of another": write_junk(".lock"),
    "quarantine a file, and a part damaged": both(file_for_folder("quarantine"), on("responses", truncate)),
    "labels a file": file_for_folder(SCORES),
    "logs a file": file_for_folder("logs"),
    "part and table": both(on("responses", truncate), on_table("cells.parquet", truncate)),
    "direction and a cell of it": both(on("directions", truncate), lambda out: truncate(part(out, 1))),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_run_mends_it(cli: Callable[..., Result], finished: Path, sweep: Path, form: str) -> None:
    out = sweep.parent / "out"
    FORMS[form](out)
    told = cli("run", sweep, "--json", "--quiet")
    assert told.exit_code == 0, told.output
    summary = json.loads(told.stdout)
    assert (summary["exit_code"], summary["ended"]) == (0, "finished")
    assert summary["cells"] | {"ran": None} == {"planned": CELLS, "done": CELLS, "failed": 0, "ran": None}
    assert f"{CELLS} of {CELLS} cells done" in told.stderr
    assert shape(out) == (CELLS, CELLS * PROMPTS, LAYERS)
    assert contents(out) == contents(finished / "out")


def test_what_was_mended_stays(cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = sweep.parent / "out"
    truncate(part(out))
    truncate(part(out, kind="directions"))
    first = json.loads(cli("run", sweep, "--json").stdout)
    assert first["cells"] == {"planned": CELLS, "done": CELLS, "failed": 0, "ran": 1}
    monkeypatch.setitem(POOLS, "local", no_pool)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    again = json.loads(cli("run", sweep, "--json").stdout)
    assert (again["cells"]["ran"], again["exit_code"]) == (0, 0)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before


@pytest.mark.parametrize("name", ["plan.json", ".compacted", "cells.parquet"])
def test_status_does_not_wait_for_a_pipe(cli: Callable[..., Result], sweep: Path, name: str) -> None:
    pipe_instead(sweep.parent / "out" / name)
    told = cli("status", sweep.parent / "out")
    assert told.exit_code in (0, 1, 2)
    assert isinstance(told.exception, SystemExit | None)


@pytest.mark.parametrize("kind", ["responses", SCORES, "directions"])
@pytest.mark.parametrize("damage", [truncate, delete])
def test_what_is_damaged_during_the_run(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, damage: Callable[[Path], None]
) -> None:
    """Between the end of the last cell and the tables."""
    sweep, out, times = write_sweep(tmp_path, "[1, 2, 4, 8]", TEXTS), tmp_path / "out", Counter[str]()
    real = Store.compact

    def compact(store: Store) -> Any:
        times["compact"] += 1
        if times["compact"] == 1:
            damage(part(out, kind=kind))
        return real(store)

    monkeypatch.setattr(Store, "compact", compact)
    summary = json.loads(cli("run", sweep, "--json").stdout)
    assert summary["cells"] == {"planned": CELLS, "done": CELLS, "failed": 0, "ran": CELLS}
    assert summary["exit_code"] == 0
    assert shape(out) == (CELLS, CELLS * PROMPTS, LAYERS)


@pytest.mark.parametrize("kind", ["responses", SCORES, "directions", "table"])
def test_a_disk_that_keeps_nothing_ends_the_run_in_words(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sweep, out = write_sweep(tmp_path, "[1, 2, 4, 8]", TEXTS), tmp_path / "out"
    real, lacking = Store.compact, Store.lacking

    def compact(store: Store) -> Any:
        if kind != "table" and any((out / kind).glob("[!.]*")):
            truncate(part(out, kind=kind))
        return real(store)

    def check(store: Store, *arguments: Any) -> Any:
        if kind == "table":
            truncate(out / "responses.parquet")
        return lacking(store, *arguments)

    monkeypatch.setattr(Store, "compact", compact)
    monkeypatch.setattr(Store, "lacking", check)
    told = cli("run", sweep, "--json")
    summary = json.loads(told.stdout)
    assert (told.exit_code, summary["exit_code"], summary["ended"]) == (3, 3, "damaged")
    assert "not whole: " in told.stderr
    assert "see whether the disk is well, then run the same command again" in told.stderr
    if kind == "responses":
        assert summary["cells"]["done"] < CELLS
    monkeypatch.undo()
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    assert json.loads(cli("run", sweep, "--json").stdout)["cells"]["done"] == CELLS
    assert shape(out) == (CELLS, CELLS * PROMPTS, LAYERS)


def test_damage_that_is_found_while_later_grids_are_chosen(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep, out = write_rounds(tmp_path), tmp_path / "out"
    assert cli("run", sweep, "--quiet").exit_code == 0
    before, choices = contents(out), json.loads((out / "choices.json").read_text())
    damages: list[Callable[[Path], None]] = [truncate, delete, flip(0.5), swap]
    for path, damage in zip([part(out, number) for number in range(4)], damages, strict=True):
        damage(path)
    (out / "choices.json").write_text("{")
    truncate(out / "cells.parquet")
    told = cli("run", sweep, "--json")
    summary = json.loads(told.stdout)
    assert (summary["cells"]["planned"], summary["cells"]["done"], summary["exit_code"], summary["deferred"]) == (12, 12, 0, [])
    assert json.loads((out / "choices.json").read_text()) == choices
    assert contents(out) == before


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ("responses truncated", "responses/"),
        ("responses one row short", "responses/"),
        (f"{SCORES} zeros", f"{SCORES}/"),
        ("all labels deleted", "scores/"),
        ("directions deleted", "directions/"),
        ("direction with nan", "directions/"),
        ("table cells truncated", "cells.parquet"),
        ("responses flipped bit in the data", "responses/"),
        ("table of another plan", ""),
        ("table transfer deleted", "transfer.parquet"),
        ("responses deleted", "cells.parquet"),
    ],
)
def test_status_and_score_tell_of_it(cli: Callable[..., Result], sweep: Path, form: str, named: str) -> None:
    out = sweep.parent / "out"
    healthy = json.loads(cli("status", out, "--json").stdout)
    assert (healthy["state"], healthy["damaged"]) == ("finished", [])
    FORMS[form](out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    told = json.loads(cli("status", out, "--json").stdout)
    if form == "table of another plan":  # as many rows as there should be: only what makes tables anew can tell
        assert cli("score", out).exit_code == 0
        assert shape(out) == (CELLS, CELLS * PROMPTS, LAYERS)
        return
    assert told["state"] == "damaged"
    assert told["damaged"][0]["file"].startswith(named)
    lost = form.startswith("responses")
    assert told["cells"]["done"] == CELLS - lost
    shown = cli("status", out).output
    assert "the same `run` mends it" in shown
    assert "damaged or missing" in shown
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    scored = cli("score", out, "--json")
    content = json.loads(scored.stdout)
    moved = form in ("responses truncated", "responses one row short", "direction with nan", "responses flipped bit in the data")
    assert scored.exit_code == (1 if moved else 0)
    assert (len(content["damaged"]), content["lacking"], content["planned"]) == (int(moved), "", CELLS)
    assert content["cells"] == shape(out)[0] == CELLS - lost
    assert cli("run", sweep, "--quiet").exit_code == 0
    assert json.loads(cli("status", out, "--json").stdout)["state"] == "finished"
