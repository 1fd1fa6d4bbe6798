"""Ratings that were made elsewhere, in a JSONL file, taken into a results folder as a rater's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from pydantic import Field, ValidationError

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.json_text import parse_json
from orchestrator.labelling.readings import found_readings
from orchestrator.labelling.session import COMMENT_CHARACTERS
from orchestrator.results.folder import Folder
from orchestrator.results.frames import load_frames
from orchestrator.results.ratings import Rating, ResponseKey, add_ratings, checked_rater, read_ratings
from orchestrator.storage import Place
from orchestrator.strict import Entry

MAX_BYTES = 50_000_000
TOLD = 20
"""Lines that are told one by one when they are wrong."""
FORM = '{"cell_id": ..., "prompt_id": ..., "label": ...} a line, and perhaps "comment", and "sample" where a prompt has several'

_WORDS = {"model_type": "this line is no JSON object", "extra_forbidden": "unknown field", "missing": "none given"}
"""What is wrong with a line, by pydantic's name for it, where its own words are no user's."""


class GivenRating(Entry):
    """A line of the file."""

    cell_id: str
    prompt_id: str
    label: str
    comment: str | None = Field(default=None, max_length=COMMENT_CHARACTERS)
    sample: int = Field(default=0, ge=0)

    @property
    def key(self) -> ResponseKey:
        """Of which response."""
        return self.cell_id, self.prompt_id, self.sample


def take_ratings(place: Place, file: Path, rater: str) -> tuple[int, int]:
    """Add the ratings of ``file`` to ``rater``'s: how many are new, and how many were there already. InputError that tells every
    line that is wrong; then none is taken."""
    checked_rater(rater)
    problems: list[Problem] = []
    given = list(_lines(file, problems))
    results = load_frames(place)
    readings = found_readings(results, {one.key for _, one in given})
    ratings: list[Rating] = []
    for number, one in given:
        reading = readings.get(one.key)
        try:
            if reading is None:
                raise _unknown(one, set(results.responses["cell_id"]))
            ratings.append(reading.rated(one.label, one.comment))
        except InputError as error:
            problems += [replace(problem, line=number, file=file.name) for problem in error.problems]
    _raise(problems, file)
    folder = Folder(place)
    kept = read_ratings(folder, rater)
    new = [one for one in ratings if (old := kept.get(one.key)) is None or replace(old, rated_at=one.rated_at) != one]
    add_ratings(folder, rater, new)
    return len(new), len(ratings) - len(new)


def _lines(file: Path, problems: list[Problem]) -> Iterator[tuple[int, GivenRating]]:
    """Those that are ratings by their form, each with its number; of the others the problems."""
    for number, line in enumerate(_text(file).split("\n"), start=1):
        try:
            if line.strip():
                yield number, GivenRating.model_validate(parse_json(line, keys_once=True))
        except ValidationError as error:
            for one in error.errors(include_url=False):
                name = ".".join(map(str, one["loc"]))
                nearest = nearest_name(name, GivenRating.model_fields) if one["type"] == "extra_forbidden" else None
                message = _WORDS.get(one["type"], one["msg"].lower())
                problems.append(Problem(name, None, message, FORM, nearest, number, file.name))
        except ValueError as error:
            problems.append(Problem("", None, f"this line is not valid JSON: {error}", FORM, None, number, file.name))


def _text(file: Path) -> str:
    try:
        if file.is_file() and file.stat().st_size > MAX_BYTES:
            raise InputError.because(f"the file is larger than {MAX_BYTES // 10**6} MB", "--labels", str(file))
        if not file.is_file():
            raise InputError.because("there is no such file", "--labels", str(file))
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError.because("the file is not UTF-8 text", "--labels", str(file)) from error


def _unknown(one: GivenRating, cells: set[str]) -> InputError:
    if one.cell_id in cells:
        return InputError.because("the cell has no such prompt or sample", "prompt_id", one.prompt_id)
    nearest = nearest_name(one.cell_id, cells)
    return InputError(Problem("cell_id", one.cell_id, "no finished cell of this folder", "an id of cells.parquet", nearest))


def _raise(problems: list[Problem], file: Path) -> None:
    problems.sort(key=lambda one: one.line or 0)
    if len(problems) > TOLD:
        problems[TOLD:] = [Problem("", None, f"{len(problems) - TOLD} more lines are wrong", file=file.name)]
    if problems:
        raise InputError(*problems)
