"""What people write for a results folder: a path, or ``s3://bucket/prefix``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from orchestrator.errors import InputError
from orchestrator.paths import checked, expanded

ALLOWED = "a folder, or s3://bucket/prefix"

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*")


@dataclass(frozen=True)
class S3Url:
    """A prefix in a bucket. Nothing else can be in a results URL: where the server is and who asks come from the environment."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.prefix.rsplit("/", 1)[-1]


Place: TypeAlias = Path | S3Url
"""Where a sweep's results lie."""


def place_of(written: str | Path, base: Path | None = None) -> Place:
    """The place that ``written`` means, a relative path from ``base``; InputError for another scheme or a URL with more in it."""
    text = str(written)
    scheme = None if isinstance(written, Path) else _SCHEME.match(text)
    if scheme is None:
        return checked(expanded(text) if base is None else base / expanded(text), "results")
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/")
    if not text.startswith("s3://"):
        raise InputError.because("results cannot lie there", "results", f"{scheme[1]}://...", ALLOWED)
    if not _BUCKET.fullmatch(bucket) or not _PREFIX.fullmatch(prefix):
        said = "not a bucket and a prefix; keys and endpoints come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL)"
        raise InputError.because(said, "results", allowed="s3://bucket/prefix of letters, digits and . _ = - /")
    return S3Url(bucket, prefix)
