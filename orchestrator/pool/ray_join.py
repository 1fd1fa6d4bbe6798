"""Which Ray to work with: the cluster that this machine belongs to, else one of our own."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # the processes that Ray starts inherit these
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the coming default; silences a warning per actor
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import ray

try:
    # Ray has no public way to ask which cluster ray.init would join, and ray.init itself waits for minutes for one that is gone.
    from ray._private.services import canonicalize_bootstrap_address as bootstrap_address
except ImportError:  # pragma: no cover - a later Ray
    bootstrap_address = None

import actors
from orchestrator.errors import InputError

OBJECT_STORE_BYTES = 256 * 2**20
"""Object store of a Ray that we start ourselves: directions and responses are small."""

REACH_SECONDS = 10.0

CLIENT = (
    "the driver does not run through Ray Client (ray://): results stream from the workers, which Ray Client cannot do. "
    "Run it on the head (ray exec cluster.yaml '... python -m orchestrator run SWEEP --detach') and follow it from here "
    "(python -m orchestrator status s3://...), or make this machine a node of the cluster (ray start --address=HEAD:6379)"
)

_log = logging.getLogger(__name__)


def connect() -> bool:
    """Connect to Ray; whether that is a cluster which was there before (``ray start``, RAY_ADDRESS). Raises ``InputError``."""
    asked = os.environ.get("RAY_ADDRESS", "")
    if "://" in asked:
        raise InputError.because(CLIENT, field="RAY_ADDRESS", value=asked, allowed="host:port, auto, local")
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    try:
        address = _address(asked)
        if address is not None and not _is_left_over(address):
            _reach(address)
            with tempfile.TemporaryDirectory() as nothing:
                ray.init(address=address, runtime_env=_environment(nothing), **quiet)
            return True
    except (OSError, ValueError) as error:  # ConnectionError is an OSError; ValueError: the address makes no sense
        message = f"cannot join the Ray cluster ({error}); start it, or set RAY_ADDRESS=local to run on this machine alone"
        raise InputError.because(message, field="RAY_ADDRESS") from error
    ray.init(address="local", object_store_memory=OBJECT_STORE_BYTES, **quiet)
    return False


def _environment(nothing: str) -> dict[str, object]:
    """The workers run this driver's actors package, whatever is installed on their machines.

    ``nothing``, an empty folder, is their working directory: without one they would look first at the path of the driver's own
    directory, where their machine may keep an older copy of the project.
    """
    return {"py_modules": [str(Path(actors.__file__).parent)], "working_dir": nothing}


def _address(asked: str) -> str | None:
    """``host:port`` of the cluster to join; None: there is none. Without Ray's own answer only RAY_ADDRESS counts."""
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
        _reach(address)
    except OSError:
        _log.warning("the Ray cluster that ran on this machine has ended: starting a local Ray")
        return True
    return False


def _reach(address: str) -> None:
    """OSError when nobody answers at ``host:port``; Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
