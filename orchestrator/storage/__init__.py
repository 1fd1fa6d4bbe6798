"""Where results lie: a local folder or object storage behind one protocol, ``Files``. Knows nothing of sweeps or cells."""

from orchestrator.storage.errors import StorageError, StoreLockedError, UnreadableFileError
from orchestrator.storage.files import Files, FileState, Readable, StoredFile, StoredFolder, open_files
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
