"""The forms in which people have a behavior's prompts, each made into the same lines: recognised by the first object's keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.behaviors.entries import FORMS, FileEntry
from orchestrator.behaviors.faults import Faults

ROLES = ("positive", "negative", "test")
EARLIER = {"harmful": "positive", "harmless": "negative"}
"""Other names of two roles: those of files for refusal."""
FIELDS = dict.fromkeys(("positive", "negative"), ("id", "role", "text", "pair", "weight", "category")) | {
    "test": ("id", "role", "text", "category", "split", "target")
}
POSITIVE = ("positive", "harmful", "answer_matching_behavior")
NEGATIVE = ("negative", "harmless", "answer_not_matching_behavior")
PROMPT = ("prompt", "question")
MOST_WEIGHT = 1e6

_CHOICE = re.compile(r"\(\s*(\w{1,2})\s*\)")


@dataclass(frozen=True)
class Line:
    """One prompt of a file. ``answer``: what the model's turn begins with when a contrast prompt is read."""

    file: str
    number: int
    id: str
    role: str
    text: str
    pair: str | None = None
    category: str | None = None
    split: str | None = None
    target: str | None = None
    answer: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class FileForm:
    """One form: how it is called, and what makes an entry into lines (faults are gathered, and then there are none)."""

    title: str
    lines_of: Callable[[FileEntry, Faults], list[Line]]
    known: tuple[str, ...] = ()
    """Keys that are read; others in the file are left aside, and said. Empty: every other key is a fault."""


def form_of(entries: Sequence[FileEntry], faults: Faults) -> FileForm | None:
    """The form of a file by its first object; None, and a fault, when it is none of them."""
    first = next((entry for entry in entries if isinstance(entry.value, dict)), None)
    if first is None or not isinstance(first.value, dict):
        if entries and not any(isinstance(entry.value, list) for entry in entries):
            faults.add(entries[0].line, "", entries[0].value, "an entry is no JSON object, pair or row", FORMS)
            return None
        return PAIR_LISTS if entries else None
    keys = set(first.value)
    if "role" in keys or ("text" in keys and "id" in keys):
        return OWN
    if keys.intersection(POSITIVE) or keys.intersection(NEGATIVE):
        return CAA if keys.intersection((POSITIVE[-1], NEGATIVE[-1])) else PAIRS
    if "input" in keys:
        return SAMPLES
    faults.add(first.line, "", ", ".join(first.value), "the keys are those of no known form", FORMS)
    return None


def _own(entry: FileEntry, faults: Faults) -> list[Line]:
    value = entry.value
    if not isinstance(value, dict):
        faults.add(entry.line, "", value, "this line is not a JSON object", FORMS)
        return []
    before = len(faults.problems)
    written = value.get("role")
    role = EARLIER.get(written, written) if isinstance(written, str) else None
    if role not in ROLES:
        names = (*EARLIER, "test") if faults.earlier else ROLES
        faults.add(entry.line, "role", written, "unknown role" if "role" in value else "no role given", names)
    allowed = FIELDS.get(str(role), ("id", "role", "text", "pair", "weight", "category", "split", "target"))
    for name, given in value.items():
        if name not in allowed:
            faults.add(entry.line, name, given, "unknown field", allowed)
        elif name == "weight":
            _check_weight(entry, given, faults)
        elif name != "role":
            _check_text(entry, name, given, faults)
        elif not isinstance(given, str):
            faults.add(entry.line, name, given, "wrong type", "text in double quotes")
    for name in ("id", "text"):
        if name not in value:
            faults.add(entry.line, name, None, f"no {name} given")
    if len(faults.problems) > before:
        return []
    return [Line(faults.file, entry.line, **{**value, "role": role})]


def _check_weight(entry: FileEntry, given: object, faults: Faults) -> None:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given <= MOST_WEIGHT:
        faults.add(entry.line, "weight", given, "no weight", f"a number above 0 and at most {MOST_WEIGHT:g}")


def _check_text(entry: FileEntry, name: str, given: object, faults: Faults) -> None:
    if not isinstance(given, str):
        faults.add(entry.line, name, given, "wrong type", "text in double quotes")
    elif not given.strip():
        faults.add(entry.line, name, given, f"the {name} is empty", "some text")
    elif any("\ud800" <= character <= "\udfff" for character in given):
        faults.add(entry.line, name, given, f"the {name} holds half of a surrogate pair", "valid Unicode")


def _pair(entry: FileEntry, faults: Faults) -> list[Line]:
    """Two contrast prompts: bare texts are what the user says, answers to a prompt are what the model begins to say."""
    value = entry.value
    if not isinstance(value, dict):
        faults.add(entry.line, "", value, "this entry is no object with a pair", FORMS)
        return []
    positive, negative = (_only(entry, names, faults) for names in (POSITIVE, NEGATIVE))
    if positive is None or negative is None:
        return []
    prompt = _only(entry, PROMPT, faults, needed=POSITIVE[-1] in value or NEGATIVE[-1] in value)
    return _both(entry, positive, negative, prompt, faults)


def _only(entry: FileEntry, names: Sequence[str], faults: Faults, needed: bool = True) -> str | None:
    """The text under the one of ``names`` that is there."""
    value = entry.value
    assert isinstance(value, dict)
    there = [name for name in names if name in value]
    if len(there) > 1 or (needed and not there):
        told = f"given twice, as {' and '.join(there)}" if there else "is missing"
        faults.add(entry.line, names[0], None, told, f"one of {', '.join(names)}")
        return None
    if not there:
        return None
    before = len(faults.problems)
    _check_text(entry, there[0], value[there[0]], faults)
    return str(value[there[0]]) if len(faults.problems) == before else None


def _list_pair(entry: FileEntry, faults: Faults) -> list[Line]:
    value = entry.value
    if not isinstance(value, list) or len(value) != 2:
        faults.add(entry.line, "", value, "this entry is no pair", "[positive, negative]")
        return []
    before = len(faults.problems)
    for name, given in zip(("positive", "negative"), value, strict=True):
        _check_text(entry, name, given, faults)
    return _both(entry, value[0], value[1], None, faults) if len(faults.problems) == before else []


def _both(entry: FileEntry, positive: str, negative: str, prompt: str | None, faults: Faults) -> list[Line]:
    pair = str(entry.number)
    said = [(text, "") if prompt is None else (prompt, _opening(text)) for text in (positive, negative)]
    return [
        Line(faults.file, entry.line, f"{role[0]}{pair}", role, text, pair, answer=answer)
        for role, (text, answer) in zip(ROLES[:2], said, strict=True)
    ]


def _opening(answer: str) -> str:
    """``answer`` as the model's turn begins: without blanks around it, and ``(A)`` without its last bracket, so that the token
    that is read is the letter (as in CAA)."""
    choice = _CHOICE.fullmatch(answer.strip())
    return f"({choice[1]}" if choice else answer.strip()


def _sample(entry: FileEntry, faults: Faults) -> list[Line]:
    """A test prompt of inspect_ai: ``input``, and where they are there ``target`` (one or several answers) and ``id``."""
    value = entry.value
    if not isinstance(value, dict) or "input" not in value:
        faults.add(entry.line, "input", None, "no input given", '{"input": ..., "target": ...}')
        return []
    before = len(faults.problems)
    if isinstance(value["input"], list):
        faults.add(entry.line, "input", value["input"], "a conversation is no prompt", "the text of one user message")
    else:
        _check_text(entry, "input", value["input"], faults)
    target = _target(entry, value, faults)
    name = value.get("id")
    if name is not None and (isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip()):
        faults.add(entry.line, "id", name, "wrong type", "text or a whole number")
    if len(faults.problems) > before:
        return []
    return [
        Line(faults.file, entry.line, f"t{entry.number}" if name is None else str(name), "test", value["input"], target=target)
    ]


def _target(entry: FileEntry, value: Mapping[str, object], faults: Faults) -> str | None:
    given = value.get("target")
    several = given if isinstance(given, list) else [] if given in (None, "") else [given]
    for one in several:
        _check_text(entry, "target", one, faults)
    return " | ".join(map(str, several)) or None


OWN = FileForm("role and text (JSON)", _own)
PAIRS = FileForm("pairs: positive and negative, perhaps with a prompt", _pair, (*POSITIVE, *NEGATIVE, *PROMPT))
CAA = FileForm("question and two answers, as CAA and model-written-evals have them", _pair, (*POSITIVE, *NEGATIVE, *PROMPT))
PAIR_LISTS = FileForm("pairs: lists of two texts, as steering-vectors takes them", _list_pair)
SAMPLES = FileForm("test prompts: input and target, as inspect_ai has them", _sample, ("input", "target", "id"))
