"""File names in a results folder, and what lies there, from the names alone: no content is read."""

from __future__ import annotations

import re
from functools import cached_property

from orchestrator.scoring.planned import OF_THE_POOL, scoring_item
from orchestrator.storage import Files, FileState, Place, StoredFile, StoredFolder, open_files

LABELS_OF_OLD = "labels"
"""Where earlier versions kept what is now made of ``scores``; only read."""

ENDINGS = {
    "directions": ".safetensors",
    "responses": ".parquet",
    LABELS_OF_OLD: ".parquet",
    "scores": ".parquet",
    "judgements": ".jsonl",
    "failures": ".json",
    "report": "",
    "ratings": ".jsonl",
    "analyses": "",
}

QUARANTINE = "quarantine"
LOGS = "logs"

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")


class FolderFiles:
    """The results folder at ``place``, a path or a URL: one file per item in a subfolder per kind.

    ``local`` is the folder itself, or for object storage a folder of this machine, for what only this machine needs.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.files: Files = open_files(place)
        self.local = self.files.local
        self.sweep = self._file("sweep.yaml")
        self.plan = self._file("plan.json")
        self.cells = self._file("cells.parquet")
        self.responses = self._file("responses.parquet")
        self.direction_table = self._file("directions.parquet")
        self.transfers = self._file("transfer.parquet")
        self.rates = self._file("rates.parquet")
        self.scores = self._file("scores.parquet")
        self.capability = self._file("capability.parquet")
        self.page = self._file("report.md")
        self.html_page = self._file("report.html")
        self.choices = self._file("choices.json")
        self.compacted = self._file(".compacted")
        self.driver = self._file("driver.json")
        self.requests = StoredFolder(self.files, "control")
        self.logs = self.local / LOGS

    def path(self, kind: str, name: str) -> StoredFile:
        """The file of an item; ValueError when ``name`` could lead out of the folder."""
        if not _SAFE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a file")
        return self._file(f"{kind}/{name}{ending_of(kind)}")

    def new(self, kind: str, name: str) -> StoredFile:
        """As ``path``; FileExistsError when the item is finished."""
        path = self.path(kind, name)
        if path.exists():
            raise FileExistsError(f"{path} is finished and never rewritten")
        return path

    @cached_property
    def analyses(self) -> dict[str, StoredFile]:
        """The tables of analyses, by their names."""
        from orchestrator.analysis import ANALYSES  # with all that their options are checked by

        return {name: self._file(f"{name}.parquet") for name in ANALYSES}

    def ids(self, kind: str) -> set[str]:
        """The items that have a file, from the names alone; temporary files are none."""
        ending = ending_of(kind)
        names = self.files.names(kind)
        return {name.removesuffix(ending) for name in names if is_item(name, ending)}

    def done(self, folder: str) -> set[str]:
        """The items whose files lie in ``folder``: those of a kind in ``ENDINGS``, or of another in ``analyses/<kind>``; of
        ``scores`` those that scorers of the pool give."""
        if folder == "scores":
            judges = [one for one in self.scorers() if one.partition("@")[0] in OF_THE_POOL]
            return {scoring_item(judge, cell_id) for judge in judges for cell_id in self.ids(scores_of(judge))}
        return {name.partition(".")[0] for name in self.files.names(folder) if is_item(name, ending_of(folder))}

    def finished(self) -> set[str]:
        """The items of every kind that have their file: what has it is done."""
        return {one for kind in ("directions", "responses", "scores", *self.measured()) for one in self.done(kind)}

    def analysis(self, kind: str, name: str) -> StoredFile:
        """The file of an item that is neither a direction nor a cell; ValueError when a name could lead out of the folder."""
        if not (_SAFE_NAME.fullmatch(kind) and _SAFE_NAME.fullmatch(name)):
            raise ValueError(f"{kind!r}, {name!r} cannot name a file")
        return self._file(f"analyses/{kind}/{name}")

    def states(self, kind: str) -> dict[str, FileState]:
        """The same as ``ids``, with each file's state."""
        found, ending = self.files.states(kind), ending_of(kind)
        return {name.removesuffix(ending): state for name, state in found.items() if is_item(name, ending)}

    def scorers(self) -> list[str]:
        """The ids of the scorers that have scores here."""
        return sorted(name for name in self.files.folders("scores") if _SAFE_NAME.fullmatch(name))

    def measured(self) -> list[str]:
        """The subfolders of the kinds of items that are neither directions nor cells."""
        return [f"analyses/{name}" for name in sorted(self.files.folders("analyses")) if _SAFE_NAME.fullmatch(name)]

    def _file(self, key: str) -> StoredFile:
        return StoredFile(self.files, key)


def scores_of(scorer: str) -> str:
    """The subfolder of a scorer's scores."""
    return f"scores/{scorer}"


def judgements_of(scorer: str) -> str:
    """The subfolder of what a judge replied."""
    return f"judgements/{scorer}"


def ending_of(kind: str) -> str:
    """How the files of a subfolder end."""
    return ENDINGS[kind.partition("/")[0]]


def is_item(name: str, ending: str) -> bool:
    """Whether a file is an item's, and no temporary one or a copy under a name that no item has."""
    return name.endswith(ending) and _SAFE_NAME.fullmatch(name.removesuffix(ending)) is not None
