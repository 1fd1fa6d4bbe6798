"""What may listen where a Ray head was expected: sockets that speak something else, hang up, or say nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import grpc
from ray.core.generated import gcs_service_pb2, gcs_service_pb2_grpc

Speaks = Callable[[socket.socket], object]


def hangs_up(peer: socket.socket) -> None:
    """At once."""
    peer.close()


def greets_as_sshd(peer: socket.socket) -> None:
    """And waits for the other's greeting."""
    peer.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")


def refuses_as_http(peer: socket.socket) -> None:
    """Whatever is asked."""
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def babbles(peer: socket.socket) -> None:
    """Bytes that are no protocol."""
    peer.sendall(bytes(range(256)) * 64)


def says_nothing(peer: socket.socket) -> None:
    """Takes what comes."""


@contextmanager
def server(speaks: Speaks) -> Iterator[str]:
    """``host:port`` of one that does so with everybody, and keeps the connections open."""
    open_peers: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                peer, _ = listening.accept()
                open_peers.append(peer)
                speaks(peer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    for peer in open_peers:
        peer.close()


class Head(gcs_service_pb2_grpc.NodeInfoGcsServiceServicer):
    """A head that does no more than to say its version, or that it wants ``token``."""

    def __init__(self, version: str, token: str = "") -> None:
        self._version, self._token = version, token

    def CheckAlive(self, request: Any, context: Any) -> Any:
        """What a driver asks first."""
        given = dict(context.invocation_metadata()).get("authorization", "")
        if self._token and given != f"Bearer {self._token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return gcs_service_pb2.CheckAliveReply(ray_version=self._version)


@contextmanager
def head(one: Head | None) -> Iterator[str]:
    """``host:port`` of a gRPC server that is that head; None: of one that knows nothing of Ray."""
    with ExitStack() as ending:
        threads = ending.enter_context(futures.ThreadPoolExecutor(1))
        running = grpc.server(threads)
        if one is not None:
            gcs_service_pb2_grpc.add_NodeInfoGcsServiceServicer_to_server(one, running)
        port = running.add_insecure_port("127.0.0.1:0")
        running.start()
        ending.callback(lambda: running.stop(None).wait())
        yield f"127.0.0.1:{port}"
