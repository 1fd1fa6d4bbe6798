"""What people say of responses: ``ratings/<rater>.jsonl``, a line per rating. The last line on a response counts."""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from actors.types import SampleKey
from orchestrator.counting import some
from orchestrator.errors import InputError, Problem
from orchestrator.json_text import parse_json
from orchestrator.results.folder import Folder
from orchestrator.results.parts import StoredScores
from orchestrator.results.rows import digest_of
from orchestrator.results.schema import Table
from orchestrator.scoring import LabelSet
from orchestrator.scoring.score import Labels, ResponseScore
from orchestrator.storage import StorageError, UnreadableFileError
from orchestrator.strict import Entry

ResponseKey = tuple[str, str, int]
"""The cell's id, the prompt's, and which of its samples: which response."""

_PERSON = "rater:"  # no id of a scorer has a colon: it names a folder
_RATER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_LOG = logging.getLogger(__name__)


class Rating(Entry):
    """What a rater said of one response. ``label`` None: the rater took back what was said of it before.

    ``response_sha256``: of which text (``rows.digest_of``), should the cell run again.
    ``rated_at``: ISO 8601.
    """

    cell_id: str
    prompt_id: str
    label: str | None
    response_sha256: str
    rated_at: str
    comment: str | None = None
    sample: int = Field(default=0, ge=0, lt=2**31)

    @property
    def key(self) -> ResponseKey:
        """Of which response."""
        return self.cell_id, self.prompt_id, self.sample


def checked_rater(name: str) -> str:
    """``name``, which becomes a file's; InputError."""
    if not _RATER.fullmatch(name):
        allowed = "small letters, digits, - and _, at most 32 in all, a letter or digit first"
        raise InputError(Problem("rater", name, "not a name for a rater", allowed))
    return name


def rater_scorer(rater: str) -> str:
    """A rater as a scorer is named."""
    return f"{_PERSON}{rater}"


def is_rater(scorer: str) -> bool:
    """Whether a scorer is a person."""
    return scorer.startswith(_PERSON)


def read_ratings(folder: Folder, rater: str) -> dict[ResponseKey, Rating]:
    """What counts of a rater's ratings, in the order in which it was said; none before the first. Lines that are no rating are
    left out with a warning."""
    file = folder.path("ratings", rater)
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[ResponseKey, Rating] = {}
    odd: list[int] = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            rating = _rating(line)
            found.pop(rating.key, None)
            if rating.label is not None:
                found[rating.key] = rating
        except ValueError:
            odd.append(number)
    if odd:
        told = "it is no rating: line" if len(odd) == 1 else "they are no ratings: lines"
        _LOG.warning("%s: left out, for %s %s", file, told, some(list(map(str, odd))))
    return found


def _rating(line: bytes) -> Rating:
    """ValueError where the line is none: text that no table can hold and a time without its zone are wrong, too."""
    rating = Rating.model_validate(parse_json(line))
    for text in filter(None, (*rating.key[:2], rating.label, rating.response_sha256, rating.comment)):
        text.encode()
    if _time(rating).tzinfo is None:
        raise ValueError(f"{rating.rated_at} has no time zone")
    return rating


def _time(rating: Rating) -> datetime:
    return datetime.fromisoformat(rating.rated_at)


def add_ratings(folder: Folder, rater: str, ratings: Sequence[Rating]) -> None:
    """Put ratings behind the others, all or none; durable when this returns."""
    lines = "".join(json.dumps(_as_stored(rating), ensure_ascii=True, allow_nan=False) + "\n" for rating in ratings)
    if lines:
        folder.path("ratings", rater).append(lines.encode())


def _as_stored(rating: Rating) -> dict[str, object]:
    """Programs that know no samples refuse a line that names one."""
    return {name: value for name, value in rating.model_dump().items() if name != "sample" or value}


class RatedCells:
    """Every rater's ratings, as the scores of a scorer that scored some of a cell's responses. All are read at once."""

    def __init__(self, folder: Folder) -> None:
        self._cells: defaultdict[str, dict[str, dict[SampleKey, Rating]]] = defaultdict(dict)
        for rater in sorted(filter(_RATER.fullmatch, folder.ids("ratings"))):
            for rating in _readable(folder, rater).values():
                self._cells[rating.cell_id].setdefault(rater_scorer(rater), {})[rating.prompt_id, rating.sample] = rating

    def of(self, cell_id: str, responses: Table, declared: LabelSet) -> dict[str, StoredScores]:
        """Those of a cell, by the raters' names as scorers. Those of another text than it holds now are left out; a label that is
        none of those ``declared`` any more stays."""
        said = self._cells.get(cell_id)
        if said is None:
            return {}
        names = (responses.column(name).to_pylist() for name in ("prompt_id", "sample", "response"))
        digests = {(prompt_id, sample): digest_of(text) for prompt_id, sample, text in zip(*names, strict=True)}
        current = {
            scorer: [said_of[one] for one, digest in digests.items() if one in said_of and said_of[one].response_sha256 == digest]
            for scorer, said_of in said.items()
        }
        return {scorer: _as_scores(scorer, found, declared) for scorer, found in current.items() if found}


def _readable(folder: Folder, rater: str) -> dict[ResponseKey, Rating]:
    """As ``read_ratings``; none, with a warning, where the disk or its owner does not give the file: no sweep ends for that."""
    try:
        return read_ratings(folder, rater)
    except UnreadableFileError as error:
        _LOG.warning("left out of the tables: %s", error)
    except StorageError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        _LOG.warning("left out of the tables: the ratings of %s: %s", rater, error.__cause__.strerror)
    return {}


def _as_scores(scorer: str, ratings: Sequence[Rating], declared: LabelSet) -> StoredScores:
    given = [str(one.label) for one in ratings]
    scores = [ResponseScore(one.prompt_id, one.label, None, _evidence(one), None, one.sample) for one in ratings]
    says = Labels(tuple(dict.fromkeys((*declared.names, *given))))
    at = max(map(_time, ratings))
    return StoredScores.of(scorer, says, scores, at)


def _evidence(rating: Rating) -> str:
    about = {"rated_at": rating.rated_at, "comment": rating.comment}
    return json.dumps({name: value for name, value in about.items() if value is not None}, ensure_ascii=False)
