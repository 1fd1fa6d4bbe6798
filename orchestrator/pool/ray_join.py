"""Which Ray to work with: the cluster that this machine belongs to, else one of our own."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # the processes that Ray starts inherit these
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the coming default; silences a warning per actor

import ray

try:
    # Ray has no public way to ask which cluster ray.init would join, and ray.init itself waits for minutes for one that is gone.
    from ray._private.services import canonicalize_bootstrap_address as bootstrap_address
except ImportError:  # pragma: no cover - a later Ray
    bootstrap_address = None

import actors
from actors.library_settings import AT_START
from orchestrator.errors import InputError
from orchestrator.pool.ray_head import HeadError, RefusedError, TokenError, check, seconds_to_answer
from orchestrator.pool.ray_local import QUIET, LocalRay, has_token, read_settings_anew

CLIENT = (
    "the driver does not run through Ray Client (ray://): results stream from the workers, which Ray Client cannot do. "
    "Run it on the head (ray exec cluster.yaml '... python -m orchestrator run SWEEP --detach') and follow it from here "
    "(python -m orchestrator status s3://...), or make this machine a node of the cluster (ray start --address=HEAD:6379)"
)

_log = logging.getLogger(__name__)


@dataclass
class Connection:
    """What this process is connected to. ``head``: ``host:port`` of the cluster that was joined; empty: it is ``own``."""

    head: str = ""
    own: LocalRay | None = None

    def close(self) -> None:
        """Leave the cluster, or end the Ray that was started here."""
        if self.own is None:
            ray.shutdown()
        else:
            self.own.close()


def connect(environment: Iterable[str] = ()) -> Connection:
    """Join the cluster that was there before (``ray start``, RAY_ADDRESS), else start a Ray of our own; raises ``InputError``.

    ``environment``: variables that the processes of our own Ray get besides those that they need.
    """
    asked = os.environ.get("RAY_ADDRESS", "")
    if "://" in asked:
        raise InputError.because(CLIENT, field="RAY_ADDRESS", value=asked, allowed="host:port, auto, local")
    try:
        address = _address(asked)
        if address is not None and not _is_left_over(address):
            _join(address)
            return Connection(address)
    except (*_NOT_JOINED, ray.exceptions.RayError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        message = f"cannot join the Ray cluster ({told}); start it, or set RAY_ADDRESS=local to run on this machine alone"
        raise InputError.because(message, field="RAY_ADDRESS", value=asked or None) from error
    return Connection(own=LocalRay(environment))


_NOT_JOINED = (HeadError, OSError, ValueError, RuntimeError)
"""ConnectionError is an OSError; ValueError: the address makes no sense; RuntimeError: this machine is no node of the cluster."""


def _join(address: str) -> None:
    _check(address)
    with tempfile.TemporaryDirectory() as nothing:
        ray.init(address=address, runtime_env=_environment(nothing), **QUIET)


def _check(address: str) -> None:
    """``HeadError`` unless it can be joined. Ray itself takes the user's token to an address that was named only when told to."""
    read_settings_anew()
    try:
        check(address, seconds_to_answer())
    except TokenError:
        if os.environ.get("RAY_AUTH_MODE") or not has_token():
            raise
        os.environ["RAY_AUTH_MODE"] = "token"
        read_settings_anew()
        check(address, seconds_to_answer())


def _environment(nothing: str) -> dict[str, object]:
    """The workers run this driver's actors package, whatever is installed on their machines.

    ``nothing``, an empty folder, is their working directory: without one they would look first at the path of the driver's own
    directory, where their machine may keep an older copy of the project.
    """
    return {"py_modules": [str(Path(actors.__file__).parent)], "working_dir": nothing, "env_vars": AT_START}


def _address(asked: str) -> str | None:
    """``host:port`` of the cluster to join; None: there is none. Without Ray's own answer only RAY_ADDRESS counts."""
    if asked not in ("", "auto", "local"):
        host, _, port = asked.rpartition(":")
        if not host.strip("[]") or not asked.isprintable() or not port.isdecimal() or not 0 < int(port[:6]) < 65536:
            raise ValueError("the address is not host:port")
    if bootstrap_address is not None:
        found: str | None = bootstrap_address(None)
        return found
    if asked == "auto":
        raise ValueError("this version of Ray does not tell where its cluster is: name it as host:port")
    return asked if asked not in ("", "local") else None


def _is_left_over(address: str) -> bool:
    """Whether the address is only what a Ray that has ended left in its temporary folder: nobody asked for it, nobody answers."""
    if os.environ.get("RAY_ADDRESS"):
        return False
    try:
        _check(address)
    except RefusedError:
        raise
    except HeadError as error:
        _log.warning("no Ray cluster runs on this machine any more: starting a local Ray (%s)", error)
        return True
    return False
