"""Object storage that fails: a driver killed at every request, connections that break, servers that err or never answer."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scorekeeper import Scorekeeper
from orchestrator.scoring.uses import Scoring
from orchestrator.storage import S3Url, StorageError, StoredFile, objects, open_files
from orchestrator.storage.objects import ONE_REQUEST
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import plan_of, result_of
from tests.orchestrator.storage import s3_server
from tests.orchestrator.storage.s3_server import BUCKET, KEYS, Fault, Faults, Request, client, faulty
from tests.orchestrator.storage.writes import CELLS, NEW, TOGETHER, WRITES, prepare, seen, seen_together, write_together

MOMENTS: tuple[Fault, ...] = ("drop before", "drop half way", "drop after")


@pytest.fixture(scope="module")
def proxy(server: str) -> Iterator[Faults]:
    with faulty(server) as found:
        yield found


@pytest.fixture
def faults(proxy: Faults) -> Iterator[Faults]:
    proxy.seen.clear()
    yield proxy
    proxy.choose = lambda _: None


@pytest.fixture
def behind(bucket: S3Url, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> S3Url:
    """A place that is reached through the proxy."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", faults.url)
    return bucket


# --- kill -9 -----------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """A program that does writes in children of its own."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def writer(proxy: Faults) -> Iterator[Writer]:
    command = [sys.executable, "-m", "tests.orchestrator.storage.forked_writer"]
    environment = {**os.environ, **KEYS, "AWS_REGION": s3_server.REGION, "AWS_ENDPOINT_URL": proxy.url}
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True, env=environment, cwd=root) as process:
        yield Writer(process)
        assert process.stdin is not None
        process.stdin.close()


def do_and_kill(writer: Writer, faults: Faults, write: tuple[str, S3Url], at: tuple[int, Fault]) -> bool:
    """Whether the writer was killed: at its ``at[0]``-th request, in the moment ``at[1]`` of it."""
    writer.say(f"{write[0]} {write[1]}")
    child = writer.hear()
    requests, doing_it = 0, 0

    def choose(_: Request) -> Fault | None:
        nonlocal requests, doing_it
        requests += 1
        if requests == at[0]:
            doing_it = threading.get_ident()
        if requests < at[0]:
            return None
        if requests == at[0] and at[1] != "drop after":
            os.kill(child, signal.SIGKILL)
        return at[1]

    def kill() -> None:
        if doing_it == threading.get_ident() and at[1] == "drop after":
            os.kill(child, signal.SIGKILL)

    faults.choose, faults.answering = choose, kill
    writer.say("go")
    status = writer.hear()
    faults.choose, faults.answering = (lambda _: None), (lambda: None)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize(
    ("name", "moments"),
    [
        ("responses", MOMENTS[1:]),
        ("plan", MOMENTS),
        ("labels", ("drop half way",)),
        ("direction", ("drop after",)),
        *(pytest.param(name, MOMENTS, marks=pytest.mark.slow) for name in ("responses", "labels", "direction")),
    ],
)
def test_a_driver_killed_at_any_request_leaves_no_part_of_a_file(
    writer: Writer, faults: Faults, bucket: S3Url, name: str, moments: tuple[Fault, ...]
) -> None:
    base = S3Url(BUCKET, f"{bucket.prefix}/base")
    prepare(base, name)
    old = seen(WRITES[name], base)
    WRITES[name].do(Store(base))
    new = seen(WRITES[name], base)
    assert old != new
    states: dict[Fault, list[bool]] = {}
    for moment in moments:
        states[moment] = []
        for request in range(1, 30):
            place = S3Url(BUCKET, f"{bucket.prefix}/{moment.replace(' ', '-')}-{request}")
            prepare(place, name)
            if not do_and_kill(writer, faults, (name, place), (request, moment)):
                break
            found = seen(WRITES[name], place)
            assert found in (old, new)
            states[moment].append(found == new)
            with Store(place).lock():
                if found == old:
                    WRITES[name].do(Store(place))
            assert seen(WRITES[name], place) == new
            assert open_files(place).names("quarantine") == set()
        assert len(states[moment]) >= 1
        assert states[moment] == sorted(states[moment]), "from one request on, the new content is there"
    if {"drop half way", "drop after"} <= states.keys():
        assert states["drop half way"].count(True) <= states["drop after"].count(True)


@pytest.mark.parametrize(
    "moment", ["drop half way", *(pytest.param(moment, marks=pytest.mark.slow) for moment in ("drop before", "drop after"))]
)
def test_a_driver_killed_at_any_request_while_it_writes_several_cells_at_once(
    writer: Writer, faults: Faults, bucket: S3Url, moment: Fault
) -> None:
    finished = []
    for request in itertools.count(1, 3):
        place = S3Url(BUCKET, f"{bucket.prefix}/{moment.replace(' ', '-')}-{request}")
        prepare(place, "plan")
        if not do_and_kill(writer, faults, ("together", place), (request, moment)):
            break
        found = seen_together(Store(place))
        assert all(done or not labelled for done, labelled in found), "labels are never there before their responses"
        finished.append(sum(done for done, _ in found))
        with Store(place).lock():
            write_together(Store(place))
            with Scorekeeper(Store(place), Scoring()) as scores:
                scores.ask(Store(place).unscored())  # as the next run begins
        assert seen_together(Store(place)) == [(True, True)] * len(TOGETHER)
        assert open_files(place).names("quarantine") == set()
    assert len(finished) >= 4
    assert min(finished) == 0
    assert max(finished) >= 1, "some kills left finished cells beside unfinished ones"


# --- a network and a server that fail -----------------------------------------------------------------------------


def few(fault: Fault, times: int, method: str = "PUT") -> Callable[[Request], Fault | None]:
    """``fault`` for the first ``times`` requests of ``method``."""
    left = [times]

    def choose(request: Request) -> Fault | None:
        if request[0] != method or left[0] == 0:
            return None
        left[0] -= 1
        return fault

    return choose


@pytest.mark.parametrize("fault", ["error 500", "error 503", *MOMENTS])
def test_what_passes_is_tried_again(behind: S3Url, faults: Faults, fault: Fault) -> None:
    files = open_files(behind)
    faults.choose = few(fault, 2)
    files.write("responses/a", b"x" * 100_000)
    faults.choose = few(fault, 1, "GET")
    assert files.read("responses/a") == b"x" * 100_000
    assert files.names("responses") == {"a"}


@pytest.mark.parametrize("fault", ["error 500", "error 403", "drop half way"])
def test_what_stays_is_told_in_words_without_secrets(
    behind: S3Url, faults: Faults, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 2)
    store = Store(behind)
    prepare(behind, "responses")
    faults.choose = few(fault, 10_000)
    with pytest.raises(StorageError) as told:
        WRITES["responses"].do(store)
    assert told.value.exit_code == 3
    for word in (
        f"cannot write responses/{NEW.id}.parquet in {behind}",
        "Every finished cell is kept",
        "run the same command again",
    ):
        assert word in str(told.value)
    for secret in KEYS.values():
        assert secret not in str(told.value) or secret == "true"
    faults.choose = lambda _: None
    assert NEW.id not in store.done_cells()
    WRITES["responses"].do(store)
    assert len(store.read_responses(NEW.id)) == 10


def test_a_driver_waits_for_the_network(
    behind: S3Url, faults: Faults, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    monkeypatch.setattr(objects, "LONGEST_PAUSE", 0.1)
    store = Store(behind)
    prepare(behind, "responses")
    with store.lock():
        faults.choose = few("drop before", 3)
        WRITES["responses"].do(store)
        assert caplog.text.count("does not answer; asking again") >= 2
        assert len(store.read_responses(NEW.id)) == 10
        monkeypatch.setattr(objects, "PATIENCE_SECONDS", 0.5)
        faults.choose = few("drop before", 10_000)
        with pytest.raises(StorageError, match="NETWORK_CONNECTION"):
            store.write_choices("{}")
        faults.choose = few("error 403", 10_000)
        caplog.clear()
        with pytest.raises(StorageError, match="ACCESS_DENIED"):
            store.write_choices("{}")
        assert "asking again" not in caplog.text
        faults.choose = lambda _: None


def test_who_is_in_a_hurry_waits_for_nobody(behind: S3Url, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    monkeypatch.setattr(objects, "LONGEST_PAUSE", 0.1)
    store = Store(behind)
    prepare(behind, "responses")
    with store.lock():
        faults.choose = few("drop before", 10_000)
        hurry = threading.Timer(0.5, store.hurry)
        hurry.start()
        with pytest.raises(StorageError, match="NETWORK_CONNECTION"):
            store.write_choices("{}")  # without it, for ten minutes
        hurry.join()
        faults.choose = lambda _: None
    with store.lock():
        faults.choose = few("drop before", 2)
        store.write_choices("{}")  # the next driver is patient again


def test_a_cell_is_stored_by_a_request_and_one_for_each_scorer(behind: S3Url, faults: Faults) -> None:
    store = Store(behind)
    prepare(behind, "responses")
    store.write_plan(plan_of([*CELLS, NEW]))
    recorder = Recording(store)
    with store.lock(), recorder:
        faults.seen.clear()
        recorder.cell(NEW, result_of(NEW), 1)
        recorder.scores.wait()
        asked = [
            (method, unquote(path.split("?")[0]).rsplit("/", 2)[-2]) for method, path in faults.seen if "/.lock/" not in path
        ]
        assert asked.count(("PUT", "responses")) == asked.count(("PUT", "refusal@13")) == asked.count(("PUT", "coherence@6")) == 1
        assert {folder for _, folder in asked} == {"responses", "refusal@13", "coherence@6", "directions"}, (
            "its direction's norms are read once"
        )
        with pytest.raises(FileExistsError):
            store.write_responses(NEW, result_of(NEW), 1)


def test_a_server_that_does_not_answer_is_given_up(behind: S3Url, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    monkeypatch.setattr(objects, "ANSWER_SECONDS", 1.0)
    files = open_files(behind)
    faults.choose = lambda _: "hang"
    with pytest.raises(StorageError, match="cannot write a"):
        files.write("a", b"1")


def test_a_network_error_is_no_damage(behind: S3Url, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    prepare(behind, "responses")
    store = Store(behind)
    (one, *_) = sorted(store.done_cells())
    faults.choose = few("error 500", 10_000, "GET")
    with pytest.raises(StorageError):
        store.read_responses(one)
    faults.choose = lambda _: None
    assert len(store.read_responses(one)) == 10
    assert open_files(behind).names("quarantine") == set()


@pytest.mark.parametrize(("part", "fault"), [("partNumber=2", "error 403"), ("partNumber=3", "drop half way")])
def test_a_large_file_that_did_not_come_up_whole_is_not_shown(
    behind: S3Url, faults: Faults, part: str, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    files = open_files(behind)
    files.write("tables/a", b"old")
    faults.choose = lambda request: fault if part in request[1] else None
    large = os.urandom(3 * ONE_REQUEST)
    with pytest.raises(StorageError):
        files.write("tables/a", large)
    with pytest.raises(StorageError):
        files.write_stream("tables/a", lambda file: file.write(large))
    faults.choose = lambda _: None
    assert files.read("tables/a") == b"old"
    with files.exclusive():
        files.clean(["tables"])
    assert files.names(".uploads") == set()
    files.write("tables/a", large)
    assert files.read("tables/a") == large


def test_an_object_replaced_while_it_is_read_comes_whole(behind: S3Url, server: str, faults: Faults) -> None:
    files = open_files(behind)
    files.write("driver.json", b"short")
    once = few("error 500", 1, "GET")

    def replace(request: Request) -> Fault | None:
        if once(request) is not None:
            client(server).put_object(Bucket=BUCKET, Key=f"{behind.prefix}/driver.json", Body=b"a longer one")
        return None

    faults.choose = replace
    assert files.read("driver.json") == b"a longer one"


def test_an_object_that_is_removed_while_it_is_read_is_missing(behind: S3Url, server: str, faults: Faults) -> None:
    files = open_files(behind)
    files.write("failures/a.json", b"{}")

    def remove(request: Request) -> Fault | None:
        if request[0] == "GET":
            client(server).delete_object(Bucket=BUCKET, Key=f"{behind.prefix}/failures/a.json")
        return None

    faults.choose = remove
    with pytest.raises(FileNotFoundError):
        files.read("failures/a.json")


def test_a_bucket_that_does_not_exist(bucket: S3Url) -> None:
    with pytest.raises(StorageError, match="NO_SUCH_BUCKET"), Store(S3Url("no-such-bucket", "a")).lock():
        pytest.fail("locked nothing")


# --- damage --------------------------------------------------------------------------------------------------------


def test_a_damaged_object_is_moved_away_and_its_cell_runs_anew(
    bucket: S3Url, server: str, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(bucket, "responses")
    store = Store(bucket)
    WRITES["responses"].do(store)
    file = StoredFile(open_files(bucket), f"responses/{NEW.id}.parquet")
    whole = file.read_bytes()
    client(server).put_object(Bucket=BUCKET, Key=f"{bucket.prefix}/{file.key}", Body=whole[:-100])
    with pytest.raises(UnreadableFileError):
        store.read_responses(NEW.id)
    assert NEW.id not in store.done_cells()
    assert f"moved to {bucket}/quarantine" in caplog.text
    assert open_files(bucket).read(f"quarantine/responses-{NEW.id}.parquet") == whole[:-100]
    WRITES["responses"].do(store)
    assert len(store.read_responses(NEW.id)) == 10
