"""Ratings that were made elsewhere, in a JSONL file, taken into a results folder as a rater's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from orchestrator.counting import counted, some
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
TOLD = 10
"""Lines that are told one by one when they are wrong."""
FORM = '{"cell_id": ..., "prompt_id": ..., "label": ...} a line, and perhaps "comment", and "sample" where a prompt has several'


class GivenRating(Entry):
    """A line of the file; the descriptions say what each field may be."""

    cell_id: Annotated[str, Field(description="text: an id of cells.parquet")]
    prompt_id: Annotated[str, Field(description="text: the prompt's id in responses.parquet")]
    label: Annotated[str, Field(description="text: one of the labels of the response's scorer")]
    comment: Annotated[str | None, Field(description=f"text of at most {COMMENT_CHARACTERS} characters")] = Field(
        default=None, max_length=COMMENT_CHARACTERS
    )
    sample: Annotated[int | None, Field(description="a whole number from 0")] = Field(default=None, ge=0)

    @property
    def key(self) -> ResponseKey:
        """Of which response; a line that names no sample is of the first, which is to be the only one."""
        return self.cell_id, self.prompt_id, self.sample or 0


def take_ratings(place: Place, file: Path, rater: str) -> tuple[int, int]:
    """Add the ratings of ``file`` to ``rater``'s: how many are new, and how many were there already. InputError that tells every
    line that is wrong; then none is taken."""
    checked_rater(rater)
    problems: list[Problem] = []
    given = list(_lines(file, problems))
    results = load_frames(place)
    readings = found_readings(results, {one.key for _, one in given})
    responses = set(results.responses.select("cell_id", "prompt_id", "sample").iter_rows())
    samples = Counter((cell_id, prompt_id) for cell_id, prompt_id, _ in responses)
    ratings: list[Rating] = []
    for number, one in given:
        reading = readings.get(one.key)
        try:
            if reading is None:
                raise _unknown(one, responses)
            if one.sample is None and (several := samples[one.cell_id, one.prompt_id]) > 1:
                told = f"the prompt has {several} samples, and the line does not say which"
                raise InputError.because(told, "sample", allowed="a whole number, as in responses.parquet")
            ratings.append(reading.rated(one.label, one.comment))
        except InputError as error:
            problems += [replace(problem, line=number, file=file.name) for problem in error.problems]
    _raise(problems, file)
    folder = Folder(place)
    kept = read_ratings(folder, rater)
    new = [
        one for one in ratings if (old := kept.get(one.key)) is None or old.model_copy(update={"rated_at": one.rated_at}) != one
    ]
    add_ratings(folder, rater, new)
    return len(new), len(ratings) - len(new)


def _lines(file: Path, problems: list[Problem]) -> Iterator[tuple[int, GivenRating]]:
    """Those that are ratings by their form, each with its number; of each of the others the problem."""
    for number, line in enumerate(_text(file).split("\n"), start=1):
        try:
            if line.strip():
                yield number, GivenRating.model_validate(parse_json(line, keys_once=True))
        except ValidationError as error:
            problems.append(replace(_problem(error), line=number, file=file.name))
        except ValueError as error:
            problems.append(Problem("", None, f"this line is not valid JSON: {error}", FORM, None, number, file.name))


def _problem(error: ValidationError) -> Problem:
    """A line's first fault: an unknown key before the missing one that it was meant to be; how many more it has is told."""
    found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    kind, value, name = found[0]["type"], found[0]["input"], ".".join(map(str, found[0]["loc"]))
    fields = GivenRating.model_fields
    known = name in fields and fields[name].description
    if kind == "extra_forbidden":
        told = Problem(name, value, "unknown key", ", ".join(fields), nearest_name(name, fields))
    elif kind == "missing":
        told = Problem(name, None, f"'{name}' is missing", known or None)
    else:
        message = "no value is given" if value is None else "wrong value"
        told = Problem(name, value, message, known) if known else Problem("", value, "this line is no object", FORM)
    more = sum(one["type"] != "missing" or one["loc"][-1] != told.nearest for one in found[1:])
    return replace(told, message=f"{told.message}, and {counted(more, 'more fault')} in this line") if more else told


def _text(file: Path) -> str:
    try:
        if file.is_file() and file.stat().st_size > MAX_BYTES:
            raise InputError.because(f"the file is larger than {MAX_BYTES // 10**6} MB", "--labels", str(file))
        if not file.is_file():
            raise InputError.because("there is no such file", "--labels", str(file))
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError.because("the file is not UTF-8 text", "--labels", str(file)) from error


def _unknown(one: GivenRating, responses: Collection[ResponseKey]) -> InputError:
    """Which part of its key no labelled one of ``responses`` has."""
    cells = {cell for cell, *_ in responses}
    prompts = {prompt for cell, prompt, _ in responses if cell == one.cell_id}
    samples = {sample for *key, sample in responses if key == [one.cell_id, one.prompt_id]}
    if one.cell_id not in cells:
        what = ("cell_id", one.cell_id, "no finished cell of this folder", "an id of cells.parquet")
        return InputError(Problem(*what, nearest_name(one.cell_id, cells)))
    if one.prompt_id not in prompts:
        what = ("prompt_id", one.prompt_id, "the cell has no such prompt", f"such as {some(sorted(prompts))}")
        return InputError(Problem(*what, nearest_name(one.prompt_id, prompts)))
    if one.key[2] not in samples:
        return InputError.because("the prompt has no such sample", "sample", one.sample, f"0 to {max(samples)}")
    return InputError.because(
        "this response has no label yet", "prompt_id", one.prompt_id, "a response that `score` has labelled"
    )


def _raise(problems: list[Problem], file: Path) -> None:
    problems.sort(key=lambda one: one.line or 0)
    if len(problems) > TOLD:
        problems[TOLD:] = [Problem("", None, f"{len(problems) - TOLD} more lines are wrong", file=file.name)]
    if problems:
        raise InputError(*problems)
