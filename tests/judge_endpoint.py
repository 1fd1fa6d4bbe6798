"""A fake OpenAI-compatible endpoint on loopback that counts what it is asked: ``with JudgeEndpoint() as endpoint``."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHECK = "Reply with the word yes."
"""The question that shows that it answers."""
KEY = "sk-secret-of-the-judge-0123456789"


@dataclass(frozen=True)
class Answered:
    """What the endpoint sends back: a completion of ``text``, or whatever ``body`` says. ``hang``: nothing until it closes.
    ``drip``: so many blanks before it, one each tenth of a second."""

    text: str = ""
    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    finish_reason: str = "stop"
    hang: bool = False
    drip: int = 0


def verdict(request: Mapping[str, Any], **more: object) -> str:
    """A reply of the form that ``request`` asks for: first labels, lowest numbers, no flags; ``more`` overrides."""
    asked: dict[str, Any] = {}
    for name, kind in request["response_format"]["json_schema"]["schema"]["properties"].items():
        asked[name] = kind["enum"][0] if "enum" in kind else {"boolean": False, "string": "because"}.get(kind["type"])
        asked[name] = kind["minimum"] if asked[name] is None else asked[name]
    return json.dumps({**asked, **more})


class JudgeEndpoint:
    """``answer``: what it says to a request, of which ``number`` (from 1) have had the same question. ``asked``: how often each
    question came, the health check left out; ``most``: how many were being answered at once."""

    def __init__(self, answer: Callable[[Mapping[str, Any], int], Answered] | None = None) -> None:
        self.answer = answer or (lambda request, number: Answered(verdict(request)))
        self.requests: list[Mapping[str, Any]] = []
        self.keys: set[str | None] = set()
        self.asked: Counter[str] = Counter()
        self.checks = self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> JudgeEndpoint:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def environment(self) -> dict[str, str]:
        """Where it is."""
        return {"OPENAI_BASE_URL": self.url, "OPENAI_API_KEY": KEY}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                endpoint.keys.add(self.headers["Authorization"])
                answered = endpoint.answered(request)
                if answered.hang:
                    endpoint._over.wait(30)
                    return
                self.send_response(answered.status)
                body = _completion(request, answered) if answered.body is None else answered.body
                for name, value in {
                    "Content-Type": "application/json",
                    **answered.headers,
                    "Content-Length": len(body) + answered.drip,
                }.items():
                    self.send_header(name, str(value))
                self.end_headers()
                with suppress(ConnectionError):  # who asked has left
                    for _ in range(answered.drip):
                        self.wfile.write(b" ")
                        endpoint._over.wait(0.1)
                    self.wfile.write(body)
                endpoint.finished()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        return Handler

    def answered(self, request: Mapping[str, Any]) -> Answered:
        """What is said to ``request``, which is counted."""
        question = request["messages"][0]["content"]
        with self._lock:
            if question == CHECK:
                self.checks += 1
                self._now += 1
                return Answered("yes", finish_reason="length")
            self.requests.append(request)
            self.asked[question] += 1
            self._now += 1
            self.most = max(self.most, self._now)
            number = self.asked[question]
        return self.answer(request, number)

    def finished(self) -> None:
        """A request is over."""
        with self._lock:
            self._now -= 1


def fenced_in(question: str) -> list[str]:
    """The texts that stand marked off in a question, as the model that was judged wrote them."""
    found = re.findall(r"^<<<(DATA-[0-9a-f]{16})\n(.*)\n\1>>>$", question, flags=re.MULTILINE)
    return [json.loads(text) for _, text in found]


def _completion(request: Mapping[str, Any], answered: Answered) -> bytes:
    message = {"role": "assistant", "content": answered.text}
    choice = {"index": 0, "message": message, "finish_reason": answered.finish_reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    content = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": request["model"],
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(content).encode()
