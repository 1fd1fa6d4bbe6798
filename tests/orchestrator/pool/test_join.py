"""Which Ray a driver joins, and what it refuses."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from orchestrator.errors import InputError
from orchestrator.pool import ray_join


class Started:
    """Stands for ``ray``; keeps how it was initialised."""

    def __init__(self) -> None:
        self.how: dict[str, Any] = {}

    def init(self, **how: Any) -> None:
        self.how = how


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    made = Started()
    monkeypatch.setattr(ray_join, "ray", made)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return made


@pytest.fixture
def head() -> Any:
    """Somebody who listens, and where."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


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
    assert ray_join.connect() is True
    assert started.how["address"] == head
    assert set(started.how["runtime_env"]) == {"py_modules", "working_dir"}, "no variables: what Ray sets up is logged"
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
    assert ray_join.connect() is False
    assert started.how["address"] == "local"
    assert "has ended" in caplog.text


@pytest.mark.parametrize("asked", ["", "local"])
def test_without_a_cluster_ray_starts_here(asked: str, started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", asked)
    monkeypatch.setattr(ray_join, "bootstrap_address", lambda _: None)
    assert ray_join.connect() is False
    assert started.how["address"] == "local"


def test_a_ray_that_does_not_tell_its_address_leaves_what_was_asked_for(
    started: Started, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_join, "bootstrap_address", None)
    assert ray_join.connect() is False
    assert started.how["address"] == "local"
    monkeypatch.setenv("RAY_ADDRESS", head)
    assert ray_join.connect() is True
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(InputError, match="name it as host:port"):
        ray_join.connect()
