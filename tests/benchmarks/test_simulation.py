"""The simulation's own arithmetic, and a small run of the real scheduler against its targets, in virtual time."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.boundary import Extract, Load
from actors.types import Resources
from benchmarks.simulation import Outcome, Scenario, app, scenarios, simulate, verdict
from benchmarks.simulation_bound import path_bound, volume_bound, work_of
from benchmarks.simulation_cluster import Cluster, SimulatedPool
from benchmarks.simulation_workload import SIZES, Size, Workload, make_workload
from orchestrator.cells import variant_id
from orchestrator.pool import TaskDone, WorkerGave, WorkerLost
from orchestrator.scheduling.jobs import extraction_job

SMALL = {one.name: one for one in scenarios(2000, 50)}


@pytest.fixture(scope="module")
def undisturbed() -> Outcome:
    return simulate(SMALL["nothing fails"])


def test_a_small_cluster_is_used_to_within_the_target(undisturbed: Outcome) -> None:
    assert 1.0 <= undisturbed.ratio <= 1.08, "1.05 at 1,000 GPUs; with 40 cells for each GPU the last ones weigh more"
    assert undisturbed.done == undisturbed.planned
    assert (undisturbed.failures, undisturbed.written_twice, undisturbed.deaths) == (0, 0, 0)


def test_the_same_seed_gives_the_same_run(undisturbed: Outcome) -> None:
    again = simulate(SMALL["nothing fails"])
    assert (again.makespan, again.loads) == (undisturbed.makespan, undisturbed.loads)


def test_dying_machines_cost_little_and_lose_nothing() -> None:
    calm = SMALL["nothing fails"]
    outcome = simulate(replace(calm, cluster=replace(calm.cluster, deaths_per_hour=1.0)))
    assert outcome.deaths > 10
    assert outcome.ratio <= 1.15, "twelve of fifty die, each for two minutes"
    assert outcome.done == outcome.planned
    assert (outcome.failures, outcome.written_twice) == (0, 0)


def test_machines_that_join_are_used() -> None:
    scenario = SMALL["half of the GPUs join over 10 min"]
    few = replace(scenario, cluster=replace(scenario.cluster, joining={}))
    assert simulate(scenario).makespan < 0.75 * simulate(few).makespan


def test_on_one_gpu_every_variant_is_loaded_once() -> None:
    outcome = simulate(replace(SMALL["one GPU"], cells=100))
    assert set(outcome.loads.values()) - {0} == {1}
    assert outcome.ratio < 1.05


def one_model(cells: int, billions: float = 7.0) -> Workload:
    return make_workload(cells, 0, sizes=(Size(billions, 28, 64, "L40S"),))


def test_the_volume_bound_of_one_gpu_is_its_loads_and_its_work() -> None:
    workload = one_model(30)
    expected = sum(work_of(workload).values()) + sum(workload.loads.values())
    assert volume_bound(workload, "L40S", 1.0) == pytest.approx(expected, abs=0.01)
    assert volume_bound(workload, "A100-80G", 1.0) == pytest.approx(0, abs=1e-2), "nothing runs there"


def test_the_volume_bound_counts_a_load_for_every_gpu_that_is_needed() -> None:
    """One variant on many equal GPUs, work a multiple of what each can do: each loads once and works for the rest."""
    workload = one_model(300)
    variant = workload.plan.models[0].variant
    alone = replace(workload, plan=replace(workload.plan, models=workload.plan.models[:1]))
    assert volume_bound(alone, "L40S", 10.0) == pytest.approx(workload.loads[variant] + work_of(workload)[variant] / 10, abs=0.01)


def test_the_path_bound_is_the_longest_chain() -> None:
    workload = one_model(60)
    cells = workload.plan.cells
    longest = replace(workload, seconds={**workload.seconds, cells[-1].id: 5000.0})
    steering = cells[-1].steering
    assert steering is not None
    chain = workload.loads[variant_id(cells[-1].target)] + workload.seconds[steering.direction.id] + 5000
    assert path_bound(longest) == pytest.approx(chain)


def test_the_work_is_that_of_the_plan() -> None:
    workload = make_workload(240, 3)
    assert len(workload.plan.cells) == 240
    assert len({cell.id for cell in workload.plan.cells}) == 240
    assert sum(work_of(workload).values()) == pytest.approx(sum(workload.seconds.values()))
    assert {model.resources.accelerator for model in workload.plan.models} == {size.accelerator for size in SIZES}


def test_transfers_take_their_direction_from_another_variant() -> None:
    cells = make_workload(1000, 0, transfer=True).plan.cells
    assert 0.05 < sum(cell.is_transfer for cell in cells) / len(cells) < 0.15


class TestCluster:
    """The pool in virtual time keeps the promises of a pool."""

    @pytest.fixture
    def workload(self) -> Workload:
        return one_model(60)

    def load(self, workload: Workload, number: int = 0) -> Load:
        model = workload.plan.models[number]
        return Load(model.variant, model.spec, workload.plan.engine, model.resources)

    def test_time_passes_only_as_long_as_things_take(self, workload: Workload) -> None:
        pool = SimulatedPool(workload, Cluster({"L40S": 1}, slow_share=0), 0)
        assert pool.workers() == ("worker-1",)
        assert pool.capacity(Resources(gpus=1, accelerator="L40S")) == 1
        assert pool.next_event(2.0) is None
        assert pool.now == 2.0
        pool.submit("worker-1", self.load(workload))
        model = workload.plan.models[0].variant
        assert pool.next_event(None) == WorkerGave("worker-1", workload.infos[model])
        assert pool.now == pytest.approx(2.0 + workload.loads[workload.plan.models[0].variant])
        assert pool.next_event(0) == TaskDone("worker-1")
        spec = workload.plan.directions[0]
        pool.submit("worker-1", Extract(extraction_job(spec)))
        before = pool.now
        pool.next_event(None)
        assert pool.now - before == pytest.approx(workload.seconds[spec.id])

    def test_a_load_waits_for_a_gpu_of_its_kind(self, workload: Workload) -> None:
        pool = SimulatedPool(workload, Cluster({"L40S": 1}, slow_share=0), 0)
        pool.submit("worker-1", self.load(workload))
        pool.submit("worker-2", self.load(workload, 1))
        events = [pool.next_event(500), pool.next_event(500), pool.next_event(500)]
        assert [None if event is None else event.worker for event in events] == ["worker-1", "worker-1", None]
        pool.release("worker-1")
        event = pool.next_event(500)
        assert event == WorkerGave("worker-2", workload.infos[workload.plan.models[1].variant])

    def test_a_dead_gpu_takes_its_task_along_and_is_replaced(self, workload: Workload) -> None:
        pool = SimulatedPool(workload, Cluster({"L40S": 1}, deaths_per_hour=1e6, replacement_seconds=50, slow_share=0), 0)
        pool.submit("worker-1", self.load(workload))
        event = pool.next_event(1.0)
        assert isinstance(event, WorkerLost)
        assert pool.capacity(Resources(gpus=1, accelerator="L40S")) == 0
        assert pool.next_event(40) is None, "what the dead one still had to say is not heard"


def test_the_verdict_names_what_was_missed(undisturbed: Outcome) -> None:
    strict = Scenario("x", 2000, Cluster({}), most=1.0)
    assert verdict(strict, undisturbed) == "missed (> 1.0)"
    assert verdict(replace(strict, most=None), undisturbed) == "-"
    assert "items" in verdict(strict, replace(undisturbed, done=1))
    assert "driver" in verdict(strict, replace(undisturbed, driver_seconds=1e9))


def test_the_command_prints_a_table_and_writes_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "simulation.json"
    result = CliRunner().invoke(app, ["--cells", "60", "--gpus", "4", "--only", "2", "--json", str(path)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "1 % of the GPUs die per hour" in result.output
    document = json.loads(path.read_text())
    assert (document["benchmark"], len(document["scenarios"])) == ("simulation", 1)
    assert document["scenarios"][0]["ratio"] >= 1.0
