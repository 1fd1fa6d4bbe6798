"""Where results lie: a local folder or object storage behind one protocol, ``Files``. Knows nothing of sweeps or cells."""

from pathlib import Path

from orchestrator.storage.errors import StorageError, StoreLockedError, UnreadableFileError
from orchestrator.storage.files import Files, FileState, Readable, StoredFile, StoredFolder
from orchestrator.storage.places import Place, S3Url, place_of

__all__ = [
    "FileState",
    "Files",
    "Place",
    "Readable",
    "S3Url",
    "StorageError",
    "StoreLockedError",
    "StoredFile",
    "StoredFolder",
    "UnreadableFileError",
    "open_files",
    "place_of",
]


def open_files(place: Place) -> Files:
    """The files of ``place``. Nothing is made or asked for yet."""
    if isinstance(place, Path):
        from orchestrator.storage.local import LocalFiles

        return LocalFiles(place)
    from orchestrator.storage.objects import ObjectFiles  # the network libraries take a while to import

    return ObjectFiles.of(place)
