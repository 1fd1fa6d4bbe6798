"""A Ray cluster of several nodes on this machine, in a process of its own: drivers come and go, it stays.

Obeys one JSON object per line on stdin, answers with one on stdout, and ends, with everything that it started, when stdin does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster

OBJECT_STORE_BYTES = 80 * 2**20
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 3000,
    "health_check_failure_threshold": 4,
    "worker_niceness": 0,
}
"""A dead node is noticed within seconds; a busy machine neither makes one look dead nor starves its workers."""

Answer = dict[str, object]


class Nodes:
    """The cluster: a head that holds no worker, and nodes with one core each, numbered as they join."""

    def __init__(self) -> None:
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES, "_system_config": QUICK}
        self._cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        self._nodes: dict[int, Node] = {}
        self._joined = 0

    def about(self) -> Answer:
        """Its address, its nodes, and the worker processes on each."""
        workers = {number: [one.pid for one in _workers(node)] for number, node in self._nodes.items()}
        return {"address": self._cluster.address, "nodes": workers}

    def add(self) -> Answer:
        """Another machine joins, with a disk of its own: what one machine unpacks or removes is no other's."""
        self._joined += 1
        disk = f"{os.environ['RAY_TMPDIR']}/{self._joined}"
        node = self._cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES, temp_dir=disk)
        self._nodes[self._joined] = node
        return {"node": self._joined}

    def kill(self, number: int) -> Answer:
        """The machine is gone from one moment to the next, with every process on it."""
        node = self._nodes.pop(number)
        victims = [one for process in _raylets(node) for one in (process, *process.children(recursive=True))]
        killed = [one.pid for one in _workers(node)]
        for victim in victims:
            _kill(victim)
        self._cluster.remove_node(node, allow_graceful=False)
        return {"workers": killed}

    def close(self) -> None:
        """Stop everything."""
        self._cluster.shutdown()


def _raylets(node: Node) -> list[psutil.Process]:
    return [psutil.Process(one.process.pid) for one in node.all_processes["raylet"] if psutil.pid_exists(one.process.pid)]


def _workers(node: Node) -> list[psutil.Process]:
    """The actors of a node: Ray gives their processes this name."""
    found = [child for raylet in _raylets(node) for child in raylet.children(recursive=True)]
    return [one for one in found if _title(one).startswith("ray::RemoteWorker")]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def serve() -> None:
    """Obey until stdin ends."""
    nodes = Nodes()
    try:
        print(json.dumps(nodes.about()), flush=True)
        for line in sys.stdin:
            print(json.dumps(_obey(nodes, json.loads(line))), flush=True)
    finally:
        nodes.close()
        shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


def _obey(nodes: Nodes, asked: Mapping[str, object]) -> Answer:
    does: dict[str, Callable[[], Answer]] = {
        "about": nodes.about,
        "add": nodes.add,
        "kill": lambda: nodes.kill(int(str(asked["node"]))),
    }
    return does[str(asked["do"])]()


if __name__ == "__main__":
    serve()
