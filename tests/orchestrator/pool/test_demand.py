"""What a cluster is asked for: only what changed, bounded, taken back. Over a fake Ray and a fake autoscaler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest
import ray.exceptions

from actors.types import Resources
from orchestrator.pool import ray_demand
from orchestrator.pool.ray_demand import GUARD_SECONDS, MOST_WORKERS, Demand
from orchestrator.pool.ray_nodes import Need
from tests.orchestrator.pool.fake_ray import FakeRay, fake, joining_pool, pool_of
from tests.orchestrator.pool.on_a_cluster import A100, L4

__all__ = ["fake"]

Bundles = Sequence[Mapping[str, float]]
ONE_A100 = {"CPU": 1.0, "GPU": 1.0, "accelerator_type:A100": 0.001}
ONE_L4 = {"CPU": 1.0, "GPU": 1.0, "accelerator_type:L4": 0.001}


class Guard:
    """How often it heard of the driver."""

    def __init__(self) -> None:
        self.heard = 0
        self.hear = self

    def remote(self) -> None:
        self.heard += 1


class Autoscaler(list[Bundles]):
    """Every request that reached it. ``guards``: those that were started; ``now``: seconds; ``out_of_reach``: no answer."""

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self.killed: list[Guard] = []
        self.now = 0.0
        self.out_of_reach = False

    def request(self, bundles: Bundles) -> None:
        if self.out_of_reach:
            raise ray.exceptions.RaySystemError("no answer")
        self.append(bundles)

    def guard(self, seconds: float) -> Guard:
        self.guards.append(Guard())
        return self.guards[-1]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Autoscaler:
    """A fake autoscaler."""
    made = Autoscaler()
    monkeypatch.setattr(ray_demand, "_request", made.request)
    monkeypatch.setattr(ray_demand, "guard_demand", made.guard)
    monkeypatch.setattr(ray_demand, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(ray_demand, "ray", SimpleNamespace(kill=made.killed.append, exceptions=ray.exceptions))
    return made


def test_a_joined_cluster_is_asked_for_what_the_work_could_use_and_only_when_that_changes(
    fake: FakeRay, asked: Autoscaler
) -> None:
    pool = joining_pool(fake, resources=(A100, L4))
    pool.wants({A100: 2, L4: 1})
    pool.wants({L4: 1, A100: 2})
    assert asked == [[ONE_A100, ONE_A100, ONE_L4]]
    pool.wants({A100: 1})
    pool.wants({})
    pool.wants({})
    assert asked[1:] == [[ONE_A100], []]
    pool.close()
    assert len(asked) == 3, "nothing is left to take back"


def test_what_was_asked_is_taken_back_at_the_end(fake: FakeRay, asked: Autoscaler) -> None:
    pool = joining_pool(fake, resources=(A100,))
    pool.wants({A100: 1})
    pool.close()
    pool.close()
    assert asked == [[ONE_A100], []]


def test_no_more_than_the_workers_that_were_asked_for_of_each_kind_some(fake: FakeRay, asked: Autoscaler) -> None:
    joining_pool(fake, resources=(A100, L4), workers=3).wants({A100: 90, L4: 5})
    assert asked == [[ONE_A100, ONE_A100, ONE_L4]]


def test_a_ray_of_our_own_is_not_asked_to_grow(fake: FakeRay, asked: Autoscaler) -> None:
    pool = pool_of(resources=(A100,))
    pool.wants({A100: 100})
    pool.close()
    assert asked == []


def test_models_on_cores_ask_for_the_share_that_they_would_get(fake: FakeRay, asked: Autoscaler) -> None:
    joining_pool(fake, resources=(Resources(),)).wants({Resources(): 2})
    assert asked == [[{"CPU": 8.0}, {"CPU": 8.0}]]


def test_a_request_that_does_not_arrive_is_told_and_made_again(asked: Autoscaler, caplog: pytest.LogCaptureFixture) -> None:
    demand = Demand()
    asked.out_of_reach = True
    demand.ask({Need(1.0, 1.0): 1}, None)
    assert "could not be asked for 1 workers" in caplog.text
    asked.out_of_reach = False
    for _ in range(2):
        demand.ask({Need(1.0, 1.0): 1}, None)
    assert len(asked) == 1


def test_a_demand_beyond_measure_is_cut(asked: Autoscaler) -> None:
    Demand().ask({Need(1.0, 1.0): 10**6}, None)
    assert [len(bundles) for bundles in asked] == [MOST_WORKERS]


def test_a_guard_hears_of_the_driver_as_long_as_something_is_asked_for(asked: Autoscaler) -> None:
    demand = Demand()
    demand.ask({}, None)
    assert asked.guards == [], "there is nothing to take back"
    for _ in range(5):
        demand.ask({Need(1.0): 1}, None)
        asked.now += 10
    (guard,) = asked.guards
    assert guard.heard == 5
    demand.take_back()
    assert asked.killed == [guard]


def test_after_a_long_pause_it_is_asked_for_again(asked: Autoscaler) -> None:
    """The guard has taken the driver for dead."""
    demand = Demand()
    demand.ask({Need(1.0): 1}, None)
    asked.now += 2 * GUARD_SECONDS
    demand.ask({Need(1.0): 1}, None)
    assert asked == [[{"CPU": 1.0}]] * 2
    assert len(asked.guards) == 2
