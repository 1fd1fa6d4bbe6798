"""From behavior files to a behavior, with everything that is wrong in them told at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actors.types import Prompt
from orchestrator.behaviors.behavior import Behavior, TestPrompt
from orchestrator.behaviors.entries import FileEntry, read_entries
from orchestrator.behaviors.faults import Faults, raise_all
from orchestrator.behaviors.forms import ROLES, FileForm, Line, form_of
from orchestrator.behaviors.holdout import Holdout, held_out
from orchestrator.behaviors.published import SetUse
from orchestrator.behaviors.rules import check_classes, check_ids, check_overlap, check_pairs, check_roles

HELD_OUT = 0.5
"""Share of each half of a published set that is asked, where it gives contrast prompts and test prompts both."""

APART = (ROLES[:2], ROLES[2:])
"""The roles of the two files where test prompts lie apart."""


@dataclass(frozen=True)
class BehaviorFile:
    """A file, and how messages call it (None: by its path)."""

    path: Path
    called: str | None = None

    @property
    def name(self) -> str:
        """As messages call it."""
        return self.called or str(self.path)


NEUTRAL = BehaviorFile(Path(__file__).with_name("neutral.jsonl"))
"""The shipped everyday prompts, on which a steering should change nothing."""


@dataclass(frozen=True)
class FileRead:
    """What one file held. ``form``: in words; ``left_aside``: keys that nothing reads; ``pairs``: how many."""

    file: str
    form: str
    lines: tuple[Line, ...]
    left_aside: tuple[str, ...]

    @property
    def pairs(self) -> int:
        """How many contrast prompts stand opposite to one."""
        return len({line.pair for line in self.lines if line.pair is not None})


@dataclass(frozen=True)
class BehaviorRead:
    """A behavior and the files that it was read from."""

    behavior: Behavior
    files: tuple[FileRead, ...]


def load_behavior(
    name: str, path: Path, file: str | None = None, tests: BehaviorFile | None = None, holdout: Holdout | None = None
) -> Behavior:
    """Read and check a behavior; ``file`` is how messages call it, ``tests`` a file with the test prompts where they lie apart,
    ``holdout`` how many pairs become test prompts where there are none.

    Raises :class:`InputError` with every problem of the files and its line: of no known form, bad JSON or CSV, a key given twice,
    unknown role or field, wrong type, empty text, an id used twice, an incomplete pair, a test prompt that is also an extraction
    prompt, a prompt in both classes, a role without prompts. What is wrong in the same way in many lines is one problem.
    """
    return read_behavior(name, BehaviorFile(path, file), tests, holdout).behavior


def read_behavior(
    name: str, file: BehaviorFile | SetUse, tests: BehaviorFile | SetUse | None = None, holdout: Holdout | None = None
) -> BehaviorRead:
    """As :func:`load_behavior`, with what was read of each file. A published set gives contrast prompts in place of ``file``, of
    which ``holdout`` says how many of each half are asked (without ``tests``: half of them); in place of ``tests`` its prompts
    are asked, and those of ``file`` are not."""
    files = [file] if tests is None else [file, tests]
    sinks = [Faults(one.name) for one in files]
    if isinstance(file, SetUse) and tests is None and holdout is None:
        holdout = HELD_OUT
    read = tuple(_read(one, one is file, holdout, faults) for one, faults in zip(files, sinks, strict=True))
    if isinstance(tests, SetUse):
        read = (replace(read[0], lines=tuple(line for line in read[0].lines if line.role != "test")), read[1])
    lines = [line for one in read for line in one.lines]
    if holdout is not None and not isinstance(file, SetUse):
        lines = held_out(lines, holdout, sinks[0])
    by_file = {faults.file: faults for faults in sinks}
    strays = tests is not None and _told_strays(read, sinks)
    for check in () if strays else (check_ids, check_overlap, check_classes, check_pairs):
        check(lines, lambda line: by_file[line.file])
    if not any(faults.problems for faults in sinks):
        for faults, roles in [(sinks[0], ROLES)] if tests is None else zip(sinks, APART, strict=True):
            check_roles(lines, faults, roles)
    raise_all(sinks)
    categories = {line.id: line.category for line in lines if line.role != "test" and line.category is not None}
    behavior = Behavior(name, _contrast(lines, "positive"), _contrast(lines, "negative"), _tests(lines), categories)
    return BehaviorRead(behavior, read)


def load_prompts(file: BehaviorFile) -> tuple[Prompt, ...]:
    """The test prompts of a file that need have no others. ``InputError`` as for a behavior, also where an id is used twice."""
    faults = Faults(file.called or str(file.path))
    lines = list(_read(file, False, None, faults).lines)
    check_ids(lines, lambda _line: faults)
    if not faults.problems:
        check_roles(lines, faults, APART[1])
    raise_all([faults])
    return tuple(Prompt(one.id, one.text) for one in _tests(lines))


def _read(source: BehaviorFile | SetUse, contrast: bool, holdout: Holdout | None, faults: Faults) -> FileRead:
    if isinstance(source, SetUse):
        return FileRead(source.name, source.form, tuple(source.lines(faults, contrast, holdout)), ())
    entries = read_entries(source.path, faults)
    faults.earlier = any(_names_earlier(entry) for entry in entries)
    form = form_of(entries, faults)
    if form is None:
        return FileRead(faults.file, "", (), ())
    lines = tuple(line for entry in entries for line in form.lines_of(entry, faults))
    return FileRead(faults.file, form.title, lines, _left_aside(form, entries))


def _told_strays(read: Sequence[FileRead], sinks: Sequence[Faults]) -> bool:
    """Whether a file holds what belongs into the other one; each such line is a fault."""
    found = False
    for one, faults, roles in zip(read, sinks, APART, strict=True):
        for line in one.lines:
            if line.role not in roles:
                found = True
                told = "this role does not belong here, beside the other file"
                allowed = "contrast prompts in the one file, test prompts in the other"
                faults.add(line.number, "role", faults.called[line.role], told, allowed)
    return found


def _names_earlier(entry: FileEntry) -> bool:
    value = entry.value
    return isinstance(value, dict) and (value.get("role") in ("harmful", "harmless") or "harmful" in value)


def _left_aside(form: FileForm, entries: list[FileEntry]) -> tuple[str, ...]:
    seen = dict.fromkeys(key for entry in entries if isinstance(entry.value, dict) for key in entry.value)
    return tuple(key for key in seen if form.known and key not in form.known)


def _contrast(lines: list[Line], role: str) -> tuple[Prompt, ...]:
    return tuple(Prompt(line.id, line.text, line.answer, float(line.weight)) for line in lines if line.role == role)


def _tests(lines: list[Line]) -> tuple[TestPrompt, ...]:
    return tuple(
        TestPrompt(line.id, line.text, category=line.category, split=line.split, target=line.target)
        for line in lines
        if line.role == "test"
    )
