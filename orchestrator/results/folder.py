"""Reading what lies in a results folder, and moving damaged files out of the way."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TypeVar

from actors.types import DirectionSet
from orchestrator.damage import DamageItem, MeasuredDamage
from orchestrator.errors import InputError
from orchestrator.results.direction_file import DirectionSource, decode_direction, decode_source
from orchestrator.results.earlier_tables import renamed
from orchestrator.results.folder_files import ENDINGS, LABELS_OF_OLD, LOGS, QUARANTINE, FolderFiles, ending_of, is_item, scores_of
from orchestrator.results.parts import (
    StoredCell,
    StoredLabels,
    StoredScores,
    decode_damage,
    decode_labels,
    decode_responses,
    decode_scores,
    keys_of,
    same_responses,
)
from orchestrator.results.schema import Layout, Table, read_table
from orchestrator.storage import StoredFile, UnreadableFileError
from orchestrator.storage.atomic import write_bytes, write_if_changed

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)


class Folder(FolderFiles):
    """The results folder at ``place`` with the content of its files."""

    def keep(self, file: StoredFile, content: bytes) -> None:
        """Write what was made of other files, so that it need not be made again."""
        file.write_bytes(content)

    def damage(self, item_id: str) -> MeasuredDamage:
        """What an item of that kind measured."""
        with self.quarantining():
            return decode_damage(self.analysis(DamageItem.kind, item_id))

    def check_free(self) -> None:
        """InputError where a sweep would write over what is there, or move it away, and nothing says that one ran here: it is a
        folder of somebody's own work."""
        if self.plan.exists() or self.driver.exists() or self.ids("responses") or self.ids("directions"):
            return
        files, folders, kinds = self.files.names(""), self.files.folders(""), {*ENDINGS, QUARANTINE}
        held = {kind: self.files.names(kind) | self.files.folders(kind) for kind in folders & kinds}
        full = {kind for kind, names in held.items() if any(not one.startswith(".") for one in names)}
        taken = sorted((files | folders) & self._own_names() | files & kinds | full)
        if taken:
            message = f"it holds what is not of a sweep, under names that a sweep's results have: {', '.join(taken)}"
            raise InputError.because(message, "results", str(self.place), "another folder: a new one, or one of results")

    def clean(self) -> None:
        """Remove the unfinished files that a killed driver left, and whatever is in the way of a file or a folder."""
        self.clear_the_way()
        self.files.clean(["", *ENDINGS, *map(scores_of, self.scorers()), *self.measured()])

    def clear_the_way(self) -> None:
        """Move to ``quarantine/`` what lies under the name of a file and is none, or of a folder and is a file."""
        there = self.files.names("")
        for folder in (QUARANTINE, *ENDINGS, LOGS, self.requests.key):
            if folder in there:
                self._move_away(folder, f"{folder}.file" if folder == QUARANTINE else f"{QUARANTINE}/{folder}.file")
        for folder in ("scores", "analyses"):  # where folders belong
            for name in sorted(self.files.names(folder)):
                self._move_away(f"{folder}/{name}", f"{QUARANTINE}/{folder}-{name}.file")
        for name in sorted(self.files.misplaced("") & self._own_names()):
            self._move_away(name, f"{QUARANTINE}/tables-{name}")
        for kind in (*(one for one in ENDINGS if one != "analyses"), *map(scores_of, self.scorers()), *self.measured()):
            for name in sorted(self.files.misplaced(kind)):
                if is_item(name, ending_of(kind)):
                    self._move_away(f"{kind}/{name}", f"{QUARANTINE}/{kind.replace('/', '-')}-{name}")

    def direction(self, direction_id: str) -> DirectionSet:
        """A direction set. All readers here: FileNotFoundError; ``UnreadableFileError`` after moving a damaged file away."""
        with self.quarantining():
            return decode_direction(self.path("directions", direction_id))

    def direction_source(self, direction_id: str) -> DirectionSource:
        """Where a direction set comes from, from its header alone."""
        with self.quarantining():
            return decode_source(self.path("directions", direction_id))

    def response_part(self, cell_id: str) -> StoredCell:
        """A cell's response table, what was measured, and where it was steered."""
        with self.quarantining():
            return decode_responses(self.path("responses", cell_id), cell_id)

    def score_part(self, scorer: str, cell_id: str, responses: Table | None = None) -> StoredScores:
        """The scores that a scorer, by its id, gave a cell; ``responses``: a part of the responses there are, or of other scores
        of them (None: not at hand)."""
        with self.quarantining():
            file = self.path(scores_of(scorer), cell_id)
            found = decode_scores(file, scorer, cell_id)
            if responses is not None and not same_responses(found.table, responses):
                raise UnreadableFileError(file, "scores other responses than there are")
            return found

    def label_part(self, cell_id: str, responses: Table | None = None) -> StoredLabels:
        """A cell's labels as earlier versions stored them, in the order of ``responses``, what could be given, and when."""
        with self.quarantining():
            file = self.path(LABELS_OF_OLD, cell_id)
            found = decode_labels(file, cell_id)
            by_key = {label.key: label for label in found.labels}
            if responses is None:
                return found
            keys = keys_of(responses)
            if by_key.keys() != set(keys):
                raise UnreadableFileError(file, "labels other responses than there are")
            return replace(found, labels=tuple(by_key[one] for one in keys))

    def rows(self, path: StoredFile, layout: Layout[_T], only: Mapping[str, Collection[str]] = {}) -> list[_T]:
        """The rows of a compacted table, or ``only`` those which have one of these values in the column of that name."""
        with self.quarantining():
            return layout.rows(renamed(read_table(path)), path, only)

    def fetch(self, folder: str) -> None:
        """Copy the files directly in ``folder`` of object storage to this machine, but for dot files."""
        target = self.local / folder
        target.mkdir(parents=True, exist_ok=True)
        for name in self.files.names(folder):
            if not name.startswith("."):
                write_if_changed(target / name, self.files.read(f"{folder}/{name}" if folder else name))

    def fetched_logs(self) -> Path:
        """The folder of the logs, with the events of drivers on other machines in it as far as they were copied."""
        if self.place != self.local:
            for name, state in self.files.states(LOGS).items():
                copy = self.logs / name
                if name.startswith("events-") and not (copy.is_file() and copy.stat().st_size >= state.size):
                    write_bytes(copy, self.files.read(f"{LOGS}/{name}"))
        return self.logs

    @contextmanager
    def quarantining(self) -> Iterator[None]:
        """Move the file that an ``UnreadableFileError`` names to ``quarantine/``, and pass the error on."""
        try:
            yield
        except UnreadableFileError as error:
            self.quarantine(error)
            raise

    def quarantine(self, error: UnreadableFileError) -> None:
        """Move a damaged file away with a warning, and with responses what was made from them."""
        kind, _, name = error.key.rpartition("/")
        made = (LABELS_OF_OLD, *map(scores_of, self.scorers())) if kind == "responses" else ()
        # a kill in between must not leave scores of responses that are gone
        for victim in (*(self._file(f"{one}/{name}") for one in made), self._file(error.key)):
            if victim.exists():
                victim.move(self._free(f"{QUARANTINE}/{victim.folder.replace('/', '-') or 'tables'}-{victim.name}"))
        _LOG.warning("damaged file moved to %s/%s, to be made anew: %s", self.place, QUARANTINE, error)

    def _free(self, key: str) -> str:
        """``key``, or its first numbered neighbour that does not exist."""
        folder, _, name = key.rpartition("/")
        taken = self.files.names(folder) | self.files.misplaced(folder)
        numbered = (f"{name}.{number}" if number else name for number in count())
        return f"{folder}/{next(free for free in numbered if free not in taken)}".lstrip("/")

    def _move_away(self, key: str, target: str) -> None:
        self.files.move(key, self._free(target))
        _LOG.warning("%s/%s was in the way, where no such thing belongs: moved to %s", self.place, key, target)

    def _own_names(self) -> set[str]:
        """The files directly in the folder."""
        return {one.key for one in (*vars(self).values(), *self.analyses.values()) if isinstance(one, StoredFile)}
