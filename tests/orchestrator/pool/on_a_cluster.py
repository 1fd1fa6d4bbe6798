"""A driver's pool on a real cluster of several nodes on one machine, in a process of its own: ``python -m`` this module.

Writes one JSON object of what it saw to the file that it is given; with ``default`` after it Ray finds out about a dead node as
late as it does without settings of ours. A process of its own, because a process belongs to one Ray at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.boundary import Generate, Load, Task
from actors.types import Decoding, EngineOptions, Failure, GenerationJob, ModelInfo, ModelSpec, Prompt, Resources
from actors.use import Use
from orchestrator.pool import Event, Pool, PoolLostError, PoolOptions, TaskDone, WorkerGave, WorkerLost

QUICK_CHECKS = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}
A100, L4 = Resources(gpus=1, accelerator="A100"), Resources(gpus=1, accelerator="L4")
ON_CPUS = Resources()
ROOT = Path(__file__).parents[3]
SMALL = 80 * 2**20
PATIENCE = 60.0


@contextmanager
def cluster_of_two(quick: bool) -> Iterator[tuple[Any, Any]]:
    """A head without cores, and a first node with two A100 that are none; own temporary folder, nobody else's Ray is met.

    ``quick``: a node that does not answer is dead within two seconds.
    """
    folder = os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="rp", dir="/tmp")  # socket paths must be short
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=str(ROOT))  # for the fake worker
    import ray
    from ray.cluster_utils import Cluster

    head: dict[str, Any] = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": SMALL}
    if quick:
        head["_system_config"] = QUICK_CHECKS
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        first = add(cluster, cpus=3, accelerator="A100", gpus=2)
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster, first
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def add(cluster: Any, cpus: int, accelerator: str, gpus: int) -> Any:
    """One more node, with a temporary folder of its own: those of one machine would unpack packages over each other's."""
    kind, folder = {f"accelerator_type:{accelerator}": 1}, tempfile.mkdtemp(prefix="n", dir=os.environ["RAY_TMPDIR"])
    return cluster.add_node(num_cpus=cpus, num_gpus=gpus, resources=kind, object_store_memory=SMALL, temp_dir=folder)


def load(resources: Resources, location: str = "fake") -> Load:
    """A load of a fake model."""
    return Load(f"model-{location}", ModelSpec("folder", location), EngineOptions(), resources)


def generate(text: str) -> Generate:
    """One cell whose prompt is ``text``."""
    return Generate((GenerationJob("cell", (Prompt("p", text),), Decoding(8)),))


def until_done(pool: Pool, *workers: str) -> dict[str, list[Event]]:
    """The events of each of ``workers`` up to the end of its task, or its loss."""
    events: dict[str, list[Event]] = {worker: [] for worker in workers}
    running = set(workers)
    ends = time.monotonic() + PATIENCE
    while running:
        event = pool.next_event(1.0)
        if event is not None and not isinstance(_of(event), Use):
            events[event.worker].append(event)
        if isinstance(event, TaskDone | WorkerLost):
            running.discard(event.worker)
        assert time.monotonic() < ends, f"{running} did not end: {events}"
    return events


def _of(event: Event) -> object:
    """What the worker gave; of other events the event itself."""
    return event.outcome if isinstance(event, WorkerGave) else event


def run(pool: Pool, worker: str, task: Task) -> list[Event]:
    """Give ``worker`` the task and wait for its end."""
    pool.submit(worker, task)
    return until_done(pool, worker)[worker]


def wait_for_workers(pool: Pool, count: int) -> float:
    """Seconds until the pool names so many workers."""
    started = time.monotonic()
    while len(pool.workers()) != count:
        pool.next_event(0.2)
        assert time.monotonic() < started + PATIENCE, pool.workers()
    return time.monotonic() - started


def where_actors_come_from() -> str:
    """The file of the package that workers on other machines import, here where the project is installed as well."""
    import ray

    def file() -> str:
        import actors

        return str(actors.__file__)

    return str(ray.get(ray.remote(num_cpus=1)(file).remote(), timeout=PATIENCE))


def what_a_silent_driver_leaves(pool: Pool) -> list[int]:
    """How many workers the cluster is asked for: by one driver, by two, by the one that is still heard of, and by none."""
    from orchestrator.pool import ray_demand
    from orchestrator.pool.ray_nodes import Need

    ray_demand.SILENT_SECONDS, usual = 3.0, ray_demand.SILENT_SECONDS
    other = ray_demand.Demand()
    pool.wants({A100: 5})
    wait_for_requests(5)
    for _ in range(12):  # twice as long as a driver may be silent
        pool.wants({A100: 5})
        other.ask({Need(1.0): 2}, None)
        time.sleep(0.5)
    sizes = [wait_for_requests(7)]
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        other.ask({Need(1.0): 2}, None)
        time.sleep(0.5)
    sizes.append(wait_for_requests(2))
    sizes.append(wait_for_requests(0))
    ray_demand.SILENT_SECONDS = usual
    return sizes


def wait_for_requests(count: int) -> int:
    """Until the cluster is asked for so many workers."""
    from tests.orchestrator.pool.on_a_growing_cluster import requested

    ends = time.monotonic() + PATIENCE
    while len(requested()) != count:
        assert time.monotonic() < ends, requested()
        time.sleep(0.2)
    return count


def what_a_head_that_hangs_does(pool: Pool, worker: str, cluster: Any) -> list[object]:
    """Stopped, its connections open: whether what a worker tells still arrives, and whether the end comes in time, in words."""
    from orchestrator.pool import ray_head

    usual = ray_head.LOOK_SECONDS, ray_head.LOST_SECONDS
    ray_head.LOOK_SECONDS, ray_head.LOST_SECONDS = 0.5, 6.0
    store = cluster.head_node.all_processes["gcs_server"][0].process
    pool.next_event(8.0)  # as long as the last look of before may take
    store.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        arrived = len(run(pool, worker, generate("hello")))
        while True:
            pool.next_event(1.0)
            assert time.monotonic() < stopped + PATIENCE, "nobody notices"
    except PoolLostError as error:
        return [arrived >= 2, time.monotonic() - stopped < 60, str(error), pool.next_event(0) is None]
    finally:
        store.send_signal(signal.SIGCONT)
        ray_head.LOOK_SECONDS, ray_head.LOST_SECONDS = usual


def seen_on_the_way(quick: bool) -> dict[str, object]:
    """Nodes of two kinds, one joins, one is killed under its workers."""
    from orchestrator.pool import POOLS, ray_actor

    seen: dict[str, object] = {}
    with cluster_of_two(quick) as (cluster, first):
        pool = POOLS["ray"](PoolOptions(resources=(A100, L4, ON_CPUS), worker="tests.fakes:FakeWorker"))
        seen["actors come from"] = where_actors_come_from()
        seen["asked for by two drivers"] = what_a_silent_driver_leaves(pool)
        seen["one kind"] = [len(pool.workers()), pool.capacity(A100), pool.capacity(L4), pool.capacity(ON_CPUS)]

        add(cluster, cpus=2, accelerator="L4", gpus=1)
        seen["seconds until the new node is used"] = wait_for_workers(pool, 5)
        seen["two kinds"] = [len(pool.workers()), pool.capacity(A100), pool.capacity(L4)]
        names = list(pool.workers())
        kinds = [A100, A100, L4, ON_CPUS, ON_CPUS]
        for name, resources in zip(names, kinds, strict=True):
            pool.submit(name, load(resources))
        ended = until_done(pool, *names)
        seen["all stand at once"] = [isinstance(_of(ended[name][0]), ModelInfo) for name in names]

        for name in names[3:]:
            pool.release(name)
        failing = load(ON_CPUS, f"[first machine fails {os.environ['RAY_TMPDIR']}/full]")
        failed = run(pool, names[3], failing)[0]
        assert isinstance(failed, WorkerGave), failed
        assert isinstance(failed.outcome, Failure), failed
        again = run(pool, names[3], replace(failing, avoid=frozenset({failed.machine})))[0]
        elsewhere = isinstance(_of(again), ModelInfo)
        seen["a load elsewhere"] = [bool(failed.machine), bool(failed.host), failed.outcome.kind, elsewhere]
        pool.release(names[3])
        for name in names[3:]:
            run(pool, name, load(ON_CPUS))

        ray_actor.START_SECONDS = 3.0
        lost = run(pool, "worker-9", load(A100))[-1]
        assert isinstance(lost, WorkerLost)
        seen["without room"] = [lost.placed, lost.machine, lost.message]
        ray_actor.START_SECONDS = 120.0

        held = Path(os.environ["RAY_TMPDIR"], "held")
        pool.submit(names[0], generate(f"[wait {held}]"))
        pool.submit(names[1], load(A100, f"[wait {held}]"))
        time.sleep(1.0)
        killed = time.monotonic()
        cluster.remove_node(first, allow_graceful=False)
        gone: dict[str, WorkerLost] = {}
        while len(gone) < 3:  # one that generates, one that loads, and an idle one on the cores
            event = pool.next_event(0.5)
            if isinstance(event, WorkerLost):
                gone[event.worker] = event
            assert time.monotonic() < killed + PATIENCE, gone
        seen["seconds until the loss is told"] = time.monotonic() - killed
        seen["lost with the machine"] = {name: bool(event.machine) for name, event in gone.items()}
        seen["why"] = {name: event.message for name, event in gone.items()}
        seen["seconds until names are dropped"] = wait_for_workers(pool, 2)
        seen["left"] = [len(pool.workers()), pool.capacity(A100), pool.capacity(L4)]
        survivor = next(name for name in pool.workers() if name == names[2])
        seen["the survivor works on"] = len(run(pool, survivor, generate("hello")))
        seen["a head that hangs"] = what_a_head_that_hangs_does(pool, survivor, cluster)
        pool.close()
    return seen


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(seen_on_the_way("default" not in sys.argv[2:])), encoding="utf-8")
