"""What both pools promise, checked on both with the same tests (Ray is started once for all of them)."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import psutil
import pytest

from actors.boundary import Answered, Extract, Generate, Load, Outcome, Task
from actors.library_settings import AT_START
from actors.remarks import Remark
from actors.types import (
    Decoding,
    EngineOptions,
    ExtractionJob,
    Failure,
    GenerationJob,
    ModelInfo,
    ModelSpec,
    Prompt,
    Resources,
    Steering,
)
from actors.use import Use
from orchestrator.pool import POOLS, Pool, PoolLostError, PoolOptions, TaskDone, WorkerGave, WorkerLost
from tests.fakes import D_MODEL

OPTIONS = PoolOptions(worker="tests.fakes:FakeWorker")
SECRETS = {
    name: f"secret of {name}" for name in ("AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "HF_TOKEN", "RAY_REDIS_PASSWORD", "X")
}


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of our own with two CPUs and one pretended GPU for the whole session; pools leave it running."""
    from orchestrator.pool.ray_local import LocalRay

    with pytest.MonkeyPatch.context() as shell:
        for name, value in {**SECRETS, "WANTED": "by the sweep"}.items():
            shell.setenv(name, value)
        made = LocalRay(("WANTED",), num_cpus=2, num_gpus=1, object_store_memory=80 * 2**20)
    yield
    made.close()


@pytest.fixture(scope="module")
def held() -> Iterator[dict[str, Pool]]:
    """The pools that are open, by kind: a test that loads a model first need not wait for a new worker."""
    pools: dict[str, Pool] = {}
    yield pools
    close(pools)


def close(pools: dict[str, Pool]) -> None:
    while pools:
        pools.popitem()[1].close()


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def pool(request: pytest.FixtureRequest, held: dict[str, Pool]) -> Pool:
    """Each pool over fake workers, which other tests may have used."""
    if request.param == "ray":
        request.getfixturevalue("local_ray")
    if request.param not in held:
        held[request.param] = POOLS[request.param](OPTIONS)
    return held[request.param]


@pytest.fixture
def fresh_pool(pool: Pool, held: dict[str, Pool]) -> Iterator[Pool]:
    """Each pool, as it is made."""
    kind = next(kind for kind, one in held.items() if one is pool)
    close(held)
    made = POOLS[kind](OPTIONS)
    yield made
    made.close()


@pytest.fixture
def ray_pool(local_ray: None, held: dict[str, Pool]) -> Iterator[Callable[[PoolOptions], Pool]]:
    """Makes Ray pools with other options, beside which there is no other."""
    close(held)
    made: list[Pool] = []

    def make(options: PoolOptions) -> Pool:
        made.append(POOLS["ray"](options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def load(location: str = "fake", resources: Resources | None = None) -> Load:
    return Load(f"model-{location}", ModelSpec("folder", location), EngineOptions(), resources or Resources())


def job(cell_id: str, text: str = "hello", multiplier: float | None = None) -> GenerationJob:
    vectors = np.eye(2, D_MODEL, dtype=np.float32)
    steering = None if multiplier is None else Steering((1, 2), vectors, multiplier)
    return GenerationJob(cell_id, (Prompt("p1", text), Prompt("p2", "again")), Decoding(8), steering)


def until_done(pool: Pool) -> list[Outcome | TaskDone | WorkerLost]:
    """What the running task gives, and its end, but for what its worker uses."""
    return [one for one in all_until_done(pool) if not isinstance(one, Use)]


def all_until_done(pool: Pool) -> list[Outcome | TaskDone | WorkerLost]:
    """The same with what its worker uses, which may come at any time. All of it is of the first worker."""
    told: list[Outcome | TaskDone | WorkerLost] = []
    while not told or not isinstance(told[-1], TaskDone | WorkerLost):
        event = pool.next_event(60)
        assert event is not None, f"the task ended without TaskDone: {told}"
        assert event.worker in ("local", "worker-1")
        told.append(event.outcome if isinstance(event, WorkerGave) else event)
    return told


def run(pool: Pool, task: Task) -> list[Outcome | TaskDone | WorkerLost]:
    pool.submit(pool.workers()[0], task)
    return until_done(pool)


def test_load_extract_and_generate(pool: Pool) -> None:
    worker = pool.workers()[0]
    loaded, done = run(pool, load())
    assert isinstance(loaded, ModelInfo)
    assert loaded.d_model == D_MODEL
    assert done == TaskDone(worker)

    extracted, _ = run(pool, Extract(ExtractionJob("d1", (Prompt("h", "bad"),), (Prompt("g", "good"),), "dim")))
    assert isinstance(extracted, Answered)
    assert extracted.item_id == "d1"
    np.testing.assert_array_equal(extracted.content.at(3).vector, [1, 0, 0, 0])

    *cells, _ = run(pool, Generate((job("a"), job("b", multiplier=4.0))))
    assert [cell.content.cell_id for cell in cells if isinstance(cell, Answered)] == ["a", "b"]
    texts = [cell.content.responses[0].text for cell in cells if isinstance(cell, Answered)]
    assert texts[0].startswith("Of course")
    assert texts[1].startswith("I'm sorry")


def test_a_worker_says_what_it_uses_when_it_has_loaded(fresh_pool: Pool) -> None:
    worker = fresh_pool.workers()[0]
    fresh_pool.submit(worker, load())
    loaded, used, done = all_until_done(fresh_pool)
    assert isinstance(loaded, ModelInfo)
    assert isinstance(used, Use)
    assert done == TaskDone(worker)
    assert used.resident > 10 * 2**20, "an interpreter alone takes more"


def test_a_model_that_cannot_be_loaded_is_a_failure_of_its_variant(pool: Pool) -> None:
    failed, done = run(pool, load("broken"))
    assert isinstance(failed, Failure)
    assert (failed.item_id, failed.kind, failed.retryable) == ("model-broken", "model_load", False)
    assert "broken: no such model" in failed.message
    assert "ModelLoadError" in failed.traceback
    assert isinstance(done, TaskDone)
    assert isinstance(run(pool, load())[0], ModelInfo), "the worker must still be usable"


def test_one_failing_cell_leaves_the_others_alone(pool: Pool) -> None:
    run(pool, load())
    first, second, third, _ = run(pool, Generate((job("a"), job("b", "[job error]"), job("c"))))
    assert isinstance(first, Answered)
    assert isinstance(third, Answered)
    assert isinstance(second, Failure)
    assert (second.item_id, second.kind, second.retryable) == ("b", "job", False)


def test_an_error_that_ends_the_task_fails_what_is_open_and_may_be_retried(pool: Pool) -> None:
    run(pool, load())
    first, *failed, _ = run(pool, Generate((job("a"), job("b", "[raise]"), job("c"))))
    assert isinstance(first, Answered)
    failures = [one for one in failed if isinstance(one, Failure)]
    assert [(one.item_id, one.kind, one.retryable) for one in failures] == [
        ("b", "ZeroDivisionError", True),
        ("c", "ZeroDivisionError", True),
    ]
    alone, _ = run(pool, Generate((job("b", "[raise]"),)))
    assert isinstance(alone, Failure)
    assert not alone.retryable, "alone, it is known who is to blame"
    assert "raised on cue" in alone.traceback


def test_what_a_worker_logs_comes_before_the_result_that_it_led_to(pool: Pool) -> None:
    run(pool, load())
    remarked, done, other, _ = run(pool, Generate((job("a", "[warn going on with 16 slots]"), job("b"))))
    assert isinstance(remarked, Remark)
    assert remarked.text == "going on with 16 slots"
    assert isinstance(done, Answered)
    assert isinstance(other, Answered)


def test_a_loaded_model_says_where_it_is(pool: Pool) -> None:
    loaded, _ = run(pool, load())
    assert isinstance(loaded, ModelInfo)
    assert loaded.provenance["host"] == socket.gethostname()


def test_a_release_gives_the_model_back_and_the_worker_loads_again(pool: Pool) -> None:
    run(pool, load())
    pool.release(pool.workers()[0])
    assert isinstance(run(pool, load())[0], ModelInfo)


def test_a_demand_changes_nothing_that_is_there(pool: Pool) -> None:
    run(pool, load())
    before = pool.workers()
    pool.wants({Resources(): 100, Resources(gpus=8, accelerator="H200"): 5})
    pool.wants({})
    assert pool.workers() == before
    assert isinstance(run(pool, Generate((job("a"),)))[0], Answered)


def test_nothing_runs_and_nothing_arrives_without_a_task(fresh_pool: Pool) -> None:
    assert fresh_pool.next_event(0) is None
    fresh_pool.close()
    fresh_pool.close()


def test_a_busy_worker_takes_no_second_task(pool: Pool) -> None:
    pool.submit(pool.workers()[0], load())
    with pytest.raises(RuntimeError, match="busy"):
        pool.submit(pool.workers()[0], load())
    until_done(pool)


def test_local_stops_where_an_interrupt_comes_and_forgets_the_task() -> None:
    class Interrupted:
        def load(self, spec: ModelSpec, engine: EngineOptions) -> None:
            raise KeyboardInterrupt

    from orchestrator.pool.local import LocalPool

    pool = LocalPool(OPTIONS)
    pool._worker = Interrupted  # type: ignore[assignment]
    pool.submit("local", load())
    with pytest.raises(KeyboardInterrupt):
        pool.next_event(None)
    assert pool.next_event(None) is None


@pytest.mark.ray
def test_ray_tells_of_a_dead_worker_and_starts_another(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    pool = ray_pool(OPTIONS)
    first = run(pool, load())[0]
    done, lost = run(pool, Generate((job("a"), job("b", "[die]"), job("c"))))
    assert isinstance(done, Answered), "what was finished before the death still arrives"
    assert isinstance(lost, WorkerLost)
    second = run(pool, load())[0]
    assert isinstance(first, ModelInfo)
    assert isinstance(second, ModelInfo)
    assert first.provenance["pid"] != second.provenance["pid"]


@pytest.mark.ray
def test_ray_ends_a_worker_whose_device_is_dead_and_says_where(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    pool = ray_pool(OPTIONS)
    first = run(pool, load())[0]
    assert isinstance(first, ModelInfo)
    process = psutil.Process(int(first.provenance["pid"]))
    done, lost = run(pool, Generate((job("a"), job("b", "[device]"), job("c"))))
    assert isinstance(done, Answered)
    assert isinstance(lost, WorkerLost)
    assert "CUBLAS_STATUS_EXECUTION_FAILED" in lost.message
    assert (lost.machine, bool(lost.device_on), lost.host) == ("", True, socket.gethostname())
    assert psutil.wait_procs([process], timeout=10)[0], "the process has ended"
    assert isinstance(run(pool, load())[0], ModelInfo)


def test_local_says_why_nothing_more_can_be_run() -> None:
    pool = POOLS["local"](OPTIONS)
    run(pool, load())
    pool.submit("local", Generate((job("a"), job("b", "[device]"))))
    first = pool.next_event(None)
    assert isinstance(first, WorkerGave)
    assert isinstance(first.outcome, Answered)
    with pytest.raises(PoolLostError, match="CUBLAS_STATUS_EXECUTION_FAILED"):
        until_done(pool)


@pytest.mark.ray
def test_ray_tells_of_a_worker_that_dies_while_it_loads(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    pool = ray_pool(OPTIONS)
    (lost,) = run(pool, load("[die]"))
    assert isinstance(lost, WorkerLost)
    assert (lost.placed, lost.machine) == (True, ""), "it was there, and so is its machine"
    assert isinstance(run(pool, load())[0], ModelInfo)


@pytest.mark.ray
def test_ray_gives_one_cpu_worker_all_cores_and_several_their_share(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    for workers, threads in ((None, "2"), (2, "1")):
        pool = ray_pool(PoolOptions(workers=workers, worker=OPTIONS.worker))
        assert len(pool.workers()) == (workers or 1)
        loaded = run(pool, load())[0]
        assert isinstance(loaded, ModelInfo)
        assert (loaded.provenance["threads"], loaded.provenance["omp"]) == (threads, threads)
        pool.close()


@pytest.mark.ray
def test_ray_counts_how_many_fit(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    half, whole = Resources(gpus=0.5), Resources(gpus=1)
    pool = ray_pool(PoolOptions(resources=(half, whole), worker=OPTIONS.worker))
    assert (pool.capacity(half), pool.capacity(whole), pool.capacity(Resources(gpus=2))) == (2, 1, 0)
    assert pool.capacity(Resources(gpus=1, accelerator="NoSuchGPU")) == 0
    assert pool.workers() == ("worker-1", "worker-2")


@pytest.mark.ray
def test_ray_says_when_gpus_are_left_idle(ray_pool: Callable[[PoolOptions], Pool], caplog: pytest.LogCaptureFixture) -> None:
    ray_pool(OPTIONS)
    assert "no model of the sweep asks for one" in caplog.text


@pytest.mark.ray
def test_ray_refuses_what_this_machine_can_never_hold(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    from orchestrator.errors import InputError

    with pytest.raises(InputError, match="2 GPUs"):
        ray_pool(PoolOptions(resources=(Resources(gpus=2),), worker=OPTIONS.worker))


@pytest.mark.ray
def test_what_an_actor_starts_from_is_not_shown() -> None:
    from actors.remote import Setup

    assert "secret" not in repr(Setup("x:Y", 1, False, {"HF_TOKEN": "secret"}))


@pytest.mark.ray
def test_what_ray_starts_has_none_of_the_driver_s_secrets(
    ray_pool: Callable[[PoolOptions], Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its own processes nor the workers, which get HF_TOKEN and what the sweep names as a value."""
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])
    monkeypatch.setenv("ALSO", "wanted")
    monkeypatch.setenv("WANDB_API_KEY", SECRETS["WANDB_API_KEY"])
    pool = ray_pool(replace(OPTIONS, environment=("ALSO",)))
    loaded = run(pool, load())[0]
    assert isinstance(loaded, ModelInfo)
    inside = set(loaded.provenance["variables"].split())
    assert inside & {*SECRETS, "ALSO", "WANTED"} == {"HF_TOKEN", "ALSO", "WANTED"}
    assert {"PATH", "HOME", *AT_START} <= inside
    started = descendants()
    assert int(loaded.provenance["pid"]) in {one.pid for one in started}
    assert any(one.name() == "gcs_server" for one in started)
    for process in started:
        environment = Path(f"/proc/{process.pid}/environ").read_text()
        assert not [name for name, value in SECRETS.items() if value in environment], process.cmdline()


@pytest.mark.ray
def test_ray_listens_on_loopback_alone_and_shares_no_metrics(ray_pool: Callable[[PoolOptions], Pool]) -> None:
    """Every listening socket of every process, this one's included, by what the kernel says of it."""
    pool = ray_pool(OPTIONS)
    run(pool, load())
    listening = {(process.name(), *where) for process in [psutil.Process(), *descendants()] for where in listeners(process)}
    assert {"gcs_server", "raylet"} <= {name for name, _, _ in listening}
    assert [one for one in listening if not ip_address(one[1]).is_loopback] == []
    http = [(name, port) for name, _, port in listening if b"ray_" in asked_for_metrics(port)]
    assert http == []


@pytest.mark.ray
def test_nobody_else_enters_the_folder_or_joins(ray_pool: Callable[[PoolOptions], Pool], monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from orchestrator.pool.ray_head import TokenError, check
    from orchestrator.pool.ray_local import read_settings_anew

    ray_pool(OPTIONS)
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    folder = session.parents[1]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    address = ray.get_runtime_context().gcs_address
    check(address, 10.0)
    own = os.environ["RAY_AUTH_TOKEN_PATH"]
    other = folder / "other"
    other.write_text("another token of at least so many characters")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(other))
    read_settings_anew()
    try:
        with pytest.raises(TokenError, match="refuses this driver's token"):
            check(address, 10.0)
    finally:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", own)
        read_settings_anew()


def descendants() -> list[psutil.Process]:
    """All that this process has started, directly or not: of ``local_ray`` Ray's own and the workers."""
    return [one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE]


def listeners(process: psutil.Process) -> list[tuple[str, int]]:
    """Address and port of every TCP socket on which it listens, and of every UDP socket."""
    found = [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM]
    return [(str(one.laddr[0]).removeprefix("::ffff:"), int(one.laddr[1])) for one in found]


def asked_for_metrics(port: int) -> bytes:
    """What is answered to ``GET /metrics`` without a token."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as asking:
        asking.settimeout(2)
        asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        return asking.recv(65536)
    return b""
