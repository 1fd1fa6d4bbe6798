"""A behavior file as entries, each with its line: the objects of a JSONL file or JSON array, the rows of a CSV or TSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.behaviors.faults import Faults
from orchestrator.errors import InputError, Problem
from orchestrator.json_text import DuplicateKeyError, array_elements, parse_json

MAX_BYTES = 50_000_000
DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMS = (
    'an object a line: {"id": ..., "role": ..., "text": ...}; or pairs (JSON, CSV or TSV: positive, negative and perhaps prompt; '
    'or question, answer_matching_behavior, answer_not_matching_behavior); or {"input": ..., "target": ...} a line'
)
"""What a file may hold, for messages."""


@dataclass(frozen=True)
class FileEntry:
    """One object, row or pair. ``number``: from 1, among the entries of the file; ``line``: where it begins."""

    number: int
    line: int
    value: object


def read_entries(path: Path, faults: Faults) -> list[FileEntry]:
    """The entries of ``path``; what cannot be read as one goes to ``faults``. ``InputError`` for a file that is none at all."""
    text = _text(path, faults.file)
    if not text.strip():
        raise _unfit("the behavior file is empty", None, faults.file)
    if "\0" in text:
        raise _unfit("the behavior file holds NUL characters (is it UTF-16?)", None, faults.file)
    if path.suffix.lower() in DELIMITERS:
        values = _rows(text, DELIMITERS[path.suffix.lower()], faults)
    elif text.lstrip().startswith("["):
        values = _elements(text, faults)
    else:
        values = _lines(text, faults)
    return [FileEntry(number, line, value) for number, (line, value) in enumerate(values, start=1)]


def _text(path: Path, file: str) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(Problem("file", None, f"the behavior file is larger than {MAX_BYTES // 10**6} MB", file=file))
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(Problem("file", str(path), f"cannot read the behavior file: {error.strerror}", file=file)) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem("file", None, "the behavior file is not UTF-8 text", "UTF-8", file=file)) from error


def _unfit(message: str, value: str | None, file: str) -> InputError:
    return InputError(Problem("", value, message, FORMS, None, None, file))


def _elements(text: str, faults: Faults) -> Iterator[tuple[int, object]]:
    line = 1
    try:
        for line, value in array_elements(text):
            yield line, value
    except DuplicateKeyError as error:
        faults.add(None, error.key, None, f"duplicate key: an entry after line {line} gives it twice", "each key once")
    except ValueError as error:
        faults.add(None, "", None, f"the JSON array is not valid: {error}", FORMS)


def _lines(text: str, faults: Faults) -> Iterator[tuple[int, object]]:
    # not splitlines(): JSON text may hold U+2028 and other characters that it would split at
    written = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if len(written) > 1 and not any(_is_object(line) for _, line in written):
        one = "{" in written[0][1]
        told = f"no line is a JSON object of its own ({'an object goes over several lines' if one else 'is it JSON at all?'})"
        raise _unfit(told, written[0][1].strip(), faults.file)
    for number, line in written:
        try:
            yield number, parse_json(line, keys_once=True)
        except DuplicateKeyError as error:
            faults.add(number, error.key, None, "duplicate key: this line gives it twice", "each key once")
        except ValueError as error:
            faults.add(number, "", None, f"this line is not valid JSON: {error}", FORMS)


def _is_object(line: str) -> bool:
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _rows(text: str, delimiter: str, faults: Faults) -> Iterator[tuple[int, object]]:
    """Every row under the names of the first, which is the header; rows of another length are told, blank lines skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    begin = 1
    try:
        for row in reader:
            line, begin = begin, reader.line_num + 1
            if not row:
                continue
            if not header:
                header = [name.strip().casefold() for name in row]
                if len(set(header)) < len(header):
                    raise _unfit("the header names a column twice", delimiter.join(row), faults.file)
            elif len(row) != len(header):
                told = f"{len(row)} cells in a table of {len(header)} columns"
                faults.add(line, "", row[0], told, "one cell a column; quotes around text that holds the delimiter")
            else:
                yield line, dict(zip(header, row, strict=True))
    except csv.Error as error:
        faults.add(begin, "", None, f"this row is not valid: {error}", 'quotes around a cell, "" for a quote in it')
    if not header:
        raise _unfit("the behavior file is empty", None, faults.file)
