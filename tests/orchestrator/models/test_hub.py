"""config.json from a hub that answers, refuses, or is not there: a stand-in on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orchestrator.models import hub

CONFIG = {"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584}


class Hub(BaseHTTPRequestHandler):
    """Knows three repositories."""

    def do_GET(self) -> None:
        status, body = 404, b""
        if self.path == "/org/open/resolve/main/config.json":
            status, body = 200, json.dumps(CONFIG).encode()
        elif self.path.startswith("/org/gated/"):
            status = 403
        elif self.path.startswith("/org/broken/"):
            status, body = 200, b"<html>"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

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
