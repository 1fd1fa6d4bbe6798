"""What people write for a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.storage import S3Url, place_of


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("s3://bucket/prefix", S3Url("bucket", "prefix")),
        ("s3://my-bucket.x/a/b_c/d.e=1/", S3Url("my-bucket.x", "a/b_c/d.e=1")),
        ("results/x", Path("/sweeps/results/x")),
        ("/tmp/s3:", Path("/tmp/s3:")),
        ("a b/c", Path("/sweeps/a b/c")),
    ],
)
def test_a_path_or_a_url(written: str, wanted: object) -> None:
    assert place_of(written, Path("/sweeps")) == wanted
    assert place_of(Path("results")) == Path("results")
    assert str(S3Url("b", "c/d")) == "s3://b/c/d"


@pytest.mark.parametrize(
    "written",
    [
        "gs://bucket/a",
        "s3:/bucket/a",
        "S3://bucket/a",
        "https://bucket.s3.amazonaws.com/a",
        "s3://bucket",
        "s3://bucket/",
        "s3:///a",
        "s3://Bucket/a",
        "s3://bucket/../a",
        "s3://bucket/a/../b",
        "s3://bucket/a//b",
        "s3://bucket/.a",
        "s3://bucket/a?endpoint_override=http://evil",
        "s3://bucket/a b",
        "s3://bucket/a\nb",
        "s3://AKIAEXAMPLE:hunter2secret@bucket/a",
    ],
)
def test_anything_else_in_a_url_is_refused_without_showing_keys(written: str) -> None:
    with pytest.raises(InputError, match="s3://bucket/prefix") as told:
        place_of(written)
    assert "hunter2" not in str(told.value)
