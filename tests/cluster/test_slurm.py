"""The sbatch script of the page, run by bash with a Slurm and a Ray that only write down what they were asked."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUBS = {
    "scontrol": "printf 'node1\\nnode2\\nnode3\\n'",
    "srun": 'echo "srun $*" >> "$CALLS"; case "$*" in *hostname*) echo 10.0.0.7;; *) exec sleep 60;; esac',
    ".venv/bin/ray": 'echo "ray $* $RAY_ADDRESS" >> "$CALLS"; [ "$1" != status ] || grep -q "^srun.*ray start --head" "$CALLS"',
    ".venv/bin/python": 'echo "python $* $RAY_ADDRESS mode=$(stat -c %a "$RAY_AUTH_TOKEN_PATH")" >> "$CALLS"; eval "$DRIVER"',
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    page = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"^```bash\n(.*?)^```", page, flags=re.M | re.S) if "#SBATCH" in block)
    (tmp_path / "steering.sbatch").write_text(block)
    for name, body in STUBS.items():
        stub = tmp_path / ("bin" if "/" not in name else "") / name
        stub.parent.mkdir(parents=True, exist_ok=True)
        stub.write_text(f"#!/usr/bin/env bash\n{body}\n")
        stub.chmod(0o755)
    return tmp_path / "steering.sbatch"


def start(script: Path, driver: str) -> subprocess.Popen[str]:
    folder = script.parent
    environment = {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "CALLS": str(folder / "calls"),
        "DRIVER": driver,
    }
    return subprocess.Popen(["bash", str(script), "sweep.yaml"], env=environment, stderr=subprocess.PIPE, text=True)


def calls(script: Path) -> list[str]:
    return (script.parent / "calls").read_text().splitlines()


def test_head_then_workers_then_the_sweep_and_its_exit_code(script: Path) -> None:
    with start(script, "sleep 1; exit 3") as job:
        assert job.wait(60) == 3, job.stderr and job.stderr.read()
    told = calls(script)
    starts = [line for line in told if "ray start" in line]
    assert "--nodelist=node1 .venv/bin/ray start --head --block --port=24711 --node-ip-address=10.0.0.7" in starts[0]
    assert sorted(line.split("--nodelist=")[1].split()[0] for line in starts) == ["node1", "node2", "node3"]
    assert all("--address=10.0.0.7:24711" in line for line in starts[1:])
    assert "python -m orchestrator run sweep.yaml 10.0.0.7:24711 mode=600" in told
    assert not list(script.parent.glob(".ray-token-*")), "the token outlives the job"


def test_term_reaches_the_driver_which_may_finish(script: Path) -> None:
    with start(
        script, "trap 'echo stopping >> $CALLS; sleep 1; echo stopped >> $CALLS; exit 130' TERM; while :; do sleep 0.1; done"
    ) as job:
        end = time.monotonic() + 60
        while not (script.parent / "calls").exists() or "orchestrator run" not in (script.parent / "calls").read_text():
            assert time.monotonic() < end
            time.sleep(0.1)
        time.sleep(0.5)
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 130
    assert calls(script)[-2:] == ["stopping", "stopped"]


def test_without_a_sweep_it_says_how(script: Path) -> None:
    done = subprocess.run(["bash", str(script)], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "usage" in done.stderr
