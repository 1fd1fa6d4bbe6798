"""Files of a folder on a disk: temporary file, fsync, rename, fsync of the folder; one driver by ``flock``."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from orchestrator.storage.atomic import append_line, clean, sync_folder, write_atomic, write_bytes, write_if_changed
from orchestrator.storage.errors import BadSectorError, StorageError
from orchestrator.storage.files import FileState, WriteTo
from orchestrator.storage.locking import exclusive

LOCK = ".lock"


@dataclass(frozen=True)
class LocalFiles:
    """The files of the folder ``place``."""

    place: Path
    clock_step: ClassVar[int] = 0  # a new version is a renamed file: its inode differs
    writers: ClassVar[int] = 0

    @property
    def local(self) -> Path:
        """The folder itself."""
        return self.place

    def there(self) -> bool:
        """Whether the folder exists."""
        with self._telling("look for the folder"):
            return self.place.is_dir()

    def read(self, name: str, most: int | None = None) -> bytes:
        """A bad sector (EIO) makes the file unreadable, not the disk: its item can be made anew. Folders, pipes and devices are
        no files: of some of them a read would never end."""
        path = self.place / name
        try:
            if not path.is_file():
                raise FileNotFoundError(errno.ENOENT, "there is no file", name)
            with path.open("rb") as file:
                return file.read(-1 if most is None else most)
        except OSError as error:
            if error.errno == errno.EIO:
                raise BadSectorError(error.errno, error.strerror) from error
            raise self._told(error, f"read {name}") from error

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._telling(f"look for {name}"):
            return (self.place / name).is_file()

    def write(self, name: str, content: bytes) -> None:
        """Atomic and durable."""
        with self._telling(f"write {name}"):
            write_bytes(self.place / name, content)

    def append(self, name: str, line: bytes) -> None:
        """One write and an fsync. Half a line that a power cut left is ended first."""
        with self._telling(f"write {name}"):
            append_line(self.place / name, line)

    def write_stream(self, name: str, write: WriteTo) -> bool:
        """Atomic and durable."""
        with self._telling(f"write {name}"):
            return write_atomic(self.place / name, write, keep_equal=True)

    def names(self, folder: str) -> set[str]:
        """From one look at the folder."""
        with self._entries(folder) as entries:
            return {entry.name for entry in entries if _is_file(entry)}

    def misplaced(self, folder: str) -> set[str]:
        """From one look at the folder."""
        with self._entries(folder) as entries:
            return {entry.name for entry in entries if not _is_file(entry)}

    def folders(self, folder: str) -> set[str]:
        """From one look at the folder."""
        with self._entries(folder) as entries:
            return {entry.name for entry in entries if entry.is_dir()}

    def states(self, folder: str) -> Mapping[str, FileState]:
        """From one look at the folder and one at each file."""
        found: dict[str, FileState] = {}
        with self._entries(folder) as entries:
            for entry in entries:
                try:
                    if _is_file(entry):
                        found[entry.name] = _state(entry.stat())
                except FileNotFoundError:
                    continue  # removed since it was listed, as temporary files are
        return found

    def delete(self, name: str) -> bool:
        """Unlink it."""
        with self._telling(f"remove {name}"):
            try:
                (self.place / name).unlink()
            except FileNotFoundError:
                return False
            return True

    def move(self, name: str, new: str) -> None:
        """Rename it, durably."""
        with self._telling(f"move {name}"):
            target = self.place / new
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.place / name, target)
            sync_folder(target.parent)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """``flock`` on ``.lock``."""
        try:
            self.place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError.of(error, "make the results folder", str(self.place)) from error
        with exclusive(self.place / LOCK):
            yield

    def clean(self, folders: Iterable[str]) -> None:
        """Remove temporary files."""
        for folder in folders:
            with self._telling(f"clean {folder or 'the folder'}"):
                clean(self.place / folder)

    def hurry(self) -> None:
        """Nothing here waits."""

    @contextmanager
    def _entries(self, folder: str) -> Iterator[Iterable[os.DirEntry[str]]]:
        with self._telling(f"list {folder or 'the files'}"):
            try:
                entries = os.scandir(self.place / folder)
            except (FileNotFoundError, NotADirectoryError):
                yield ()
                return
            with entries:
                yield entries

    @contextmanager
    def _telling(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._told(error, doing) from error

    def _told(self, error: OSError, doing: str) -> OSError:
        if isinstance(error, StorageError | FileNotFoundError):
            return error
        return StorageError.of(error, doing, str(self.place))


def write_for_people(path: Path, content: bytes) -> None:
    """Write a file that somebody asked for by name, outside of any place; ``StorageError`` when the disk refuses, or when
    there is a folder, a pipe or a device, which a new file would replace for everybody. A link stays one."""
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.ENXIO, "it is no file, but a folder, a pipe or a device")
        write_if_changed(Path(os.path.realpath(path)), content)
    except OSError as error:
        raise StorageError.of(error, f"write {path.name}", str(path.parent)) from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link that leads to itself
            return False
        raise


def _state(found: os.stat_result) -> FileState:
    return FileState(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)
