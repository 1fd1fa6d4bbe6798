"""What the Ray pool tells and when: fairness, waiting, actors without room, machines that go. Over a fake Ray."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import ray.exceptions

from actors.remarks import Remark
from actors.types import Failure, Resources
from orchestrator.errors import InputError
from orchestrator.pool import TaskDone, WorkerGave, WorkerLost
from orchestrator.pool.ray_actor import DOUBT_SECONDS, START_SECONDS
from tests.orchestrator.pool.fake_ray import FakeRay, fake, joining_pool, pool_of
from tests.orchestrator.pool.on_a_cluster import A100, L4, generate, load

__all__ = ["fake"]

GPU = {"resources": (A100,)}
UNREACHABLE = ray.exceptions.ActorUnavailableError("socket closed", b"0" * 16)


def failure(text: str) -> Failure:
    return Failure("cell", "job", text, "")


def test_each_worker_has_its_turn_however_much_one_has_to_tell(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    names = pool.workers()
    for name in names:
        pool.submit(name, load(A100))
    for actor in fake.actors:
        actor.start_on("m1")
        actor.stream.answers = [failure(str(number)) for number in range(3)]
        actor.stream.ended = True
    told = [pool.next_event(1.0) for _ in range(4 * len(names))]
    for round_, start in enumerate(range(0, len(told), len(names))):
        events = told[start : start + len(names)]
        assert {event.worker for event in events if event is not None} == set(names), f"round {round_}"
    assert all(isinstance(event, WorkerGave) for event in told[: 3 * len(names)])
    assert all(isinstance(event, TaskDone) for event in told[-len(names) :])
    assert pool.next_event(0) is None


def test_the_number_of_waits_does_not_grow_with_the_workers(fake: FakeRay) -> None:
    """64 workers that all have something to tell cost two looks at the streams for 64 events, not one each."""
    fake.machines["m1"] = {"CPU": 96.0, "GPU": 64.0, "accelerator_type:A100": 1.0}
    pool = pool_of(**GPU)
    names = pool.workers()
    assert len(names) == 64
    for name in names:
        pool.submit(name, load(A100))
    for actor in fake.actors:
        actor.start_on("m1")
        actor.stream.answers = [failure(str(number)) for number in range(10)]
    told: Counter[str] = Counter()
    while (event := pool.next_event(0)) is not None:
        told[event.worker] += 1
    assert told == Counter(dict.fromkeys(names, 10))
    assert len(fake.waits) <= 2 * 10 + 1


def test_without_a_task_time_is_waited_out_not_spun_away(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    assert pool.next_event(0) is None
    assert pool.next_event(None) is None
    assert fake.slept == 0
    assert pool.next_event(2.0) is None
    assert 0 < fake.slept <= 2.0


def test_a_wait_lasts_as_long_as_it_may(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    before = fake.now
    assert pool.next_event(17.0) is None
    assert fake.now == pytest.approx(before + 17.0)


def test_an_actor_that_finds_no_room_is_given_up_and_its_name_is_free_again(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    before = fake.now
    lost = pool.next_event(None)
    assert isinstance(lost, WorkerLost)
    assert (lost.worker, lost.placed, lost.machine) == ("worker-1", False, "")
    assert "no machine had room for 1 CPUs and 1 A100 GPUs" in lost.message
    assert START_SECONDS <= fake.now - before < START_SECONDS + 10
    assert fake.actors[0].killed
    pool.submit("worker-1", load(A100))
    assert len(fake.actors) == 2


def test_a_worker_that_holds_no_model_takes_no_other_task(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    with pytest.raises(RuntimeError, match="no model"):
        pool.submit("worker-1", generate("hello"))
    assert len(pool.workers()) == 8


def test_a_token_goes_to_the_worker_in_its_setup_and_nowhere_else(fake: FakeRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_the_driver")
    monkeypatch.setenv("WANDB_API_KEY", "key_of_the_driver")
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    (actor,) = fake.actors
    assert actor.setup.environment["HF_TOKEN"] == "hf_token_of_the_driver"
    for shown in (
        str(actor.setup),
        str(actor.resources),
        str(actor.stream.task),
        str(dict(actor.setup.environment, HF_TOKEN="")),
    ):
        assert "of_the_driver" not in shown


def test_one_that_has_started_may_load_for_as_long_as_it_takes(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    assert pool.next_event(10 * START_SECONDS) is None
    assert not fake.actors[0].killed


def test_a_second_model_of_the_same_size_goes_to_the_same_actor_and_another_size_to_another(fake: FakeRay) -> None:
    pool = pool_of(resources=(A100, Resources(2, accelerator="A100")))
    for resources, actors in ((A100, 1), (A100, 1), (Resources(2, accelerator="A100"), 2)):
        pool.submit("worker-1", load(resources))
        fake.actors[-1].start_on("m1")
        fake.actors[-1].stream.ended = True
        assert isinstance(pool.next_event(1.0), TaskDone)
        assert len(fake.actors) == actors
    assert [actor.killed for actor in fake.actors] == [True, False]
    assert fake.actors[1].resources == {"num_cpus": 1.0, "num_gpus": 2, "accelerator_type": "A100"}


def test_a_lost_machine_takes_its_idle_workers_one_by_one_and_their_names(fake: FakeRay) -> None:
    fake.machines["m2"] = dict(fake.machines["m1"])
    pool = pool_of(**GPU)
    for number, name in enumerate(pool.workers()[:4]):
        pool.submit(name, load(A100))
        fake.actors[-1].start_on("m1" if number < 2 else "m2")
        fake.actors[-1].stream.ended = True
    assert [type(pool.next_event(1.0)) for _ in range(4)] == [TaskDone] * 4
    del fake.machines["m1"]
    fake.now += 10
    lost = [pool.next_event(0), pool.next_event(0)]
    assert {(one.worker, one.machine) for one in lost if isinstance(one, WorkerLost)} == {("worker-1", "m1"), ("worker-2", "m1")}
    assert pool.next_event(0) is None
    names = pool.workers()
    assert len(names) == 8
    assert {"worker-3", "worker-4"} <= set(names), "those that live keep their names"


def test_work_for_an_actor_that_cannot_be_reached_is_lost_at_once(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    fake.actors[0].stream.ended = True
    assert isinstance(pool.next_event(1.0), TaskDone)
    pool.submit("worker-1", generate("hello"))
    fake.actors[0].stream.answers = [UNREACHABLE]
    lost = pool.next_event(1.0)
    assert isinstance(lost, WorkerLost)
    assert (lost.placed, lost.machine) == (True, "")
    assert fake.actors[0].killed, "it may yet hold a GPU"


def loading_and_out_of_reach(fake: FakeRay) -> object:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    assert pool.next_event(0) is None
    fake.actors[0].stream.answers = [UNREACHABLE]
    fake.actors[0].where = UNREACHABLE
    assert pool.next_event(0) is None
    with pytest.raises(RuntimeError, match="busy"):
        pool.submit("worker-1", load(A100))
    return pool


def test_a_load_that_breaks_off_is_put_down_to_the_machine_when_that_is_gone(fake: FakeRay) -> None:
    pool = loading_and_out_of_reach(fake)
    assert pool.next_event(12.0) is None  # type: ignore[attr-defined]
    del fake.machines["m1"]
    lost = pool.next_event(12.0)  # type: ignore[attr-defined]
    assert (lost.machine, lost.placed) == ("m1", True)


@pytest.mark.parametrize("answer", [ray.exceptions.ActorDiedError(), "m1"])
def test_and_to_the_worker_when_ray_says_that_it_died_or_it_answers_again(fake: FakeRay, answer: object) -> None:
    pool = loading_and_out_of_reach(fake)
    fake.actors[0].where = answer
    before = fake.now
    lost = pool.next_event(60.0)  # type: ignore[attr-defined]
    assert (lost.worker, lost.machine, lost.placed) == ("worker-1", "", True)
    assert fake.now - before < 10
    assert fake.actors[0].killed


def test_and_to_the_worker_when_nothing_is_heard_of_either(fake: FakeRay) -> None:
    pool = loading_and_out_of_reach(fake)
    before = fake.now
    lost = pool.next_event(None)  # type: ignore[attr-defined]
    assert (lost.machine, lost.placed) == ("", True)
    assert DOUBT_SECONDS <= fake.now - before < DOUBT_SECONDS + 10


def test_an_actor_that_was_put_on_a_machine_that_was_dead_already_went_with_it(fake: FakeRay) -> None:
    """Ray takes up to 20 s to find out; until then it may choose that machine for those that are to replace its workers."""
    fake.machines["m2"] = dict(fake.machines["m1"])
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    assert pool.next_event(12.0) is None
    del fake.machines["m1"]
    fake.actors[0].stream.answers = [ray.exceptions.ActorDiedError()]
    lost = pool.next_event(1.0)
    assert isinstance(lost, WorkerLost)
    assert (lost.machine, lost.placed) == ("m1", True)
    pool.submit("worker-1", load(A100))
    fake.actors[1].stream.answers = [ray.exceptions.ActorDiedError()]
    again = pool.next_event(1.0)
    assert isinstance(again, WorkerLost)
    assert again.machine == "", "this time no machine has gone"


def test_what_a_worker_logs_is_told_like_the_rest(fake: FakeRay) -> None:
    pool = pool_of(**GPU)
    pool.submit("worker-1", load(A100))
    fake.actors[0].stream.answers = [Remark("WARNING", "actors", "hello", 0.0), failure("x")]
    remark = Remark("WARNING", "actors", "hello", 0.0)
    assert pool.next_event(1.0) == WorkerGave("worker-1", remark)
    assert pool.next_event(1.0) == WorkerGave("worker-1", failure("x"))


def test_a_failed_load_names_its_machine_and_the_next_starts_on_another(fake: FakeRay) -> None:
    fake.machines["m2"] = dict(fake.machines["m1"])
    pool = pool_of(**GPU)
    assert (pool.capacity(A100), pool.capacity(A100, {"m1"}), pool.capacity(A100, {"m1", "m2"})) == (16, 8, 0)
    pool.submit("worker-1", load(A100))
    fake.actors[0].start_on("m1")
    fake.actors[0].stream.answers, fake.actors[0].stream.ended = [failure("x")], True
    assert pool.next_event(1.0) == WorkerGave("worker-1", failure("x"), "m1", "host-m1")
    assert pool.next_event(1.0) == TaskDone("worker-1")
    pool.submit("worker-1", replace(load(A100), avoid=frozenset({"m1", "m0"})))
    assert fake.actors[0].killed, "it stands on a machine to avoid"
    assert fake.actors[1].resources["label_selector"] == {"ray.io/node-id": "!in(m0, m1)"}
    fake.actors[1].start_on("m2")
    fake.actors[1].stream.ended = True
    assert pool.next_event(1.0) == TaskDone("worker-1")
    pool.submit("worker-1", replace(load(A100), avoid=frozenset({"m1"})))
    assert not fake.actors[1].killed, "it stands elsewhere"


def test_names_follow_the_machines_over_all_kinds(fake: FakeRay) -> None:
    pool = joining_pool(fake, resources=(A100, L4, Resources()))
    assert len(pool.workers()) == 8 + 11, "eight GPUs with a core each, the others in shares of eight"
    fake.machines["m2"] = {"CPU": 4.0, "GPU": 4.0, "accelerator_type:L4": 1.0}
    assert len(pool.workers()) == 8 + 11, "as of five seconds ago"
    fake.now += 6
    assert len(pool.workers()) == 8 + 11 + 4
    fake.machines.clear()
    fake.now += 6
    assert pool.workers() == ("worker-1",), "one waits for whatever comes"


def test_no_more_names_than_were_asked_for_or_fit(fake: FakeRay) -> None:
    assert len(pool_of(**GPU, workers=3).workers()) == 3
    assert len(pool_of(**GPU, workers=30).workers()) == 8


def test_a_machine_on_its_own_refuses_what_it_can_never_hold(fake: FakeRay) -> None:
    with pytest.raises(InputError, match="no machine here holds a worker of 1 CPUs and 1 L4 GPUs"):
        pool_of(resources=(A100, L4))
