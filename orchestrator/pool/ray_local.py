"""A Ray of our own, for the time of a run: on loopback alone, with a token of its own, in a folder that only its owner can enter.

Ray itself would listen on every interface, share its metrics with whoever asks, let the workers inherit the driver's whole
environment, and keep its files in folders that anybody may write to.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants, services
from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

from actors.library_settings import AT_START
from orchestrator.pool.environment import allowed

OBJECT_STORE_BYTES = 256 * 2**20
"""Object store of a Ray that we start ourselves: directions and responses are small."""

QUIET = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}

LONGEST_BASE = 30
"""Ray makes sockets some 75 characters further down, and the path of a socket has at most 107."""

NAME = "steering-ray-"
LOCK = "driver.lock"
YOUNG_SECONDS = 600.0
"""A folder of so few seconds may belong to a driver that has not locked it yet."""

NO_METRICS = {"RAY_enable_metrics_collection": "0", "AUTOSCALER_METRIC_PORT": "-1", "DASHBOARD_METRIC_PORT": "-1"}
"""Nobody collects them here. A port that there cannot be is one on which nobody listens."""

_log = logging.getLogger(__name__)


class LocalRay:
    """A running Ray of this machine alone, which ends with this process at the latest. ``environment``: variables that its
    processes get besides those that they need; ``options``: more for ``ray.init``."""

    def __init__(self, environment: Iterable[str] = (), **options: Any) -> None:
        self._ending = ExitStack()
        with ExitStack() as starting:
            folder = starting.enter_context(_private_folder())
            starting.enter_context(_authenticated_by(folder))
            starting.callback(ray.shutdown)
            with _started_by(tuple(environment)):
                settings = {"object_store_memory": OBJECT_STORE_BYTES, **QUIET, **options}
                ray.init(address="local", _temp_dir=str(folder / "r"), **settings)
            self._ending = starting.pop_all()

    def close(self) -> None:
        """End its processes and remove what they wrote; safe to call twice."""
        self._ending.close()


def read_settings_anew() -> None:
    """Ray reads its settings and the token once per process, when it is imported: have it read them again."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def has_token() -> bool:
    """Whether the user has a token for clusters (``~/.ray/auth_token`` or where Ray's variables say)."""
    return bool(AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True))


@contextmanager
def _authenticated_by(folder: Path) -> Iterator[None]:
    """Ray's token authentication by a new token that lies in ``folder``, whatever the user's own settings are."""
    token = folder / "token"
    with os.fdopen(os.open(token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    before = {name: os.environ.pop(name, None) for name in (*ours, "RAY_AUTH_TOKEN")}
    os.environ.update(ours)
    read_settings_anew()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _started_by(more: tuple[str, ...]) -> Iterator[None]:
    """While entered, what Ray starts gets only the variables that it needs, and takes loopback for this machine's address.

    Ray has no setting for either on Linux. The driver's own environment stays whole meanwhile: others in it need their keys.
    """

    class Popen(services.ConsolePopen):
        def __init__(self, command: Any, *, env: dict[str, str], **options: Any) -> None:
            super().__init__(command, env={**AT_START, **allowed(env, more), **NO_METRICS}, **options)

    before = services.ConsolePopen, ray_constants.ENABLE_RAY_CLUSTER
    services.ConsolePopen, ray_constants.ENABLE_RAY_CLUSTER = Popen, False
    try:
        yield
    finally:
        services.ConsolePopen, ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _private_folder() -> Iterator[Path]:
    """A new folder that only its owner can enter, removed at the end; those that killed drivers left are removed as well."""
    base = _base()
    _remove_left_over(base)
    folder = Path(tempfile.mkdtemp(prefix=NAME, dir=base))  # mode 0700
    with (folder / LOCK).open("w") as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _base() -> Path:
    base = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    if len(str(base)) <= LONGEST_BASE and base.is_dir():
        return base
    return Path("/tmp")


def _remove_left_over(base: Path) -> None:
    for folder in base.glob(f"{NAME}*"):
        with suppress(OSError):  # somebody else's, or just removed by another driver
            if folder.stat().st_uid == os.getuid() and _is_left_over(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left_over(folder: Path) -> bool:
    """Whether no driver holds it: the lock goes with the process, however it ends."""
    if not (folder / LOCK).exists():
        return time.time() - folder.stat().st_mtime > YOUNG_SECONDS
    with (folder / LOCK).open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return time.time() - folder.stat().st_mtime > YOUNG_SECONDS or (folder / "token").exists()
