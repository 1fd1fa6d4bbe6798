"""The files of a study: one ``.npz`` for each item that is done, under its id."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.parity.study import ParityItem
from orchestrator.storage import Place, StoredFile, open_files

Arrays = Mapping[str, npt.NDArray[Any]]
_READINGS = "readings"


class ParityFolder:
    """The results folder of a study, on a disk or in object storage."""

    def __init__(self, place: Place) -> None:
        self.place, self.files = place, open_files(place)
        self.json, self.page, self.html = (StoredFile(self.files, name) for name in ("parity.json", "report.md", "report.html"))

    def read(self, item: ParityItem) -> Arrays | None:
        """What the file of an item holds; None where there is none, or a damaged one."""
        try:
            with np.load(io.BytesIO(self._file(item).read_bytes()), allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return None

    def write(self, item: ParityItem, content: bytes) -> None:
        """Keep what a worker gave."""
        self._file(item).write_bytes(content)

    def _file(self, item: ParityItem) -> StoredFile:
        return StoredFile(self.files, f"{_READINGS}/{item.id}.npz")
