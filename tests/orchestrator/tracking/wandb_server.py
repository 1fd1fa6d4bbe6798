"""A stand-in for the W&B server on loopback: takes a run's history, can be told to fall silent, remembers what it was sent."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbServer:
    """What W&B's uploader needs of the server, no more. ``silent``: accept connections and never answer."""

    def __init__(self) -> None:
        self.silent = threading.Event()
        self.closing = threading.Event()
        self.history: dict[int, dict[str, Any]] = {}
        self.upserted: list[Mapping[str, Any]] = []
        self.artifacts: list[str] = []
        self.url = ""

    def graphql(self, name: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer's ``data``; an empty one to what nothing depends on."""
        match name:
            case "UpsertBucket":
                self.upserted.append(variables)
                return {"upsertBucket": {"bucket": self._bucket(variables["name"]), "inserted": not self.history}}
            case "RunResumeStatus":
                return {"model": {"id": "m", "name": "p", "entity": _ENTITY, "bucket": self._resumed(variables["name"])}}
            case "CreateRunFiles":
                files = [{"name": file, "uploadUrl": f"{self.url}/put/{file}"} for file in variables["files"]]
                return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
            case "CreateArtifact":
                self.artifacts.append(variables["input"]["artifactCollectionName"])
                return {"createArtifact": {"artifact": _COMMITTED}}
        return {}

    def take(self, files: Mapping[str, Any]) -> None:
        """A part of the file stream."""
        part = files.get("wandb-history.jsonl") or {"offset": 0, "content": ()}
        for number, line in enumerate(part["content"], start=part["offset"]):
            self.history[number] = json.loads(line)

    def rows(self) -> list[dict[str, Any]]:
        """The history, in the order of its offsets; AssertionError when one is missing."""
        assert sorted(self.history) == list(range(len(self.history)))
        return [self.history[number] for number in sorted(self.history)]

    def _bucket(self, name: str) -> dict[str, Any]:
        project = {"id": "p", "name": "p", "entity": _ENTITY}
        lines = {"historyLineCount": len(self.history), "eventsLineCount": 0, "logLineCount": 0}
        return {"id": "b", "name": name, "displayName": "d", "config": "{}", "project": project, **lines}

    def _resumed(self, name: str) -> dict[str, Any] | None:
        if not self.history:
            return None
        tails = {"historyTail": json.dumps([json.dumps(self.rows()[-1])]), "eventsTail": "[]", "summaryMetrics": "{}"}
        return {**self._bucket(name), **tails, "tags": [], "wandbConfig": "{}"}


_ENTITY = {"id": "e", "name": "e"}
_COMMITTED = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s", "latestArtifact": {"id": "a"}}}


@contextmanager
def serving() -> Iterator[WandbServer]:
    """A server on a free port of loopback."""
    server = WandbServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        http.shutdown()
        http.server_close()
        thread.join()


def _handler(server: WandbServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.answer({})

        def do_PUT(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/graphql":
                asked = json.loads(body)
                (name,) = re.findall(r"^\s*(?:query|mutation) (\w+)", asked["query"], flags=re.M)[:1]
                self.answer({"data": server.graphql(name, asked.get("variables", {}))})
            else:
                if self.path.endswith("/file_stream") and not server.silent.is_set():
                    server.take(json.loads(body).get("files") or {})
                self.answer({})

        def answer(self, content: object) -> None:
            if server.silent.is_set():
                server.closing.wait()
                return
            encoded = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

    return Handler
