"""A results folder to label, and an HTTP client that is no browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.labelling.desk import desk
from orchestrator.labelling.sample import Draw
from tests.orchestrator.samples import filled, grid

COUNTS = {None: (0, 0), (12, 2.0): (1, 0), (12, 8.0): (5, 0), (15, 2.0): (3, 0), (15, 8.0): (7, 2)}
"""Of fifty responses 16 refusals, 2 garbled, 32 normal."""


def to_label(root: Path) -> Path:
    """A finished sweep of five cells."""
    filled(root, grid(), COUNTS).compact()
    return root


@dataclass(frozen=True)
class Client:
    """Asks the server at ``url``."""

    url: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.url).port or 0

    def ask(self, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """The status and the JSON that comes back; ``path`` is below the token unless it begins with a slash."""
        status, content, _ = self.raw(path, body, **headers)
        return status, json.loads(content)

    def raw(self, path: str, body: object = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """The same, with the bytes and headers of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        whole = path if path.startswith("/") else urlsplit(self.url).path + path
        try:
            if body is None:
                connection.request("GET", whole, headers=sent)
            else:
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                connection.request("POST", whole, content, {"Content-Type": "application/json", **sent})
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())
        finally:
            connection.close()


@contextmanager
def serving(place: Path, rater: str = "anna", draw: Draw | None = None) -> Iterator[Client]:
    """A client of a server that runs in this process."""
    with desk(place, rater, draw or Draw()) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Client(server.url)
        finally:
            server.shutdown()
            thread.join()
