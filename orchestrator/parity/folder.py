"""The files of a study: one ``.npz`` for each item that is done, under its id."""

from __future__ import annotations

from orchestrator.parity.findings import Arrays, parity_arrays
from orchestrator.parity.study import ParityItem
from orchestrator.storage import Place, StoredFile, open_files

_READINGS = "readings"


class ParityFolder:
    """The results folder of a study, on a disk or in object storage."""

    def __init__(self, place: Place) -> None:
        self.place, self.files = place, open_files(place)
        self.json, self.page, self.html = (StoredFile(self.files, name) for name in ("parity.json", "report.md", "report.html"))

    def read(self, item_id: str) -> Arrays | None:
        """What the file of an item holds; None where there is none, or a damaged one."""
        try:
            return parity_arrays(self._file(item_id).read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, item: ParityItem, content: bytes) -> None:
        """Keep what a worker gave."""
        self._file(item.id).write_bytes(content)

    def _file(self, item_id: str) -> StoredFile:
        return StoredFile(self.files, f"{_READINGS}/{item_id}.npz")
