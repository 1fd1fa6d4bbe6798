"""A hub that refuses, or never answers: a model in the cache is used at once, any other is told to be missing, soon."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.hub_cache import cached_folder
from tests.faults.tiny_sweep import TinySweep
from tests.orchestrator.cli.test_commands import ROOT
from tests.orchestrator.sweep_files import PINNED

SECONDS = 90
"""Far below what a timeout for every file of a model would come to."""

SHAPE = {"n_layers": 5, "d_model": 64, "n_heads": 4, "n_kv_heads": 2, "d_ff": 128, "vocab_size": 262, "model_type": "llama"}


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            try:
                while True:
                    taken.append(server.accept())
            except OSError:
                return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


REFUSING = "http://127.0.0.1:9"
IMPATIENT = """
from actors import hub_cache
from orchestrator.models import hub
hub_cache.ANSWER_SECONDS = hub.TIMEOUT_SECONDS = 0.5
from orchestrator.__main__ import main
main()
"""
"""The command line, for which a hub that says nothing for half a second is away."""


def cached(home: Path, model: Path, repo: str, branch: str | None = None) -> None:
    """Lay ``model`` into the hub's cache below ``home`` as a download does, at the pinned revision."""
    root = home / "hub" / f"models--{repo.replace('/', '--')}"
    snapshot = root / "snapshots" / PINNED
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    for number, path in enumerate(sorted(model.iterdir())):
        shutil.copy(path, root / "blobs" / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    if branch is not None:
        (root / "refs").mkdir()
        (root / "refs" / branch).write_text(PINNED)


def run(sweep: TinySweep, hub: str) -> subprocess.CompletedProcess[str]:
    """The run in a process of its own: the hub's library reads its environment when it is imported."""
    dropped = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= {"HF_HOME": str(sweep.folder / "home"), "HF_ENDPOINT": hub, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", IMPATIENT, "run", str(sweep.folder / "sweep.yaml")]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS)


@pytest.mark.parametrize(("revision", "address"), [
    (PINNED, None),
    ("main", None),
    pytest.param("main", REFUSING, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_model_in_the_cache_is_used(tmp_path: Path, silent: str, revision: str, address: str | None) -> None:
    sweep = TinySweep(tmp_path)
    cached(tmp_path / "home", sweep.model(), "org/tiny", None if revision == PINNED else revision)
    sweep.write(models={"tiny": {"hub": "org/tiny", "revision": revision}}, layers=[1])
    told = run(sweep, address or silent)
    assert told.returncode == 0, told.stdout + told.stderr
    rows = sweep.store.cell_rows()
    assert len(rows) == 2
    assert {json.loads(row.provenance)["model_commit"] for row in rows} == {PINNED}


def test_a_model_that_is_not_there_fails_in_words_and_another_goes_on(tmp_path: Path, silent: str) -> None:
    sweep = TinySweep(tmp_path)
    sweep.model("here")
    missing = {"hub": "org/missing", "revision": PINNED, "shape": SHAPE}
    sweep.write(models={"missing": missing, "here": {"folder": "here"}}, layers=[1])
    told = run(sweep, silent)
    assert told.returncode == 1, told.stdout + told.stderr
    (message,) = {message for kind, message, _ in sweep.failures().values() if kind == "model_load"}
    assert "org/missing is not in the hub's cache, and the hub cannot be reached" in message
    assert {row.model for row in sweep.store.cell_rows()} == {"here"}


def test_only_a_whole_model_is_taken_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    cached(tmp_path / "home", TinySweep(tmp_path).model(), "org/tiny")
    snapshot = tmp_path / "home" / "hub" / "models--org--tiny" / "snapshots" / PINNED
    assert cached_folder("org/tiny", PINNED) == snapshot
    assert cached_folder("org/other", PINNED) is None
    weights = snapshot / "model.safetensors"
    shards = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(shards))
    weights.rename(snapshot / "model-1-of-2.safetensors")
    assert cached_folder("org/tiny", PINNED) is None, "the second half was never fetched"
    shutil.copy(snapshot / "model-1-of-2.safetensors", snapshot / "model-2-of-2.safetensors")
    assert cached_folder("org/tiny", PINNED) == snapshot
    (snapshot / "tokenizer.json").unlink()
    assert cached_folder("org/tiny", PINNED) is None
