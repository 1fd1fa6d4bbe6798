"""File names in a results folder, reading what lies there, and moving damaged files out of the way."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Literal

from actors.types import DirectionSet
from orchestrator.atomic import clean
from orchestrator.classifiers import Label
from orchestrator.direction_file import decode_direction
from orchestrator.parts import decode_labels, decode_responses
from orchestrator.rows import CellMeasures
from orchestrator.schema import Table, UnreadableFileError

Kind = Literal["directions", "responses", "labels", "failures", "figures"]

ENDINGS: dict[Kind, str] = {
    "directions": ".safetensors",
    "responses": ".parquet",
    "labels": ".parquet",
    "failures": ".json",
    "figures": ".png",
}

_LOG = logging.getLogger(__name__)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Folder:
    """The results folder ``root``: one file per item in a subfolder per kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sweep = root / "sweep.yaml"
        self.plan = root / "plan.json"
        self.cells = root / "cells.parquet"
        self.responses = root / "responses.parquet"
        self.page = root / "report.md"
        self.compacted = root / ".compacted"
        self.lock = root / ".lock"

    def path(self, kind: Kind, name: str) -> Path:
        """The file of an item; ValueError when ``name`` could lead out of the folder."""
        if not _SAFE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a file")
        return self.root / kind / f"{name}{ENDINGS[kind]}"

    def new(self, kind: Kind, name: str) -> Path:
        """As ``path``; FileExistsError when the item is finished."""
        path = self.path(kind, name)
        if path.exists():
            raise FileExistsError(f"{path} is finished and never rewritten")
        return path

    def ids(self, kind: Kind) -> set[str]:
        """The items that have a file, from the names alone; temporary files are none."""
        try:
            with os.scandir(self.root / kind) as entries:
                names = [entry.name for entry in entries]
        except FileNotFoundError:
            return set()
        ending = ENDINGS[kind]
        return {name.removesuffix(ending) for name in names if name.endswith(ending) and not name.startswith(".")}

    def clean(self) -> None:
        """Remove the temporary files that a killed driver left."""
        for folder in (self.root, *(self.root / kind for kind in ENDINGS)):
            clean(folder)

    def direction(self, direction_id: str) -> DirectionSet:
        """A direction set. All readers here: FileNotFoundError; ``UnreadableFileError`` after moving a damaged file away."""
        with self.quarantining():
            return decode_direction(self.path("directions", direction_id))

    def response_part(self, cell_id: str) -> tuple[Table, CellMeasures]:
        """A cell's response table and what was measured."""
        with self.quarantining():
            return decode_responses(self.path("responses", cell_id), cell_id)

    def label_part(self, cell_id: str) -> tuple[tuple[Label, ...], datetime]:
        """A cell's labels and when they were made."""
        with self.quarantining():
            return decode_labels(self.path("labels", cell_id), cell_id)

    @contextmanager
    def quarantining(self) -> Iterator[None]:
        """Move the file that an ``UnreadableFileError`` names to ``quarantine/``, and pass the error on."""
        try:
            yield
        except UnreadableFileError as error:
            self.quarantine(error)
            raise

    def quarantine(self, error: UnreadableFileError) -> None:
        """Move a damaged file away with a warning, and with responses the labels that were made from them."""
        target = self.root / "quarantine"
        target.mkdir(exist_ok=True)
        labels = [self.root / "labels" / error.path.name] if error.path.parent.name == "responses" else []
        for victim in (error.path, *labels):
            if victim.exists():
                os.replace(victim, _free(target / f"{victim.parent.name}-{victim.name}"))
        _LOG.warning("damaged file moved to %s, to be made anew: %s", target, error)


def _free(path: Path) -> Path:
    """``path``, or its first numbered neighbour that does not exist."""
    numbered = (path.with_name(f"{path.name}.{number}") if number else path for number in count())
    return next(free for free in numbered if not free.exists())
