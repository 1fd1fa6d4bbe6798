"""Files as objects under a prefix of an S3 bucket. Keys, tokens and the endpoint come from the environment or the instance alone.

An object appears whole or not at all, so there is nothing to rename. pyarrow finishes a large upload even when it failed or was
given up half way; a large file therefore goes up under a name of its own, and is copied by the server once it is all there.

Each request is tried a few times within seconds. A driver, who holds the place, is more patient: it waits for minutes until the
network or the server is back. Everyone else is told at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, TypeVar

from pyarrow import fs

from orchestrator.errors import InputError
from orchestrator.storage.errors import StorageError
from orchestrator.storage.files import FileState, WriteTo
from orchestrator.storage.lease import Lease, LeaseLostError
from orchestrator.storage.places import S3Url

ONE_REQUEST = 8 * 2**20
"""Bytes that go up in a single request (pyarrow begins a multi-part upload at 10 MiB)."""
CHUNK = 2**20
UPLOADS = ".uploads"
ATTEMPTS = 5
"""Of each request, with growing pauses between them."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""Without a byte for so long an attempt is given up."""
PATIENCE_SECONDS = 600.0
"""How long a driver waits for the network or the server to come back."""
LONGEST_PAUSE = 20.0
READS = 4

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
_GONE = "AWS Error NO_SUCH_KEY"
_PASSES = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT)|status 5\d\d"
)


class ObjectFiles:
    """The objects below ``place``, through a pyarrow filesystem. Their times have a resolution of one second."""

    clock_step: ClassVar[int] = 2 * 10**9
    writers: ClassVar[int] = 16  # pyarrow keeps 25 connections

    def __init__(self, place: S3Url, filesystem: Any) -> None:
        self.place = place
        self._filesystem = filesystem
        self._root = f"{place.bucket}/{place.prefix}"
        self._lease: Lease | None = None
        self._hurry = threading.Event()

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
        return bool(self._list(""))

    def read(self, name: str, most: int | None = None) -> bytes:
        """The length is asked for before the content: when the object was replaced in between, it is read again."""

        def read() -> bytes:
            for _ in range(READS):
                content = self._read_once(name, most)
                if most is not None or self._info(name).size == len(content):
                    return content
            raise OSError("it changes faster than it can be read")

        return self._ask(f"read {name}", read)

    def exists(self, name: str) -> bool:
        """Whether there is such an object: one request, where ``get_file_info`` takes two for a missing one."""
        try:
            self._ask(f"look for {name}", lambda: self._filesystem.open_input_file(self._path(name)).close())
        except FileNotFoundError:
            return False
        return True

    def write(self, name: str, content: bytes) -> None:
        """One PUT, or for a large content an upload and a copy."""
        if len(content) > ONE_REQUEST:
            self._upload(name, lambda: (content[start : start + CHUNK] for start in range(0, len(content), CHUNK)), len(content))
        else:
            self._ask(f"write {name}", lambda: self._put(name, content), writes=True)

    def append(self, name: str, line: bytes) -> None:
        """The object is read and written again as a whole."""
        try:
            before = self.read(name)
        except FileNotFoundError:
            before = b""
        self.write(name, before + line)

    def put(self, name: str, content: bytes) -> None:
        """One PUT, whoever holds the place."""
        self._ask(f"write {name}", lambda: self._put(name, content))

    def write_stream(self, name: str, write: WriteTo) -> bool:
        """Through a temporary file of this machine."""
        with tempfile.TemporaryFile() as file:
            try:
                write(file)
                size = file.tell()
                file.flush()
            except (StorageError, FileNotFoundError):
                raise
            except OSError as error:
                raise StorageError.of(error, f"prepare {name}", tempfile.gettempdir()) from error
            if self._ask(f"read {name}", lambda: self._holds(name, file, size)):
                return False
            if size <= ONE_REQUEST:
                file.seek(0)
                self.write(name, file.read())
            else:
                self._upload(name, lambda: _chunks(file), size)
        return True

    def names(self, folder: str) -> set[str]:
        """From one listing, a thousand names a page."""
        return set(self.states(folder))

    def misplaced(self, folder: str) -> set[str]:
        """None: any object can be written whatever other keys there are."""
        return set()

    def folders(self, folder: str) -> set[str]:
        """From one listing: prefixes that keys share."""
        return {one.base_name for one in self._list(folder) if one.type == fs.FileType.Directory}

    def states(self, folder: str) -> Mapping[str, FileState]:
        """From one listing, a thousand names a page."""
        return {one.base_name: FileState(one.size, one.mtime_ns) for one in self._list(folder) if one.type == fs.FileType.File}

    def delete(self, name: str) -> bool:
        """Delete it."""
        try:
            self._ask(f"remove {name}", lambda: self._filesystem.delete_file(self._path(name)), writes=True)
        except FileNotFoundError:
            return False
        return True

    def move(self, name: str, new: str) -> None:
        """Copy, then delete: a kill in between leaves both."""
        self._ask(f"move {name}", lambda: self._filesystem.copy_file(self._path(name), self._path(new)), writes=True)
        self.delete(name)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """A lease: see ``lease``."""
        self._hurry.clear()
        with Lease(ObjectFiles(self.place, self._filesystem), str(self.place)) as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def clean(self, folders: Iterable[str]) -> None:
        """Remove large files that did not come up whole. ``folders`` hold none: what is there is whole."""
        for name in self.names(UPLOADS):
            self.delete(f"{UPLOADS}/{name}")

    def hurry(self) -> None:
        """As everyone who does not hold the place."""
        self._hurry.set()

    def _list(self, folder: str) -> list[Any]:
        root = f"{self._root}/{folder}".rstrip("/")
        selected = fs.FileSelector(root, allow_not_found=True)
        found: list[Any] = self._ask(f"list {folder or 'the files'}", lambda: self._filesystem.get_file_info(selected))
        return found

    def _read_once(self, name: str, most: int | None) -> bytes:
        with self._filesystem.open_input_file(self._path(name)) as stream:
            try:
                content: bytes = stream.read() if most is None else stream.read(most)
            except OSError as error:
                if self._info(name).type == fs.FileType.NotFound:  # removed since; pyarrow calls that an internal failure
                    raise FileNotFoundError(f"{self.place}/{name}") from error
                raise
        return content

    def _put(self, name: str, content: bytes) -> None:
        stream = self._filesystem.open_output_stream(self._path(name))
        stream.write(content)  # kept until close, which sends all of it at once
        stream.close()

    def _upload(self, name: str, chunks: Callable[[], Iterable[bytes]], size: int) -> None:
        waiting = f"{UPLOADS}/{uuid.uuid4().hex}"

        def upload() -> None:
            stream = self._filesystem.open_output_stream(self._path(waiting))
            try:
                for chunk in chunks():
                    stream.write(chunk)
            except OSError:
                with suppress(OSError):  # left to its destructor it would be closed while all other threads wait
                    stream.close()
                raise
            stream.close()
            if self._info(waiting).size != size:
                raise OSError("it did not come up whole")
            self._filesystem.copy_file(self._path(waiting), self._path(name))

        self._ask(f"write {name}", upload, writes=True)
        self.delete(waiting)

    def _holds(self, name: str, file: BinaryIO, size: int) -> bool:
        """Whether the object is equal to ``file``."""
        try:
            with self._filesystem.open_input_file(self._path(name)) as stream:
                return stream.size() == size and all(stream.read(len(chunk)) == chunk for chunk in _chunks(file))
        except FileNotFoundError:
            return False

    def _info(self, name: str) -> Any:
        return self._filesystem.get_file_info(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _ask(self, doing: str, ask: Callable[[], _T], writes: bool = False) -> _T:
        """The answer; while the network or the server is away, a driver asks again until its patience ends."""
        begun, pause = time.monotonic(), min(1.0, LONGEST_PAUSE)
        while True:
            try:
                if writes and self._lease is not None:
                    self._lease.check()
                return ask()
            except (FileNotFoundError, LeaseLostError):
                raise
            except OSError as error:
                if _GONE in str(error):
                    raise FileNotFoundError(str(self.place)) from error
                told = error if isinstance(error, StorageError) else StorageError.of(error, doing, str(self.place))
                waits = self._lease is not None and not self._hurry.is_set()
                if not waits or time.monotonic() - begun + pause >= PATIENCE_SECONDS or not _PASSES.search(str(error)):
                    raise told from error
                _LOG.warning("%s does not answer; asking again in %.0f s (%s)", self.place, pause, doing)
            self._hurry.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(CHUNK), b"")


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
        request_timeout=ANSWER_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        background_writes=False,
        allow_delayed_open=True,
    )
