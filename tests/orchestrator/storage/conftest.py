"""An S3 server for the tests of storage, and the two kinds of places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.storage import Place, S3Url
from tests.orchestrator.storage.s3_server import BUCKET, KEYS, REGION, s3_server

_NUMBER = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL of an S3 server."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> S3Url:
    """A place of its own on the server that the environment points to."""
    for name, value in {**KEYS, "AWS_REGION": REGION, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return S3Url(BUCKET, f"runs/{next(_NUMBER)}/sample")


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A place of either kind, where nothing is yet."""
    if request.param == "folder":
        return tmp_path / "out" / "sample"
    found: S3Url = request.getfixturevalue("bucket")
    return found
