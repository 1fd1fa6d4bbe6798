"""The protocol of a results folder's files, and a handle on one of them.

A name is relative to the place, with ``/`` between its parts. A file under its name is whole: whoever writes shows it only when
it is complete, and a reader sees the old content, the new content, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ClassVar, NamedTuple, Protocol

from orchestrator.storage.errors import BadSectorError, UnreadableFileError
from orchestrator.storage.places import Place

WriteTo = Callable[[BinaryIO], object]


class FileState(NamedTuple):
    """What tells one version of a file from the next without opening it. ``changed``: nanoseconds since the epoch.

    ``touched``: as ``changed``, but by the kernel's own account, which no program can set back; 0 where nobody keeps one.
    """

    size: int
    changed: int
    inode: int = 0
    touched: int = 0


class Files(Protocol):
    """All files of one place; equal when the place is. Every method: ``StorageError`` when the disk or the network refuses."""

    clock_step: ClassVar[int]
    """Nanoseconds within which two versions of a file may have an equal ``FileState``; 0 when they never have."""
    writers: ClassVar[int]
    """How many threads should write at once, where one write takes long; 0 where it does not."""

    @property
    def place(self) -> Place:
        """Where it is."""
        ...

    @property
    def local(self) -> Path:
        """A folder on this machine: the place itself, or where files go that only this machine needs."""
        ...

    def there(self) -> bool:
        """Whether anything was ever written."""
        ...

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content, or its first ``most`` bytes. FileNotFoundError; ``BadSectorError``."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Put ``content`` under ``name``, in place of what was there; durable when this returns."""
        ...

    def append(self, name: str, line: bytes) -> None:
        """Put ``line`` (or several), which ends in a line feed, behind what is in a file, made if need be; durable when this
        returns. After a refusal the file is as it was. One writer at a time."""
        ...

    def write_stream(self, name: str, write: WriteTo) -> bool:
        """As ``write`` with what ``write`` puts into a file; an equal content is left alone. Whether it was written."""
        ...

    def names(self, folder: str) -> set[str]:
        """The last parts of the names directly in ``folder``; none when there is no such folder. Opens no file."""
        ...

    def misplaced(self, folder: str) -> set[str]:
        """What lies directly in ``folder`` and is no file, so that nothing can be written there: a folder, a dead link."""
        ...

    def folders(self, folder: str) -> set[str]:
        """The last parts of the names of the folders directly in ``folder``; none when there is no such folder."""
        ...

    def states(self, folder: str) -> Mapping[str, FileState]:
        """The files directly in ``folder`` ("" for the place itself) by their last part; none when there is no such folder."""
        ...

    def delete(self, name: str) -> bool:
        """Remove a file; whether it was there."""
        ...

    def move(self, name: str, new: str) -> None:
        """Give a file a new name. FileNotFoundError."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """The right to write, for one driver: ``StoreLockedError`` when another has it. Makes the place if need be."""
        ...

    def clean(self, folders: Iterable[str]) -> None:
        """Remove what a killed writer left in ``folders``. Only under ``exclusive``."""
        ...

    def hurry(self) -> None:
        """From now on wait for nobody: what is being asked for fails as soon as it can."""
        ...


class Readable(Protocol):
    """A file that can be read: a ``Path`` or a ``StoredFile``. ``str()`` is what people call it."""

    @property
    def name(self) -> str:
        """The last part of its name."""
        ...

    def read_bytes(self) -> bytes:
        """The whole content; FileNotFoundError, ``StorageError``."""
        ...


@dataclass(frozen=True)
class StoredFile:
    """One file of a place, whether it exists or not."""

    files: Files
    key: str

    def __str__(self) -> str:
        return f"{self.files.place}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of its name."""
        return self.key.rsplit("/", 1)[-1]

    @property
    def folder(self) -> str:
        """Its name without the last part; "" for a file directly in the place."""
        return self.key.rpartition("/")[0]

    @property
    def path(self) -> Path | None:
        """Where it lies on a disk of this machine; None in object storage."""
        return self.files.place / self.key if isinstance(self.files.place, Path) else None

    def read_bytes(self, most: int | None = None) -> bytes:
        """The whole content, or its first ``most`` bytes; FileNotFoundError, ``UnreadableFileError``."""
        try:
            return self.files.read(self.key, most)
        except BadSectorError as error:
            raise UnreadableFileError(self, str(error)) from error

    def read_text(self) -> str:
        """The whole content as UTF-8; errors as ``read_bytes``."""
        return self.read_bytes().decode()

    def exists(self) -> bool:
        """Whether it is there."""
        return self.files.exists(self.key)

    def write_bytes(self, content: bytes) -> None:
        """Replace it as a whole."""
        self.files.write(self.key, content)

    def append(self, line: bytes) -> None:
        """Put a line behind what it holds."""
        self.files.append(self.key, line)

    def write_if_changed(self, content: bytes) -> bool:
        """Replace it unless it holds exactly that; whether it wrote."""
        try:
            if self.read_bytes() == content:
                return False
        except (FileNotFoundError, UnreadableFileError):
            pass  # one on a bad sector is replaced: the new one lies elsewhere
        self.write_bytes(content)
        return True

    def write_stream(self, write: WriteTo) -> bool:
        """Replace it by what ``write`` puts into a file unless that is equal; whether it wrote."""
        return self.files.write_stream(self.key, write)

    def move(self, key: str) -> None:
        """Give it another name in its place."""
        self.files.move(self.key, key)

    def delete(self) -> bool:
        """Remove it; whether it was there."""
        return self.files.delete(self.key)

    def state(self) -> FileState | None:
        """Its state; None when it is not there."""
        return self.files.states(self.folder).get(self.name)


@dataclass(frozen=True)
class StoredFolder:
    """A folder of a place, whether it exists or not."""

    files: Files
    key: str

    def __str__(self) -> str:
        return f"{self.files.place}/{self.key}"

    def __truediv__(self, name: str) -> StoredFile:
        return StoredFile(self.files, f"{self.key}/{name}")

    def clean(self) -> None:
        """Remove what killed writers left in it."""
        self.files.clean([self.key])
