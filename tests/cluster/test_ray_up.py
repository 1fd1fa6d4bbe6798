"""A real ``ray up`` of the on-premises file against an sshd on loopback: a sweep runs through it, and stopping leaves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import yaml

from tests.cluster.loopback import ROOT, Loopback, free_port, install_what_is_missing, processes_with, sshd
from tests.orchestrator.sweep_files import sweep_data, write_sweep
from tests.tiny import tiny_folder

pytestmark = pytest.mark.slow
LEFT_BY_RAY = ("ray_bootstrap_config.yaml", "ray_bootstrap_key.pem")


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Loopback]:
    try:
        install_what_is_missing()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    before = {name for name in LEFT_BY_RAY if (Path.home() / name).exists()}
    with sshd(tmp_path) as found:
        yield found
    for name in set(LEFT_BY_RAY) - before:
        (Path.home() / name).unlink(missing_ok=True)


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Short: Ray puts sockets into it, whose paths may have 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="sr-", dir="/tmp"))
    yield folder
    for process in processes_with(f"{folder}/session_"):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)


def ray(loopback: Loopback, *words: str) -> str:
    """Run the ray command; its output."""
    # as a user would on a machine of his own: nothing of a Ray that runs the tests
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(loopback.token()), "RAY_USAGE_STATS_ENABLED": "0"}
    command = [str(Path(sys.executable).parent / "ray"), *words]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_a_sweep_runs_through_ray_up_and_nothing_is_left(loopback: Loopback, ray_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    cluster = loopback.cluster(ray_folder, port)
    tiny_folder("llama", tmp_path / "tiny")
    small = {"tiny": {"folder": str(tmp_path / "tiny")}}
    data = sweep_data(models=small, layers=[2], multipliers=[4], decoding={"max_new_tokens": 4}, extractor="hooks")
    sweep, results = write_sweep(tmp_path / "sweep", data), tmp_path / "results"

    ray(loopback, "up", "-y", "--no-config-cache", str(cluster))
    assert processes_with(f"{ray_folder}/session_"), "no Ray was started"
    token = f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH={tmp_path}/token/auth_token"
    run = f"{token} RAY_ADDRESS=127.0.0.1:{port} .venv/bin/python -m orchestrator run {sweep} --results {results}"
    said = ray(loopback, "exec", "--no-config-cache", str(cluster), f"cd {tmp_path}/steering && {run}")
    assert loopback.token().read_text() not in said
    assert pq.read_table(results / "cells.parquet").num_rows == 2

    running = [
        one for process in processes_with(f"{ray_folder}/session_") for one in (process, *process.children(recursive=True))
    ]
    stop = next(line for line in yaml.safe_load(cluster.read_text())["head_start_ray_commands"] if "pkill" in line)
    ray(loopback, "exec", "--no-config-cache", str(cluster), stop)
    ray(loopback, "down", "-y", str(cluster))
    _, alive = psutil.wait_procs(running, timeout=120)
    assert not alive
    assert not processes_with(f"{ray_folder}/session_")
