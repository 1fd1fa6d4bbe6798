"""Files as objects under a prefix of an S3 bucket. Keys, tokens and the endpoint come from the environment or the instance alone.

An object appears whole or not at all, so there is nothing to rename. pyarrow finishes a large upload even when it failed or was
given up half way; a large file therefore goes up under a name of its own, and is copied by the server once it is all there.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from pyarrow import fs

from orchestrator.errors import InputError
from orchestrator.storage.errors import StorageError
from orchestrator.storage.files import State, WriteTo
from orchestrator.storage.lease import Lease
from orchestrator.storage.places import S3Url

ONE_REQUEST = 8 * 2**20
"""Bytes that go up in a single request (pyarrow begins a multi-part upload at 10 MiB)."""
CHUNK = 2**20
UPLOADS = ".uploads"
ATTEMPTS = 5
"""Of each request, with growing pauses between them."""
CONNECT_SECONDS = 5.0
READS = 4


class ObjectFiles:
    """The objects below ``place``, through a pyarrow filesystem. Their times have a resolution of one second."""

    clock_step: ClassVar[int] = 2 * 10**9

    def __init__(self, place: S3Url, filesystem: Any) -> None:
        self.place = place
        self._filesystem = filesystem
        self._root = f"{place.bucket}/{place.prefix}"
        self._lease: Lease | None = None

    @classmethod
    def of(cls, place: S3Url) -> ObjectFiles:
        """With the environment's endpoint, region and credentials."""
        try:
            return cls(place, _filesystem(place.bucket))
        except OSError as error:
            raise StorageError.of(error, "open the bucket", str(place)) from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectFiles) and other.place == self.place

    def __hash__(self) -> int:
        return hash(self.place)

    @property
    def local(self) -> Path:
        """A folder in the user's cache, one per URL."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        digest = hashlib.sha256(str(self.place).encode()).hexdigest()[:12]
        return cache / "activation-steering-sweeps" / "results" / f"{self.place.name}-{digest}"

    def there(self) -> bool:
        """Whether any object lies below the prefix."""
        with self._telling("list the files"):
            return bool(self._filesystem.get_file_info(fs.FileSelector(self._root, allow_not_found=True)))

    def read(self, name: str, most: int | None = None) -> bytes:
        """The length is asked for before the content: when the object was replaced in between, it is read again."""
        with self._telling(f"read {name}"):
            for _ in range(READS):
                with self._filesystem.open_input_file(self._path(name)) as stream:
                    content: bytes = stream.read() if most is None else stream.read(most)
                if most is not None or self._filesystem.get_file_info(self._path(name)).size == len(content):
                    return content
            raise OSError("it changes faster than it can be read")

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        with self._telling(f"look for {name}"):
            return bool(self._filesystem.get_file_info(self._path(name)).type == fs.FileType.File)

    def write(self, name: str, content: bytes) -> None:
        """One PUT, or for a large content an upload and a copy."""
        self._check()
        if len(content) > ONE_REQUEST:
            self._upload(name, (content[start : start + CHUNK] for start in range(0, len(content), CHUNK)), len(content))
        else:
            self.put(name, content)

    def put(self, name: str, content: bytes) -> None:
        """One PUT, whoever holds the place."""
        with self._telling(f"write {name}"):
            stream = self._filesystem.open_output_stream(self._path(name))
            stream.write(content)  # kept until close, which sends all of it at once
            stream.close()

    def write_stream(self, name: str, write: WriteTo) -> bool:
        """Through a temporary file of this machine."""
        with tempfile.TemporaryFile() as file:
            try:
                write(file)
                size = file.tell()
                file.seek(0)
            except OSError as error:
                raise StorageError.of(error, f"prepare {name}", tempfile.gettempdir()) from error
            if self._holds(name, file, size):
                return False
            file.seek(0)
            if size <= ONE_REQUEST:
                self.write(name, file.read())
            else:
                self._check()
                self._upload(name, iter(lambda: file.read(CHUNK), b""), size)
        return True

    def names(self, folder: str) -> set[str]:
        """From one listing, a thousand names a page."""
        return set(self.states(folder))

    def states(self, folder: str) -> Mapping[str, State]:
        """From one listing, a thousand names a page."""
        root = f"{self._root}/{folder}".rstrip("/")
        with self._telling(f"list {folder or 'the files'}"):
            found = self._filesystem.get_file_info(fs.FileSelector(root, allow_not_found=True))
        return {one.base_name: State(one.size, one.mtime_ns) for one in found if one.type == fs.FileType.File}

    def delete(self, name: str) -> bool:
        """Delete it."""
        with self._telling(f"remove {name}"):
            try:
                self._filesystem.delete_file(self._path(name))
            except FileNotFoundError:
                return False
            return True

    def move(self, name: str, new: str) -> None:
        """Copy, then delete: a kill in between leaves both."""
        if not self.exists(name):
            raise FileNotFoundError(f"{self.place}/{name}")
        with self._telling(f"move {name}"):
            self._filesystem.copy_file(self._path(name), self._path(new))
        self.delete(name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A lease: see ``lease``."""
        with Lease(self, str(self.place)) as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def clean(self, folders: Iterable[str]) -> None:
        """Remove large files that did not come up whole. ``folders`` hold none: what is there is whole."""
        for name in self.names(UPLOADS):
            self.delete(f"{UPLOADS}/{name}")

    def _upload(self, name: str, chunks: Iterable[bytes], size: int) -> None:
        waiting = f"{UPLOADS}/{uuid.uuid4().hex}"
        with self._telling(f"write {name}"):
            stream = self._filesystem.open_output_stream(self._path(waiting))
            for chunk in chunks:
                stream.write(chunk)
            stream.close()
            if self._filesystem.get_file_info(self._path(waiting)).size != size:
                raise OSError("it did not come up whole")
            self._filesystem.copy_file(self._path(waiting), self._path(name))
        self.delete(waiting)

    def _holds(self, name: str, file: BinaryIO, size: int) -> bool:
        """Whether the object is equal to the rest of ``file``."""
        with self._telling(f"read {name}"):
            try:
                with self._filesystem.open_input_file(self._path(name)) as stream:
                    if stream.size() != size:
                        return False
                    return all(stream.read(len(chunk)) == chunk for chunk in iter(lambda: file.read(CHUNK), b""))
            except FileNotFoundError:
                return False

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _check(self) -> None:
        if self._lease is not None:
            self._lease.check()

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (StorageError, FileNotFoundError):
            raise
        except OSError as error:
            raise StorageError.of(error, doing, str(self.place)) from error


def _filesystem(bucket: str) -> Any:
    """S3 at AWS, or wherever AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL points."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise InputError.because("not the address of a server", "AWS_ENDPOINT_URL", allowed="http:// or https:// and a host")
    if region is None:
        region = "us-east-1" if endpoint is not None else fs.resolve_s3_region(bucket)
    return fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        connect_timeout=CONNECT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        background_writes=False,
        allow_delayed_open=True,
    )
