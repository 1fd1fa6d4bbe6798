"""The head of a cluster: whether what answers at an address is one that this driver can join, and whether it still answers.

Ray itself waits for minutes, or for ever, for an address at which something else listens, or nothing answers.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import grpc
import ray
from ray._private import ray_constants
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

from orchestrator.pool import PoolLostError

VARIABLE = "STEERING_RAY_SECONDS"
"""Environment variable for how long a cluster may take to answer."""

USUAL_SECONDS = 15.0

LOOK_SECONDS = 5.0
"""How often to ask a head whether it lives, and how long to wait for the answer."""

LOST_SECONDS = 45.0
"""A head that has not answered for so long is lost. Where the connection breaks, Ray itself ends the process after 60 s."""

LEAST_MISSES = 4
"""So many answers must be missing all the same: a driver that was stopped for a while has heard of nothing."""

_NO_TOKEN = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_SILENT = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
_NO_RAY = (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


class HeadError(Exception):
    """No head of a Ray cluster answers at the address; says what does, or not."""


class RefusedError(HeadError):
    """A head answers that this driver cannot join: it has another token, or runs another version of Ray."""


class TokenError(RefusedError):
    """The head wants another token than this driver's, or one at all."""


def seconds_to_answer() -> float:
    """How long a cluster may take to answer; ValueError when the variable holds no positive number."""
    given = os.environ.get(VARIABLE, "")
    try:
        seconds = float(given or USUAL_SECONDS)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 86400:
        raise ValueError(f"{VARIABLE}={given!r} is no number of seconds (at most a day)")
    return seconds


def check(address: str, seconds: float) -> None:
    """``HeadError`` unless a head that this driver can join answers at ``host:port`` within so many seconds."""
    answer = _ask(address, seconds)
    if answer.ray_version != ray.__version__:
        raise RefusedError(
            f"{address} runs Ray {answer.ray_version or 'of an unknown version'}, this driver Ray {ray.__version__}"
        )


def answers(address: str, seconds: float) -> bool:
    """Whether anything that speaks as a head does answers within so many seconds, whatever it says."""
    try:
        _ask(address, seconds)
    except HeadError as error:
        return isinstance(error.__cause__, grpc.RpcError) and _code(error.__cause__) not in _SILENT
    return True


Answer = TypeVar("Answer")


class Head:
    """The head of the cluster that was joined. A thread asks it every few seconds whether it lives: one that hangs without
    closing its connections lets most calls of Ray wait for ever."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._misses, self._heard = 0, time.monotonic()
        self._over = threading.Event()
        threading.Thread(target=self._watch, name="head", daemon=True).start()

    @property
    def lost(self) -> bool:
        """Whether it has not answered for so long that it will not."""
        return self._misses >= LEAST_MISSES and time.monotonic() - self._heard > LOST_SECONDS

    def check(self) -> None:
        """``PoolLostError`` when the head is lost."""
        if self.lost:
            silent = time.monotonic() - self._heard
            raise PoolLostError(f"the head of the Ray cluster ({self._address}) has not answered for {silent:.0f} s")

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """What ``question``, a call of Ray that may wait for the head, gives; ``PoolLostError`` when that is lost meanwhile."""
        told: list[Answer] = []
        failed: list[BaseException] = []

        def call() -> None:
            try:
                told.append(question())
            except BaseException as error:  # noqa: BLE001 - raised again by who asked
                failed.append(error)

        asking = threading.Thread(target=call, name="question to the head", daemon=True)
        asking.start()
        while asking.is_alive():
            asking.join(LOOK_SECONDS / 5)
            if asking.is_alive():
                self.check()
        if failed:
            raise failed[0]
        return told[0]

    def answers(self) -> bool:
        """Whether it answers now."""
        return answers(self._address, LOOK_SECONDS)

    def close(self) -> None:
        """Ask no more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            if self.answers():
                self._misses, self._heard = 0, time.monotonic()
            else:
                self._misses += 1


def leave_without_a_word() -> None:
    """Let this process end with exit code 1, whatever it was to be, and without Ray's own goodbye, which waits for the head."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)

    atexit.register(end)  # the last one registered runs first


def _ask(address: str, seconds: float) -> gcs_service_pb2.CheckAliveReply:
    channel = init_grpc_channel(address, ray_constants.GLOBAL_GRPC_OPTIONS)
    try:
        service = gcs_service_pb2_grpc.NodeInfoGcsServiceStub(channel)
        return service.CheckAlive(gcs_service_pb2.CheckAliveRequest(), timeout=seconds)
    except grpc.RpcError as error:
        code = _code(error)
        kind = TokenError if code in _NO_TOKEN else HeadError
        raise kind(_told(address, seconds, code)) from error
    finally:
        channel.close()


def _told(address: str, seconds: float, code: grpc.StatusCode) -> str:
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"{address} does not answer within {seconds:g} s ({VARIABLE} sets the limit)"
    if code in _NO_TOKEN:
        return f"the cluster at {address} refuses this driver's token: ~/.ray/auth_token must be the cluster's own"
    if code in _NO_RAY:
        return f"what answers at {address} is no head of a Ray cluster"
    return f"{address} cannot be reached, or is no head of a Ray cluster"


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code: grpc.StatusCode = error.code()  # every error of a call is a Call as well
    return code
