"""A behavior is data: contrast prompts to extract a direction from, and test prompts to steer on, in one JSONL file.

One object per line: ``{"id", "role": "harmful" | "harmless" | "test", "text"}``; contrast prompts may name their ``pair``,
test prompts a ``category`` and a ``split``.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.types import Prompt
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.json_text import DuplicateKeyError, parse_json

ROLES = ("harmful", "harmless", "test")
FIELDS = {"harmful": ("id", "role", "text", "pair"), "harmless": ("id", "role", "text", "pair")} | {
    "test": ("id", "role", "text", "category", "split")
}
MAX_BYTES = 50_000_000
_OBJECT = 'an object: {"id": ..., "role": ..., "text": ...}'

TOLD = 5
"""Problems of one kind that are told one by one; more are told in one line."""

_NUMBERED = re.compile(r"\S*\d\S*")

NEAR_DUPLICATE = 0.5
"""Share of content words (Jaccard index) from which two prompts count as near duplicates."""

_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by can could do does for from had has have how i in into is it me my of on or our please "
        "s should so some t that the their them then there these they this to up was we were what when where which "
        "who why will with would you your",
    )
)


@dataclass(frozen=True)
class TestPrompt(Prompt):
    """A prompt that is steered and labelled, with the optional ``category`` and ``split`` that reports group by."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    category: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Behavior:
    """Contrast prompts and test prompts under one name. Extraction and test prompts are disjoint."""

    name: str
    harmful: tuple[Prompt, ...]
    harmless: tuple[Prompt, ...]
    test: tuple[TestPrompt, ...]

    def near_duplicates(self) -> tuple[tuple[str, str], ...]:
        """Ids of (extraction prompt, test prompt) that say nearly the same, though not in the same words."""
        extraction = [(prompt.id, _content_words(prompt.text)) for prompt in (*self.harmful, *self.harmless)]
        test = [(prompt.id, _content_words(prompt.text)) for prompt in self.test]
        return tuple(
            (one, other)
            for (one, words), (other, other_words) in itertools.product(extraction, test)
            if _jaccard(words, other_words) >= NEAR_DUPLICATE
        )


@dataclass(frozen=True)
class _Line:
    number: int
    id: str
    role: str
    text: str
    pair: str | None = None
    category: str | None = None
    split: str | None = None


@dataclass
class _Reader:
    """Reads the lines of one file and gathers what is wrong with them."""

    file: str
    problems: list[Problem] = field(default_factory=list)

    def report(self, number: int | None, name: str, value: object, message: str, allowed: str | None = None) -> None:
        nearest = nearest_name(value, ROLES) if name == "role" else None
        self.problems.append(Problem(name, value, message, allowed, nearest, number, self.file))

    def lines(self, text: str) -> Iterator[_Line]:
        # not splitlines(): JSON text may hold U+2028 and other characters that it would split at
        for number, written in enumerate(text.split("\n"), start=1):
            if written.strip():
                line = self.line(number, written)
                if line is not None:
                    yield line

    def line(self, number: int, written: str) -> _Line | None:
        try:
            entry = parse_json(written, keys_once=True)
        except DuplicateKeyError as error:
            self.report(number, error.key, None, "duplicate key: this line gives it twice", "each key once")
            return None
        except ValueError as error:
            self.report(number, "", None, f"this line is not valid JSON: {error}", _OBJECT)
            return None
        if not isinstance(entry, dict):
            self.report(number, "", entry, "this line is not a JSON object", _OBJECT)
            return None
        before = len(self.problems)
        role = entry.get("role")
        if role not in ROLES:
            self.report(number, "role", role, "unknown role" if "role" in entry else "no role given", ", ".join(ROLES))
        self.check_fields(number, entry, FIELDS.get(str(role), tuple(_Line.__dataclass_fields__)[1:]))
        return _Line(number, **entry) if len(self.problems) == before else None

    def check_fields(self, number: int, entry: dict[str, object], allowed: tuple[str, ...]) -> None:
        for name, value in entry.items():
            if name not in allowed:
                nearest = nearest_name(name, allowed)
                self.problems.append(Problem(name, value, "unknown field", ", ".join(allowed), nearest, number, self.file))
            elif not isinstance(value, str):
                self.report(number, name, value, "wrong type", "text in double quotes")
            elif not value.strip() and name != "role":
                self.report(number, name, value, f"the {name} is empty", "some text")
            elif not _encodable(value):
                self.report(number, name, value, f"the {name} holds half of a surrogate pair", "valid Unicode")
        for name in ("id", "text"):
            if name not in entry:
                self.report(number, name, None, f"no {name} given")

    def check_ids(self, lines: list[_Line]) -> None:
        first: dict[str, int] = {}
        for line in lines:
            if line.id in first:
                self.report(line.number, "id", line.id, f"this id is already used in line {first[line.id]}", "one id per prompt")
            first.setdefault(line.id, line.number)

    def check_overlap(self, lines: list[_Line]) -> None:
        extraction = {_normalized(line.text): line for line in lines if line.role != "test"}
        for line in lines:
            twin = extraction.get(_normalized(line.text))
            if line.role == "test" and twin is not None:
                message = f"test prompt {line.id} is also extraction prompt {twin.id} (line {twin.number})"
                self.report(line.number, "text", line.text, message, "test prompts that no direction is extracted from")

    def check_classes(self, lines: list[_Line]) -> None:
        harmful = {_normalized(line.text): line for line in lines if line.role == "harmful"}
        for line in lines:
            twin = harmful.get(_normalized(line.text))
            if line.role == "harmless" and twin is not None:
                message = f"harmless prompt {line.id} is also harmful prompt {twin.id} (line {twin.number})"
                self.report(line.number, "text", line.text, message, "classes that share no prompt")

    def check_pairs(self, lines: list[_Line]) -> None:
        sides = Counter((line.pair, line.role) for line in lines if line.pair is not None)
        for line in lines:
            if line.pair is not None and [sides[line.pair, role] for role in ROLES[:2]] != [1, 1]:
                allowed = "one harmful and one harmless prompt under each pair name"
                self.report(line.number, "pair", line.pair, "this pair is not complete or not unique", allowed)

    def check_roles(self, lines: list[_Line]) -> None:
        for role in ROLES:
            if not any(line.role == role for line in lines):
                self.report(None, "role", None, f"the file has no {role} prompts", "at least one prompt of each role")


def load_behavior(name: str, path: Path, file: str | None = None) -> Behavior:
    """Read and check a behavior file; ``file`` is how messages call it.

    Raises :class:`InputError` with every problem of the file and its line: bad JSON, a key given twice, unknown role or field,
    wrong type, empty text, an id used twice, an incomplete pair, a test prompt that is also an extraction prompt, a prompt in
    both classes, a role without prompts. A file of another kind (a JSON array, CSV) is one problem, and so is what is wrong in
    the same way in many lines.
    """
    reader = _Reader(file or str(path))
    text = _read(path, reader.file)
    _check_layout(text, reader.file)
    lines = list(reader.lines(text))
    reader.check_ids(lines)
    reader.check_overlap(lines)
    reader.check_classes(lines)
    reader.check_pairs(lines)
    if not reader.problems:
        reader.check_roles(lines)
    if reader.problems:
        raise InputError(*_folded(sorted(reader.problems, key=lambda problem: problem.line or 0)))
    return Behavior(name, _contrast(lines, "harmful"), _contrast(lines, "harmless"), _tests(lines))


def _read(path: Path, file: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(Problem("file", None, f"the behavior file is larger than {MAX_BYTES // 10**6} MB", file=file))
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(Problem("file", str(path), f"cannot read the behavior file: {error.strerror}", file=file)) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem("file", None, "the behavior file is not UTF-8 text", "UTF-8", file=file)) from error


def _check_layout(text: str, file: str) -> None:
    """One problem, and not one for each line, for a file that is something else than one JSON object per line."""
    written = [line.strip() for line in text.split("\n") if line.strip()]
    message = ""
    if not written:
        message = "the behavior file is empty"
    elif "\0" in text:
        message = "the behavior file holds NUL characters (is it UTF-16?)"
    elif written[0].startswith("["):
        message = "the behavior file is a JSON array"
    elif len(written) > 1 and not any(map(_is_object, written)):
        one = "{" in written[0]
        message = f"no line is a JSON object of its own ({'an object goes over several lines' if one else 'is it JSON at all?'})"
    if message:
        value = written[0] if written and "\0" not in text else None
        raise InputError(Problem("", value, message, f"in every line {_OBJECT}, and nothing between the lines", None, None, file))


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _folded(problems: Sequence[Problem]) -> list[Problem]:
    """``problems`` with one in place of many that differ only in their lines, ids and numbers."""
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((problem.field, _NUMBERED.sub("", problem.message.partition(":")[0])), []).append(problem)
    return [one for same in kinds.values() for one in (same if len(same) <= TOLD else [_all_in_one(same)])]


def _all_in_one(same: Sequence[Problem]) -> Problem:
    lines = ", ".join(str(problem.line) for problem in same[1 : TOLD + 1])
    return replace(same[0], message=f"{same[0].message} (as in {len(same) - 1} more lines: {lines}, ...)")


def _contrast(lines: Iterable[_Line], role: str) -> tuple[Prompt, ...]:
    return tuple(Prompt(line.id, line.text) for line in lines if line.role == role)


def _tests(lines: Iterable[_Line]) -> tuple[TestPrompt, ...]:
    return tuple(TestPrompt(line.id, line.text, line.category, line.split) for line in lines if line.role == "test")


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _normalized(text: str) -> str:
    """The words alone: no case, punctuation, spacing or typographic variants. Falls back to the text where there are none."""
    return " ".join(_words(text)) or text.strip()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold().replace("’", "'"))


def _content_words(text: str) -> frozenset[str]:
    return frozenset(_words(text)) - _FUNCTION_WORDS


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Shared words / all words; 0 where either has none."""
    return len(one & other) / len(one | other) if one and other else 0.0
