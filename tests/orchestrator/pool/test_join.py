"""Which Ray a driver joins, and what it refuses."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import ray

from actors.library_settings import AT_START
from orchestrator.errors import InputError
from orchestrator.pool import ray_head, ray_join
from orchestrator.pool.ray_head import TokenError
from tests.orchestrator.pool import wrong_addresses
from tests.orchestrator.pool.wrong_addresses import Head, Speaks, babbles, greets_as_sshd, hangs_up, refuses_as_http, says_nothing


class Started:
    """Stands for ``ray``; keeps how it was initialised. ``own``: the variables for a Ray of our own, if one was started."""

    exceptions = ray.exceptions

    def __init__(self) -> None:
        self.how: dict[str, Any] = {}
        self.own: tuple[str, ...] | None = None

    def init(self, **how: Any) -> None:
        self.how = how

    def start_own(self, environment: tuple[str, ...]) -> object:
        self.own = environment
        return self


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    made = Started()
    monkeypatch.setattr(ray_join, "ray", made)
    monkeypatch.setattr(ray_join, "LocalRay", made.start_own)
    monkeypatch.setattr(ray_join, "read_settings_anew", lambda: None)  # a Ray of other tests may run in this process
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv(ray_head.VARIABLE, "5")
    return made


@pytest.fixture
def head() -> Iterator[str]:
    """Where a head of this version of Ray answers."""
    with wrong_addresses.head(Head(ray.__version__)) as address:
        yield address


def name(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for. Ray itself would take the machine's address for 127.0.0.1."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: address)


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_ray_client_is_refused_with_the_ways_that_work(address: str, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError) as refused:
        ray_join.connect()
    for part in ("RAY_ADDRESS", address, "run SWEEP --detach", "status s3://", "ray start --address=HEAD:6379"):
        assert part in str(refused.value)
    assert started.how == {}


def test_a_cluster_that_answers_is_joined_with_this_drivers_actors(
    started: Started, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: head)
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    assert ray_join.connect().head == head
    assert started.how["address"] == head
    assert set(started.how["runtime_env"]) == {"py_modules", "working_dir", "env_vars"}
    assert started.how["runtime_env"]["env_vars"] == AT_START, "none of the driver's own: what Ray sets up is logged"
    (module,) = started.how["runtime_env"]["py_modules"]
    assert module.endswith("/actors")
    assert "secret" not in str(started.how)


def test_one_that_was_asked_for_and_does_not_answer_is_refused(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", nobody())
    with pytest.raises(InputError, match="cannot join the Ray cluster"):
        ray_join.connect()
    assert started.how == {}


def test_one_that_has_ended_is_passed_over(
    started: Started, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: nobody())
    assert ray_join.connect().head == ""
    assert started.own == ()
    assert "starting a local Ray" in caplog.text


def test_what_else_listens_there_now_is_passed_over_too(
    started: Started, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with wrong_addresses.server(greets_as_sshd) as address:
        monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: address)
        assert ray_join.connect(("ONE",)).head == ""
    assert started.own == ("ONE",)
    assert address in caplog.text


@pytest.mark.parametrize("speaks", [hangs_up, greets_as_sshd, refuses_as_http, babbles, says_nothing])
def test_an_address_that_lives_and_is_no_head_is_refused_in_time(
    speaks: Speaks, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ray_head.VARIABLE, "1.5")
    began = time.monotonic()
    with wrong_addresses.server(speaks) as address:
        name(address, monkeypatch)
        with pytest.raises(InputError, match="RAY_ADDRESS=local") as refused:
            ray_join.connect()
    assert time.monotonic() - began < 60
    assert address in str(refused.value)
    assert started.how == {}


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (None, "is no head of a Ray cluster"),
        (Head("1.13.0"), "runs Ray 1.13.0, this driver Ray "),
        (Head(ray.__version__, "token of the cluster"), "refuses this driver's token"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_with_the_reason(
    one: Head | None, told: str, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_join, "has_token", lambda: False)
    with wrong_addresses.head(one) as address:
        name(address, monkeypatch)
        with pytest.raises(InputError, match=told):
            ray_join.connect()
        if one is not None:
            monkeypatch.delenv("RAY_ADDRESS")
            with pytest.raises(InputError, match=told):  # one that runs here is not passed over in silence
                ray_join.connect()
    assert (started.how, started.own) == ({}, None)


@pytest.mark.parametrize("limit", ["soon", "0", "-3", "nan", "1e9"])
def test_a_limit_that_is_none_is_bad_input(limit: str, started: Started, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ray_head.VARIABLE, limit)
    monkeypatch.setenv("RAY_ADDRESS", head)
    with pytest.raises(InputError, match=ray_head.VARIABLE):
        ray_join.connect()


def test_what_ray_itself_refuses_is_bad_input(started: Started, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise RuntimeError("this machine is no node\nand more lines")

    monkeypatch.setattr(started, "init", refuse)
    name(head, monkeypatch)
    with pytest.raises(InputError, match="this machine is no node"):
        ray_join.connect()


@pytest.mark.parametrize("asked", ["", "local"])
def test_without_a_cluster_ray_starts_here(asked: str, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", asked)
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: None)
    assert ray_join.connect().head == ""
    assert started.own == ()


def test_a_ray_that_does_not_tell_its_address_leaves_what_was_asked_for(
    started: Started, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_join, "bootstrap_address", None)
    assert ray_join.connect().head == ""
    assert started.own == ()
    monkeypatch.setenv("RAY_ADDRESS", head)
    assert ray_join.connect().head == head
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(InputError, match="name it as host:port"):
        ray_join.connect()


@pytest.mark.parametrize("asked", ["nonsense", ":6379", "[]:6379", "head:", "head:abc", "head:0", "head:99999999", "he\nad:6379"])
def test_what_is_no_address_is_told_before_ray_is_asked(asked: str, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: pytest.fail("Ray was asked"))
    monkeypatch.setenv("RAY_ADDRESS", asked)
    with pytest.raises(InputError, match="RAY_ADDRESS=local"):
        ray_join.connect()


@pytest.mark.parametrize("mode", ["", "disabled"])
def test_a_cluster_that_wants_a_token_gets_the_user_s_unless_that_is_turned_off(
    mode: str, started: Started, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself takes ``~/.ray/auth_token`` to a named address only with RAY_AUTH_MODE=token."""
    monkeypatch.setenv("RAY_AUTH_MODE", mode)

    def wants_a_token(address: str, seconds: float) -> None:
        if os.environ["RAY_AUTH_MODE"] != "token":
            raise TokenError(f"{address} refuses")

    monkeypatch.setattr(ray_join, "check", wants_a_token)
    monkeypatch.setattr(ray_join, "has_token", lambda: True)
    name(head, monkeypatch)
    if mode:
        with pytest.raises(InputError, match="refuses"):
            ray_join.connect()
    else:
        assert ray_join.connect().head == head
