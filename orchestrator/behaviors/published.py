"""The prompts of published sets. Their texts are not shipped: a set is fetched once, checked against its SHA-256 and kept beside
the hub's files, or read from copies on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.behaviors.entries import FileEntry, read_entries
from orchestrator.behaviors.faults import Faults
from orchestrator.behaviors.forms import Line
from orchestrator.behaviors.holdout import Holdout, of_halves
from orchestrator.behaviors.sets import SETS, Half, SetFile
from orchestrator.errors import InputError, Problem
from orchestrator.models.hub import cache_folder, fetch


@dataclass(frozen=True)
class SetUse:
    """A set as a sweep file names it. ``files``: copies on this machine, one for each of its files; ``sha256``: of the one file
    of a set that has no pinned one."""

    name: str
    files: tuple[Path, ...] = ()
    sha256: str | None = None

    @property
    def form(self) -> str:
        """What was read, for people: licence, whose it is, and where from."""
        found = SETS[self.name]
        where = [f"{one.repo}@{one.revision[:12]}, SHA-256 {one.sha256[:12]}" for one in found.files]
        return f"published set, licence {found.licence}, by {found.by}" + "".join(f" ({one})" for one in where)

    def lines(self, faults: Faults, contrast: bool, holdout: Holdout | None) -> list[Line]:
        """Its prompts: as test prompts whose split is their half; or ``contrast``, harmful ones positive and benign ones
        negative, of which ``holdout`` (None: nothing) stays test prompts. ``InputError`` for a file that cannot be had, is
        another one, or lacks a column."""
        found = [line for path, half in self._checked() for line in self._read(path, half, faults)]
        return of_halves(found, {"harmful": "positive", "benign": "negative"}, holdout) if contrast else found

    def _checked(self) -> list[tuple[Path, Half | None]]:
        pinned = SETS[self.name].files
        if not pinned:
            if len(self.files) != 1:
                told = "no file of this set is pinned: name your copy, and best its hash"
                raise _unusable(self, told, "{name: beavertails, files: [test.jsonl], sha256: ...}")
            return [(_verified(self, self.files[0], self.sha256), "harmful")]
        if self.files and len(self.files) != len(pinned):
            names = ", ".join(Path(one.path).name for one in pinned)
            raise _unusable(self, f"{len(self.files)} files are named", f"a copy of each, in this order: {names}")
        paths = self.files or tuple(_cached(self, one) for one in pinned)
        return [(_verified(self, path, one.sha256), one.half) for path, one in zip(paths, pinned, strict=True)]

    def _read(self, path: Path, half: Half | None, faults: Faults) -> list[Line]:
        return [self._line(path, entry, half) for entry in read_entries(path, faults)]

    def _line(self, path: Path, entry: FileEntry, half: Half | None) -> Line:
        columns = SETS[self.name]

        def value(name: str) -> str:
            if not isinstance(entry.value, Mapping) or not isinstance(entry.value.get(name), str | int):
                raise _unusable(self, f"{path.name}, line {entry.line}: there is no text in the column '{name}'")
            return str(entry.value[name]).strip()

        half = half or columns.halves.get(value(columns.half))
        if half is None:
            raise _unusable(self, f"{path.name}, line {entry.line}: neither half in '{columns.half}'", ", ".join(columns.halves))
        text, context = value(columns.text), value(columns.context) if columns.context else ""
        category = value(columns.category) if columns.category else None
        name = f"{half}-{value(columns.id) if columns.id else entry.number}"
        asked = f"{context}\n\n---\n\n{text}" if context else text
        return Line(self.name, entry.line, name, "test", asked, category=category, split=half)


def _unusable(use: SetUse, told: str, allowed: str | None = None) -> InputError:
    return InputError(Problem("set", use.name, told, allowed))


def _cached(use: SetUse, file: SetFile) -> Path:
    """The file in the cache, fetched where it is not there yet."""
    path = cache_folder() / "prompt-sets" / file.sha256 / Path(file.path).name
    if path.is_file():
        return path
    copies = f"files: [...], copies of {', '.join(Path(one.path).name for one in SETS[use.name].files)}"
    content = fetch(file.url, hub=file.hub)
    if isinstance(content, str):
        raise _unusable(use, f"{file.url} cannot be had: {content}", copies)
    _require_hash(use, file.url, content, file.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    whole.write_bytes(content)
    whole.replace(path)
    return path


def _verified(use: SetUse, path: Path, sha256: str | None) -> Path:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(use, f"{path} cannot be read: {error.strerror}") from error
    if sha256 is not None:
        _require_hash(use, str(path), content, sha256)
    return path


def _require_hash(use: SetUse, where: str, content: bytes, wanted: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted:
        raise _unusable(use, f"{where} is another file: its SHA-256 is {found}", f"the bytes whose SHA-256 is {wanted}")
