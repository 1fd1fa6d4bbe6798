"""An S3 server on loopback (moto), and a proxy before it that can fail as networks and servers do."""

from __future__ import annotations

import http.client
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

BUCKET = "results-bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "test-key-id", "AWS_SECRET_ACCESS_KEY": "test-secret-key", "AWS_EC2_METADATA_DISABLED": "true"}
REGION = "us-east-1"

Fault = Literal["error 500", "error 403", "error 503", "drop before", "drop half way", "drop after", "hang"]
"""``drop half way``: the connection ends with half of the body; ``drop after``: the request is done, its answer is lost."""

Request = tuple[str, str]
"""Method and path with query."""


@contextmanager
def s3_server() -> Iterator[str]:
    """The URL of a server with an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        client(url).create_bucket(Bucket=BUCKET)
        yield url
    finally:
        server.stop()


def client(url: str) -> Any:
    """Another S3 implementation, to look at what lies there."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(proxies={}, s3={"addressing_style": "path"}),
    )


def objects(url: str, prefix: str = "") -> dict[str, int]:
    """Name -> size of every object that is not a folder's marker."""
    pages = client(url).get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ()) if not one["Key"].endswith("/")}


@dataclass
class Faults:
    """What the proxy does: ``choose`` is asked about every request; ``seen`` are all requests so far.

    ``answering`` is called when the server has done a request and its answer is to be dropped.
    """

    url: str = ""
    choose: Callable[[Request], Fault | None] = lambda _: None
    answering: Callable[[], None] = lambda: None
    seen: list[Request] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def faulty(upstream: str) -> Iterator[Faults]:
    """A proxy before the server at ``upstream``."""
    faults = Faults()
    host, _, port = upstream.removeprefix("http://").partition(":")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            request = (self.command, self.path)
            faults.seen.append(request)
            fault = faults.choose(request)
            if fault == "hang":
                faults.over.wait(30)
            if fault in ("drop before", "hang"):
                self._drop()
                return
            body = self._body(half=fault == "drop half way")
            if fault == "drop half way":
                self._drop()
                return
            if fault is not None and fault.startswith("error"):
                code = {"error 500": "InternalError", "error 503": "SlowDown", "error 403": "AccessDenied"}[fault]
                self._answer(int(fault.split()[1]), [], f"<Error><Code>{code}</Code><Message>made up</Message></Error>".encode())
                return
            status, headers, content = forward(self.command, self.path, body, dict(self.headers))
            if fault == "drop after":
                faults.answering()
                self._drop()
                return
            self._answer(status, headers, content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_any

        def _body(self, half: bool) -> bytes:
            """As it comes, chunk by chunk if it is chunked; or about half of it."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                length = int(self.headers.get("Content-Length") or 0)
                return self.rfile.read(length // 2 if half else length)
            raw = b""
            while True:
                head = self.rfile.readline()
                size = int(head.split(b";")[0], 16)
                if half:
                    return raw + self.rfile.read(size // 2)
                raw += head + self.rfile.read(size) + self.rfile.readline()
                if size == 0:
                    return raw

        def _drop(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response_only(status)
            kept = [(name, value) for name, value in headers if name.lower() not in ("connection", "transfer-encoding")]
            for name, value in kept:
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name, _ in kept):
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def forward(method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            if name.lower() not in ("expect", "connection"):
                connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), content

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    faults.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield faults
    finally:
        faults.over.set()
        server.shutdown()
        server.server_close()


def wait_until(reached: Callable[[], object], seconds: float = 20.0) -> None:
    """Fails when it is not reached in time."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
