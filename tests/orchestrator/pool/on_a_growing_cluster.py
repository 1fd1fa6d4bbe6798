"""A sweep on a cluster without machines that grows by Ray's own autoscaler, in a process of its own: ``python -m`` this module.

Writes one JSON object of what it saw to the file that it is given. The machines are Ray's fake ones: processes here. Ray's own
cluster for tests would do, but it begins and ends with ``ray stop``, which ends every Ray of the user.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from orchestrator.pool import PoolOptions
from orchestrator.scheduler import Scheduler, Settings
from orchestrator.scheduling.board import Board
from tests.orchestrator.test_scheduler import Notebook, cells_of, model, plan_of

ROOT = Path(__file__).parents[3]
SMALL = 80 * 2**20
MOST_MACHINES = 3
IDLE_MINUTES = 0.1
PATIENCE = 120.0
COMMANDS = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")


def config(address: str) -> dict[str, Any]:
    """A head without cores, and machines of one core of which none is there without work."""
    machine = {"resources": {"CPU": 1, "object_store_memory": SMALL}, "node_config": {}, "min_workers": 0}
    return {
        "cluster_name": "growing",
        "max_workers": MOST_MACHINES,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,  # they all have one
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "machine": {**machine, "max_workers": MOST_MACHINES},
        },
        "head_node_type": "ray.head.default",
        **{f"{part}_commands": [] for part in COMMANDS},
        **{part: {} for part in ("auth", "docker", "file_mounts")},
        **{part: [] for part in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
        "file_mounts_sync_continuously": False,
    }


def free_port() -> int:
    """A port that nobody has now."""
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def growing_cluster() -> Iterator[str]:
    """The address of its head. Every process of it has the temporary folder in its command line, and ends at the end."""
    folder = tempfile.mkdtemp(prefix="rg", dir="/tmp")  # socket paths must be short
    os.environ.update(RAY_TMPDIR=folder, RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
    os.environ.update(AUTOSCALER_UPDATE_INTERVAL_S="1", RAY_FAKE_CLUSTER="1", PYTHONPATH=str(ROOT))
    import ray

    address = f"{ray.util.get_node_ip_address()}:{free_port()}"
    written = Path(folder, "autoscaling.json")
    written.write_text(json.dumps(config(address)), encoding="utf-8")
    ports = [f"--{name}-port={free_port()}" for name in ("ray-client-server", "dashboard-agent-listen")]
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={address.rpartition(':')[2]}"]
    command += [f"--autoscaling-config={written}", "--num-cpus=0", f"--object-store-memory={SMALL}", f"--temp-dir={folder}"]
    with Path(folder, "head.log").open("w", encoding="utf-8") as log:
        head = subprocess.Popen([*command, "--include-dashboard=false", *ports], stdout=log, stderr=log)
    try:
        wait_for(address)
        yield address
    finally:
        ray.shutdown()
        head.terminate()
        head.wait(30)
        end_all_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(address: str) -> None:
    """Return when the head answers."""
    host, _, port = address.rpartition(":")
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < ends, "the head did not start"
            time.sleep(0.5)


def end_all_of(folder: str) -> None:
    """The machines are no children of the head: they would go by themselves, a minute after it."""
    mine = [
        process for process in psutil.process_iter(["cmdline"]) if any(folder in one for one in process.info["cmdline"] or [])
    ]
    for process in mine:
        if process.pid != os.getpid():
            process.kill()
    psutil.wait_procs(mine, timeout=10)


def machines() -> int:
    """How many are there now besides the head."""
    import ray

    return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())


def requested() -> list[dict[str, float]]:
    """What the autoscaler holds as the last request."""
    from ray.autoscaler._private.constants import AUTOSCALER_RESOURCE_REQUEST_CHANNEL
    from ray.experimental.internal_kv import _internal_kv_get

    bundles: list[dict[str, float]] = json.loads(_internal_kv_get(AUTOSCALER_RESOURCE_REQUEST_CHANNEL) or b"[]")
    return bundles


def seen_on_the_way() -> dict[str, object]:
    """A sweep of two models runs to its end; how many machines there were, and what is left of them."""
    from orchestrator.pool import POOLS

    seen: dict[str, object] = {}
    with growing_cluster() as address:
        os.environ["RAY_ADDRESS"] = address
        import ray

        plan = plan_of(*(cell for name in "ab" for cell in cells_of(model(name), range(1, 151), text="[slow]")))
        pool = POOLS["ray"](PoolOptions(worker="tests.fakes:FakeWorker"))
        seen["machines before"] = machines()
        counts: list[int] = []
        over = threading.Event()

        def count() -> None:
            while not over.wait(1.0):
                counts.append(machines())

        watcher = threading.Thread(target=count)
        watcher.start()
        notebook = Notebook()
        started = time.monotonic()
        Scheduler(plan, Board(plan), pool, notebook, Settings(tell=notebook.hear)).run()
        seen["seconds"] = time.monotonic() - started
        over.set()
        watcher.join()
        seen["most machines"] = max(counts)
        seen["cells"], seen["failures"] = len(notebook.cells), len(notebook.failures)
        seen["hosts of models"] = sorted(note for note in notebook.notes if " on worker-" in note)
        seen["notes"] = notebook.notes
        seen["asked for at the end of the work"] = requested()
        pool.close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        seen["asked for after"] = requested()
        started = time.monotonic()
        while machines():
            assert time.monotonic() < started + PATIENCE, f"{machines()} machines stay"
            time.sleep(1)
        seen["seconds until all have gone"] = time.monotonic() - started
    return seen


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(seen_on_the_way()), encoding="utf-8")
