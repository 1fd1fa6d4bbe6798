"""The folder of a Ray of our own. Without Ray: what runs in it is looked at where the pools are."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.pool import ray_local
from orchestrator.pool.ray_local import LOCK, NAME, LocalRay


class Started:
    """Stands for ``ray``: keeps how it was started, and what the environment was then."""

    def __init__(self) -> None:
        self.folder = Path()
        self.token = ""
        self.fails = False
        self.ended = 0

    def init(self, address: str, _temp_dir: str, **_: object) -> None:
        self.folder = Path(_temp_dir).parent
        self.token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
        assert (address, os.environ["RAY_AUTH_MODE"]) == ("local", "token")
        assert "RAY_AUTH_TOKEN" not in os.environ, "it would be taken before the file"
        if self.fails:
            raise RuntimeError("no room")

    def shutdown(self) -> None:
        assert self.folder.exists(), "its processes end before their files go"
        self.ended += 1


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    made = Started()
    monkeypatch.setattr(ray_local, "ray", made)
    monkeypatch.setattr(ray_local, "read_settings_anew", lambda: None)  # a Ray of other tests may run in this process
    monkeypatch.setattr(ray_local, "_base", lambda: tmp_path)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of a cluster elsewhere")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    yield made
    assert (os.environ["RAY_AUTH_TOKEN"], os.environ["RAY_AUTH_MODE"]) == ("of a cluster elsewhere", "disabled")
    assert list(tmp_path.glob(f"{NAME}*")) == []


def test_a_folder_of_its_own_and_a_new_token_each_time(started: Started) -> None:
    tokens = set()
    for _ in range(2):
        own = LocalRay()
        tokens.add(started.token)
        assert stat.S_IMODE(started.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((started.folder / "token").stat().st_mode) == 0o600
        own.close()
        own.close()
        assert not started.folder.exists()
    assert len(tokens) == started.ended == 2


def test_one_that_does_not_start_leaves_nothing(started: Started) -> None:
    started.fails = True
    with pytest.raises(RuntimeError, match="no room"):
        LocalRay()
    assert started.ended == 1


def test_what_a_killed_driver_left_is_removed_and_a_living_one_s_is_not(started: Started, tmp_path: Path) -> None:
    dead, living = tmp_path / f"{NAME}dead", tmp_path / f"{NAME}living"
    for folder in (dead, living):
        (folder / "r").mkdir(parents=True)
        (folder / "token").write_text("secret")
        (folder / LOCK).touch()
    with (living / LOCK).open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        LocalRay().close()
        assert (dead.exists(), living.exists()) == (False, True)
    LocalRay().close()


def test_one_that_has_not_locked_its_folder_yet_keeps_it(started: Started, tmp_path: Path) -> None:
    young = tmp_path / f"{NAME}young"
    young.mkdir()
    LocalRay().close()
    assert young.exists()
    os.utime(young, (0, 0))
    LocalRay().close()
    assert not young.exists()


@pytest.mark.parametrize(
    ("asked", "taken"), [("/var/tmp", "/var/tmp"), ("/no/such/folder", "/tmp"), ("/tmp/" + "long" * 30, "/tmp")]
)
def test_paths_of_sockets_stay_short(asked: str, taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", asked)
    assert str(ray_local._base()) == taken
