"""A disk that is full, fails or goes away: the run stops in words, loses nothing, and goes on when the disk is well again."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from orchestrator.storage import StorageError, UnreadableFileError, atomic
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import ROOT, write_sweep
from tests.orchestrator.storage.writes import CELLS, NEW, WRITES, prepare, seen

FULL = OSError(errno.ENOSPC, "No space left on device")
STEPS = ("open", "write", "close", "fsync file", "replace", "fsync folder")


class _FullFile(io.BytesIO):
    """A file whose ``write`` or ``close`` finds the disk full."""

    def __init__(self, path: Path, step: str) -> None:
        super().__init__()
        self._file, self._step = open(path, "wb"), step  # noqa: SIM115

    def write(self, content: Any) -> int:
        self._file.write(bytes(content)[:10])
        if self._step == "write":
            raise FULL
        return len(content)

    def fileno(self) -> int:
        return self._file.fileno()

    def flush(self) -> None:
        if self._step == "close":
            raise FULL
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


@contextmanager
def full_at(step: str) -> Iterator[None]:
    """The disk is full at that step of every write."""

    def fail(*_: object, **__: object) -> Any:
        raise FULL

    real_open = Path.open

    def full_open(path: Path, mode: str = "r", **more: Any) -> Any:
        if mode != "wb":
            return real_open(path, mode, **more)
        return fail() if step == "open" else _FullFile(path, step)

    with pytest.MonkeyPatch.context() as patch:
        if step in ("open", "write", "close"):
            patch.setattr(Path, "open", full_open)
        elif step == "fsync file":
            patch.setattr(os, "fsync", fail)
        elif step == "replace":
            patch.setattr(os, "replace", fail)
        else:
            patch.setattr(atomic, "sync_folder", fail)
        yield


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", [name for name in WRITES if name != "clear"])
def test_a_full_disk_at_any_step_of_any_write(tmp_path: Path, name: str, step: str) -> None:
    prepare(tmp_path, name)
    write, old = WRITES[name], seen(WRITES[name], tmp_path)
    with full_at(step), pytest.raises(StorageError, match=r"No space left on device.*free some space") as told:
        write.do(Store(tmp_path))
    assert told.value.exit_code == 3
    assert str(tmp_path) in str(told.value)
    found = seen(write, tmp_path)
    assert found == old or step == "fsync folder" or name == "tables"
    assert not list(tmp_path.rglob(".*.tmp"))
    with Store(tmp_path).lock():
        if found == old or name == "tables":
            write.do(Store(tmp_path))
    assert seen(write, tmp_path) != old
    assert not (tmp_path / "quarantine").exists()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_run_stops_when_the_disk_is_full_and_goes_on_later(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, real = write_sweep(tmp_path), atomic.write_atomic

    def full_after_two(path: Path, *arguments: Any, **more: Any) -> bool:
        if path.parent.name == "responses" and len(list(path.parent.glob("*.parquet"))) == 2:
            raise FULL
        return real(path, *arguments, **more)

    monkeypatch.setattr(atomic, "write_atomic", full_after_two)
    told = cli("run", sweep, "--quiet")
    assert told.exit_code == 3
    assert isinstance(told.exception, SystemExit)
    assert "No space left on device" in told.stderr
    assert "Every finished cell is kept: free some space, then run the same command again" in told.stderr
    store = Store(tmp_path / "out")
    kept = {path: path.read_bytes() for path in (tmp_path / "out" / "responses").iterdir()}
    assert len(kept) == len(store.done_cells()) == 2
    assert "stopped (" in cli("status", tmp_path / "out").output
    monkeypatch.setattr(atomic, "write_atomic", real)
    again = cli("run", sweep, "--json")
    assert json.loads(again.stdout)["cells"] == {"planned": 4, "done": 4, "failed": 0, "ran": 2}
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    """The kernel itself cuts a write short: ``ulimit -f`` gives EFBIG where a disk would give ENOSPC."""
    sweep = write_sweep(tmp_path, texts=("Why is the sky blue? " * 2000,))
    command = [sys.executable, "-m", "tests.fake_cli", "run", str(sweep), "--quiet"]

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=limited)
    assert told.returncode == 3, told.stderr
    assert "File too large" in told.stderr
    assert "Traceback" not in told.stderr
    assert not list((tmp_path / "out").rglob(".*.tmp"))
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert json.loads(again.stdout)["cells"]["done"] == 4


def failing_read(path: Path, code: int) -> Callable[..., Any]:
    real = Path.open

    def fail(self: Path, *arguments: Any, **more: Any) -> Any:
        if self == path:
            raise OSError(code, os.strerror(code))
        return real(self, *arguments, **more)

    return fail


def test_a_file_on_a_bad_sector_is_moved_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path, "responses")
    path = tmp_path / "responses" / f"{CELLS[0].id}.parquet"
    monkeypatch.setattr(Path, "open", failing_read(path, errno.EIO))
    store = Store(tmp_path)
    with pytest.raises(UnreadableFileError, match="Input/output error"):
        store.read_responses(CELLS[0].id)
    assert store.done_cells() == {one.id for one in CELLS[1:]}
    moved = sorted(entry.name for entry in (tmp_path / "quarantine").iterdir())
    assert moved == [f"{kind}-{CELLS[0].id}.parquet" for kind in ("responses", "scores-coherence@6", "scores-refusal@13")]


@pytest.mark.parametrize("code", [errno.EACCES, errno.ESTALE, errno.ETIMEDOUT])
def test_a_disk_that_refuses_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    prepare(tmp_path, "responses")
    path = tmp_path / "responses" / f"{CELLS[0].id}.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", failing_read(path, code))
        with pytest.raises(StorageError, match=f"cannot read responses/{CELLS[0].id}.parquet"):
            Store(tmp_path).read_responses(CELLS[0].id)
    assert len(Store(tmp_path).read_responses(CELLS[0].id)) == 10
    assert not (tmp_path / "quarantine").exists()


def test_a_kill_while_a_damaged_cell_is_moved_away_leaves_no_scores_of_gone_responses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, "responses")
    path = tmp_path / "responses" / f"{CELLS[0].id}.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    moves: list[str] = []
    real = os.replace

    def second_fails(source: Path, target: Path) -> None:
        moves.append(source.parent.name)
        if len(moves) == 2:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(KeyboardInterrupt):
        Store(tmp_path).read_responses(CELLS[0].id)
    assert moves == ["coherence@6", "refusal@13"]
    assert CELLS[0].id not in Store(tmp_path).labelled_cells()


def test_what_was_moved_away_is_told_and_run_again(
    cli: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = write_sweep(tmp_path)
    assert cli("run", sweep, "--quiet").exit_code == 0
    path = next((tmp_path / "out" / "responses").iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    scored = cli("score", tmp_path / "out")
    assert scored.exit_code == 1
    assert f"1 were damaged and moved to quarantine ({path.stem}): `run` makes them anew" in scored.output
    assert f"damaged file moved to {tmp_path / 'out'}/quarantine, to be made anew" in caplog.text
    again = cli("run", sweep, "--json")
    assert json.loads(again.stdout)["cells"] == {"planned": 4, "done": 4, "failed": 0, "ran": 1}
    assert NEW.id not in Store(tmp_path / "out").done_cells()
