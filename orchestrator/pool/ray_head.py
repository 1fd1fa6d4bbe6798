"""The head of a cluster: whether what answers at an address is one that this driver can join, and whether it still answers.

Ray itself waits for minutes, or for ever, for an address at which something else listens, or nothing answers.
"""

from __future__ import annotations

import os

import grpc
import ray
from ray._private import ray_constants
from ray._private.grpc_utils import init_grpc_channel
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

VARIABLE = "STEERING_RAY_SECONDS"
"""Environment variable for how long a cluster may take to answer."""

USUAL_SECONDS = 15.0

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
