"""What is sent to a worker: nothing of the driver's own, and nothing twice."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from actors.boundary import Extract, Generate
from actors.types import Direction, DirectionSet
from orchestrator.cells import Cell
from orchestrator.plan import Plan
from orchestrator.scheduling.jobs import extraction_job, generation_job, steering_of
from tests.orchestrator.sweep_files import hub, plan_of

WIDTH, LAYERS = 8, 28
FOUND = DirectionSet(
    tuple(Direction(layer, np.eye(1, WIDTH, dtype=np.float32)[0], 1.0) for layer in range(LAYERS)), (1.0,) * LAYERS
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Of a behavior whose prompts carry more in the driver than a worker is to know."""
    changes = {"models": {"small": hub("small", d_model=WIDTH)}, "layers": [9], "multipliers": [float(n) for n in range(1, 21)]}
    return plan_of(tmp_path_factory.mktemp("sweep"), **changes)


def generate(cells: Sequence[Cell]) -> Generate:
    found = {spec.id: FOUND for one in cells if one.steering is not None for spec in one.steering.directions}
    shared: dict[object, object] = {}
    return Generate(tuple(generation_job(one, steering_of(one, found, shared)) for one in cells))


def modules_in(sent: bytes) -> set[str]:
    """The modules that unpickling imports, read from the pickle's own instructions."""
    found: set[str] = set()
    strings: list[str] = []
    for code, argument, _ in pickletools.genops(sent):
        if code.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
            strings.append(str(argument))
        if code.name == "GLOBAL":
            found.add(str(argument).split()[0])
        if code.name == "STACK_GLOBAL":
            found |= {one for one in strings if one.split(".")[0] in sys.modules}
    return {one.split(".")[0] for one in found}


def test_a_task_needs_nothing_of_the_driver(plan: Plan) -> None:
    assert any(one.steering is not None for one in plan.cells)
    for task in (generate(plan.cells), Extract(extraction_job(plan.directions[0]))):
        assert "orchestrator" not in modules_in(pickle.dumps(task))


def test_a_worker_reads_a_task_where_the_driver_is_not_installed(plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "task").write_bytes(pickle.dumps(generate(plan.cells)))
    program = (
        "import pickle, sys; sys.modules['orchestrator'] = None; task = pickle.load(open(sys.argv[1], 'rb'));"
        "print(len(task.jobs), type(task.jobs[0].prompts[0]).__module__)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "task")]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert told.stdout.split() == [str(len(plan.cells)), "actors.types"]


def test_the_prompts_of_many_cells_are_sent_once(plan: Plan) -> None:
    one, many = (len(pickle.dumps(generate(plan.cells[1 : 1 + count]))) for count in (1, 20))
    texts = sum(len(prompt.text) for prompt in plan.cells[1].prompts)
    assert len(plan.cells[1].prompts) == 30
    assert many - one < 19 * texts / 4, "a cell more adds its id and its strength, not its prompts"
