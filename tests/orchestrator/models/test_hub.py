"""config.json from a hub that answers, refuses, or is not there: a stand-in on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.models import hub
from orchestrator.models.hub_facts import HubFacts, facts_of

CONFIG = {"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584}


class Hub(BaseHTTPRequestHandler):
    """Knows three repositories."""

    def do_GET(self) -> None:
        status, body = 404, b""
        if self.path == "/org/open/resolve/main/config.json":
            status, body = 200, json.dumps(CONFIG).encode()
        elif self.path.startswith("/org/gated/"):
            status = 403
        elif self.path == "/org/open/resolve/main/tokenizer_config.json":
            status, body = 200, b'{"bos_token": "<s>"}'
        elif self.path == "/api/models/org/open/revision/main?blobs=true":
            names = {"model-1.safetensors": 3_000, "model-2.safetensors": 2_000, "x/model.safetensors": 9, "config.json": 5}
            status, body = 200, self.told(False, {**names, "tokenizer_config.json": 1})
        elif self.path == "/api/models/org/gated/revision/main?blobs=true":
            status, body = 200, self.told("manual", {"pytorch_model.bin": 700, "chat_template.jinja": 1})
        elif self.path == "/api/models/org/broken/revision/main?blobs=true" or self.path.startswith("/org/broken/"):
            status, body = 200, b"<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    @staticmethod
    def told(gated: object, sizes: dict[str, int]) -> bytes:
        """As the hub's API tells of a repository."""
        files = [{"rfilename": name, "size": size} for name, size in sizes.items()]
        return json.dumps({"gated": gated, "siblings": files}).encode()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def loopback_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        f"http://127.0.0.1:{server.server_port}" + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    from huggingface_hub import close_session

    close_session()  # a session made while offline refuses every request
    yield
    server.shutdown()
    server.server_close()
    close_session()


@pytest.mark.usefixtures("loopback_hub")
def test_a_config_is_fetched_or_the_reason_told() -> None:
    assert hub.fetch_config("org/open", None) == CONFIG
    assert "gated" in str(hub.fetch_config("org/gated", None))
    assert "no such repository" in str(hub.fetch_config("org/none", None))
    assert "not JSON" in str(hub.fetch_config("org/broken", None))


def test_offline_is_respected() -> None:
    assert hub.fetch_config("org/open", None) == "HF_HUB_OFFLINE is set"


def test_a_hub_that_is_not_there_is_told(loopback_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    assert "cannot be reached" in str(hub.fetch_config("org/open", None))


@pytest.mark.usefixtures("loopback_hub")
def test_what_the_hub_says_of_repositories() -> None:
    found = facts_of([("org/open", "main"), ("org/gated", None), ("org/none", None), ("org/broken", None)])
    assert found[:3] == [
        HubFacts("org/open", there=True, gated=False, opens=True, size=5_000, template=False),
        HubFacts("org/gated", there=True, gated=True, opens=False, size=700),
        HubFacts("org/none", there=False),
    ]
    assert "says nothing of it" in found[3].why


def test_a_hub_that_is_not_there_is_asked_once(loopback_hub: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    asked: list[str] = []
    ask = hub.ask

    def counting(url: str) -> tuple[int, bytes] | str:
        asked.append(url)
        return ask(url)

    monkeypatch.setattr("orchestrator.models.hub_facts.ask", counting)
    found = facts_of([("org/open", None), ("meta-llama/Llama-3.1-8B-Instruct", None), ("org/none", None)])
    assert len(asked) == 1
    assert all("cannot be reached" in facts.why for facts in found)
    assert [facts.gated for facts in found] == [None, True, None]
