"""What a cluster is asked for: only what changed, bounded, taken back. Over a fake Ray and a fake autoscaler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import pytest
import ray.exceptions

from actors import remote
from actors.remote import DemandBook
from actors.types import Resources
from orchestrator.pool import ray_demand
from orchestrator.pool.ray_demand import MOST_WORKERS, SILENT_SECONDS, Demand
from orchestrator.pool.ray_nodes import Need
from tests.orchestrator.pool.fake_ray import FakeRay, fake, joining_pool, pool_of
from tests.orchestrator.pool.on_a_cluster import A100, L4

__all__ = ["fake"]

Bundles = Sequence[Mapping[str, float]]
ONE_A100 = {"CPU": 1.0, "GPU": 1.0, "accelerator_type:A100": 0.001}
ONE_L4 = {"CPU": 1.0, "GPU": 1.0, "accelerator_type:L4": 0.001}


class Autoscaler(list[Bundles]):
    """Every request that reached it, by way of one book for all drivers. ``out_of_reach``: the book cannot be found; ``dead``: it
    has ended; ``now``: seconds."""

    def __init__(self) -> None:
        self.now = 0.0
        self.out_of_reach = self.dead = False
        self.books: list[DemandBook] = []
        self.killed: list[object] = []
        self.ask = self  # as an actor's method
        self.leave = SimpleNamespace(remote=lambda driver: self.books[-1].leave(driver))

    def request_resources(self, bundles: Bundles) -> None:
        self.append(bundles)

    def find(self, seconds: float) -> Autoscaler:
        if self.out_of_reach:
            raise ray.exceptions.RaySystemError("no answer")
        if self.dead or not self.books:
            self.books.append(DemandBook(seconds))
            self.dead = False
        return self

    def remote(self, driver: str, bundles: list[dict[str, float]]) -> Exception | None:
        if self.dead:
            return ray.exceptions.ActorDiedError()
        self.books[-1].ask(driver, bundles)
        return None

    def wait(self, refs: Sequence[object], timeout: float) -> tuple[Sequence[object], list[object]]:
        return refs, []

    def get(self, answer: Exception | bool | None, timeout: float | None = None) -> bool:
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Autoscaler:
    """A fake autoscaler with the real book before it, whose own thread does nothing."""
    made = Autoscaler()
    monkeypatch.setattr(DemandBook, "_watch", lambda self: None)
    monkeypatch.setattr(remote, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr("ray.autoscaler.sdk.request_resources", made.request_resources)
    monkeypatch.setattr(ray_demand, "demand_book", made.find)
    monkeypatch.setattr(
        ray_demand, "ray", SimpleNamespace(wait=made.wait, get=made.get, kill=made.killed.append, exceptions=ray.exceptions)
    )
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


def test_two_drivers_get_the_sum_and_neither_takes_from_the_other(asked: Autoscaler) -> None:
    first, second = Demand(), Demand()
    first.ask({Need(1.0): 2}, None)
    second.ask({Need(4.0): 1}, None)
    assert sorted(one["CPU"] for one in asked[-1]) == [1, 1, 4]
    first.ask({Need(1.0): 1}, None)
    assert sorted(one["CPU"] for one in asked[-1]) == [1, 4]
    second.take_back()
    assert (asked[-1], asked.killed) == ([{"CPU": 1.0}], [])
    first.take_back()
    assert (asked[-1], asked.killed) == ([], [asked])
    assert len(asked.books) == 1


def test_a_driver_that_is_silent_is_struck_out_and_the_other_keeps_what_it_asked_for(asked: Autoscaler) -> None:
    dead, living = Demand(), Demand()
    dead.ask({Need(1.0): 5}, None)
    for _ in range(7):
        asked.now += SILENT_SECONDS / 6
        living.ask({Need(4.0): 1}, None)
        asked.books[-1].strike_out()
    assert asked[-1] == [{"CPU": 4.0}]
    dead.ask({Need(1.0): 5}, None)
    assert len(asked[-1]) == 6, "it was only paused"


def test_a_book_that_has_ended_is_begun_anew(asked: Autoscaler) -> None:
    demand = Demand()
    demand.ask({}, None)
    assert asked.books == [], "there is nothing to write down"
    demand.ask({Need(1.0): 1}, None)
    asked.dead = True
    for _ in range(2):
        demand.ask({Need(1.0): 1}, None)  # the first of them is lost, and by the second that is known
    assert asked == [[{"CPU": 1.0}]] * 2
    assert len(asked.books) == 2
