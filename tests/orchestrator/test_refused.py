"""A results folder that cannot be locked or written: every command that writes ends in one line with advice, and exit code 3."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS
from orchestrator.results.store import Store
from orchestrator.storage import StorageError
from orchestrator.storage.locking import exclusive
from tests.fake_cli import with_fake_worker
from tests.orchestrator.cli.test_commands import no_pool, write_sweep
from tests.orchestrator.quick_cli import quick_cli

LOCKING: dict[str, Callable[[Path], list[object]]] = {
    "run": lambda sweep: ["run", sweep],
    "run --detach": lambda sweep: ["run", sweep, "--detach"],
    "retry": lambda sweep: ["retry", sweep],
    "score": lambda sweep: ["score", sweep.parent / "out"],
}
"""The commands that take the lock."""

ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "ask for a larger quota",
    errno.EROFS: "make it writable",
    errno.EACCES: "see who may write there",
    errno.EPERM: "see who may write there",
    errno.ESTALE: "mount it again",
    errno.EIO: "see whether the disk is well",
    errno.ENAMETOOLONG: "give it a shorter name",
}


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    return quick_cli(monkeypatch)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
        assert CliRunner().invoke(app, ["run", str(write_sweep(folder, "[4]")), "--quiet"]).exit_code == 0
    return folder


@pytest.fixture
def sweep(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy" / "tiny.yaml"


def assert_told(told: Result, advice: str) -> None:
    """One line, exit code 3, no traceback."""
    assert told.exit_code == 3, told.output
    assert isinstance(told.exception, SystemExit)
    errors = [line for line in told.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, told.stderr
    assert "Every finished cell is kept: " in errors[0]
    assert advice in errors[0]


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, function: str, code: int) -> None:
    """``os.<function>`` refuses a path of that last name, or a handle of such a file."""
    real = getattr(os, function)

    def fail(target: Any, *arguments: Any, **more: Any) -> Any:
        path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
        if str(path).endswith(f"/{name}"):
            raise OSError(code, os.strerror(code), path)
        return real(target, *arguments, **more)

    monkeypatch.setattr(os, function, fail)


@pytest.mark.parametrize("code", ADVICE, ids=errno.errorcode.get)
@pytest.mark.parametrize("command", LOCKING)
def test_a_lock_file_that_cannot_be_opened(
    cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    monkeypatch.setitem(POOLS, "local", no_pool)
    refuse(monkeypatch, ".lock", "open", code)
    assert_told(cli(*LOCKING[command](sweep)), ADVICE[code])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize("command", LOCKING)
def test_a_lock_file_that_takes_no_words(
    cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    refuse(monkeypatch, ".lock", "pwrite", code)
    assert_told(cli(*LOCKING[command](sweep)), ADVICE[code])


def a_folder(out: Path) -> None:
    (out / ".lock").mkdir()


def a_loop(out: Path) -> None:
    (out / ".lock").symlink_to(".lock")


def a_link_to_nowhere(out: Path) -> None:
    (out / ".lock").symlink_to("no/such/folder/lock")


@pytest.mark.parametrize(
    ("lay", "advice"),
    [(a_folder, "move away the folder"), (a_loop, "mend the link"), (a_link_to_nowhere, "see where its link leads")],
)
@pytest.mark.parametrize("command", LOCKING)
def test_something_else_in_place_of_the_lock_file(
    cli: Callable[..., Result], sweep: Path, command: str, lay: Callable[[Path], None], advice: str
) -> None:
    out = sweep.parent / "out"
    (out / ".lock").unlink()
    lay(out)
    assert_told(cli(*LOCKING[command](sweep)), advice)
    assert len(Store(out).done_cells()) == 2


@pytest.mark.parametrize("results", ["file", "file/below", "link", "nowhere"])
@pytest.mark.parametrize("command", ["run", "run --detach"])
def test_a_results_folder_that_cannot_be(cli: Callable[..., Result], tmp_path: Path, command: str, results: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("link")
    (tmp_path / "nowhere").symlink_to("no/such/folder")
    told = cli(*LOCKING[command](write_sweep(tmp_path)), "--results", tmp_path / results)
    assert_told(told, "")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("command", ["run --detach", "refit", "pause"])
def test_what_else_cannot_be_written(
    cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    real = Path.open

    def fail(path: Path, mode: str = "r", **more: Any) -> Any:
        if mode != "r" and mode != "rb":
            raise OSError(code, os.strerror(code), str(path))
        return real(path, mode, **more)

    out = sweep.parent / "out"
    words = {
        "run --detach": ["run", sweep, "--detach"],
        "refit": ["refit", out, "--out", sweep.parent / "costs.yaml"],
        "pause": ["pause", out, "--wait", "0"],
    }[command]
    if command == "pause":
        beat = (out / "driver.json").read_text().replace('"finished"', '"running"').replace('"host": "', '"host": "elsewhere-')
        (out / "driver.json").write_text(beat)
    monkeypatch.setattr(Path, "open", fail)
    assert_told(cli(*words), ADVICE[code])


def test_costs_replace_no_pipe_and_no_folder(cli: Callable[..., Result], sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root a new file would take the place of /dev/null itself."""
    monkeypatch.chdir(sweep.parent)
    os.mkfifo(sweep.parent / "pipe")
    (sweep.parent / "link").symlink_to("pipe")
    for out in ("pipe", "link", "", "."):
        assert_told(cli("refit", sweep.parent / "out", "--out", out), "move away what lies under the name of a file")
    assert stat.S_ISFIFO((sweep.parent / "pipe").stat().st_mode)
    assert (sweep.parent / "link").is_symlink()


def test_costs_go_where_a_link_leads(cli: Callable[..., Result], sweep: Path) -> None:
    (sweep.parent / "link.yaml").symlink_to("costs.yaml")
    assert cli("refit", sweep.parent / "out", "--out", sweep.parent / "link.yaml").exit_code == 0
    assert (sweep.parent / "link.yaml").is_symlink()
    assert "devices" in (sweep.parent / "costs.yaml").read_text()


def test_the_lock_is_given_up_whatever_the_disk_says_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with exclusive(tmp_path / ".lock"):
        monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(errno.ESTALE, "Stale file handle")))
    monkeypatch.undo()
    with exclusive(tmp_path / ".lock"):
        pass


def test_what_is_raised_under_the_lock_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as told, exclusive(tmp_path / ".lock"):
        raise PermissionError(errno.EACCES, "of somebody else")
    assert not isinstance(told.value, StorageError)
