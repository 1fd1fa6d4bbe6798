"""What is fetched of a hub model, from a hub of this machine: small files and safetensors of one commit, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tiny import tiny_folder

COMMIT = "c" * 40
CODE = """
import sys
from actors.hub_cache import fetched_folder
from actors.types import ModelSpec
print(fetched_folder(ModelSpec("hub", "org/tiny", "main")))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder("llama", tmp_path_factory.mktemp("hub") / "m")


class Hub:
    """Serves one repository as the hub does, as far as the hub's library asks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        hub = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        path = request.path.partition("?")[0]
        if "/resolve/" in path:
            name = path.partition("/resolve/")[2].partition("/")[2]
            self.asked.append(name)
            file = self.folder / name
            content = file.read_bytes() if file.is_file() else None
        elif "/tree/" in path:
            files = [{"type": "file", "path": one.name, "size": one.stat().st_size, "oid": "0"} for one in self.folder.iterdir()]
            content = json.dumps(files).encode()
        elif path.startswith("/api/models/org/tiny"):
            names = [{"rfilename": one.name, "size": one.stat().st_size} for one in self.folder.iterdir()]
            content = json.dumps({"id": "org/tiny", "modelId": "org/tiny", "sha": COMMIT, "siblings": names}).encode()
        else:
            content = None
        request.send_response(200 if content is not None else 404)
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("ETag", f'"{hash(path) & 0xFFFFFFFF:x}"')
        request.send_header("Content-Length", str(len(content or b"")))
        request.end_headers()
        if body and content:
            request.wfile.write(content)


@pytest.fixture
def hub(tmp_path: Path, model: Path) -> Iterator[Hub]:
    made = Hub(tmp_path / "repo")
    made.folder.mkdir()
    for path in model.iterdir():
        (made.folder / path.name).write_bytes(path.read_bytes())
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def fetch(hub: Hub, home: Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads its environment when it is imported."""
    dropped = ("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": hub.address, "NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=False, timeout=90)


def test_shards_that_the_index_names_are_fetched_and_no_pickle(hub: Hub, tmp_path: Path) -> None:
    (hub.folder / "model.safetensors").rename(hub.folder / "model-1.safetensors")
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    for name in ("pytorch_model.bin", "mine.py", "consolidated.safetensors"):
        (hub.folder / name).write_bytes(b"not to be fetched")
    done = fetch(hub, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder.name == COMMIT
    wanted = {path.name for path in hub.folder.iterdir()} - {"pytorch_model.bin", "mine.py", "consolidated.safetensors"}
    assert {path.name for path in folder.iterdir()} == wanted == set(hub.asked)


def test_an_index_that_names_a_pickle_is_refused_before_it_is_fetched(hub: Hub, tmp_path: Path) -> None:
    (hub.folder / "model.safetensors").rename(hub.folder / "pytorch_model.bin")
    (hub.folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))
    done = fetch(hub, tmp_path / "home")
    assert "weights are *.safetensors files of the same folder" in done.stderr
    assert "pytorch_model.bin" not in hub.asked
