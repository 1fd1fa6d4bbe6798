"""What people say of responses: ``ratings/<rater>.jsonl``, a line per rating. The last line on a response counts."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

from orchestrator.errors import InputError, Problem
from orchestrator.json_text import parse_json
from orchestrator.results.folder import Folder

ResponseKey = tuple[str, str]
"""The cell's id and the prompt's: which response."""

_RATER = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rating:
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

    @property
    def key(self) -> ResponseKey:
        """Of which response."""
        return self.cell_id, self.prompt_id


def checked_rater(name: str) -> str:
    """``name``, which becomes a file's; InputError."""
    if not _RATER.fullmatch(name):
        allowed = "small letters, digits, - and _, at most 32 in all, a letter or digit first"
        raise InputError(Problem("rater", name, "not a name for a rater", allowed))
    return name


def rater_scorer(rater: str) -> str:
    """A rater as a scorer is named."""
    return f"rater:{rater}"


def read_ratings(folder: Folder, rater: str) -> dict[ResponseKey, Rating]:
    """What counts of a rater's ratings, in the order in which it was said; none before the first. Lines that are no rating are
    left out with a warning."""
    file = folder.path("ratings", rater)
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    found: dict[ResponseKey, Rating] = {}
    odd = 0
    for line in filter(None, lines):
        try:
            rating = Rating(**cast("dict[str, Any]", parse_json(line)))
            found.pop(rating.key, None)
            if rating.label is not None:
                found[rating.key] = rating
        except (ValueError, TypeError):
            odd += 1
    if odd:
        _LOG.warning("%s: %d lines are no ratings, and are left out", file, odd)
    return found


def add_ratings(folder: Folder, rater: str, ratings: Sequence[Rating]) -> None:
    """Put ratings behind the others, all or none; durable when this returns."""
    lines = "".join(json.dumps(asdict(rating), ensure_ascii=True, allow_nan=False) + "\n" for rating in ratings)
    if lines:
        folder.path("ratings", rater).append(lines.encode())


def ratings_of(folder: Folder) -> Mapping[str, Mapping[ResponseKey, Rating]]:
    """Every rater's."""
    return {rater: read_ratings(folder, rater) for rater in sorted(folder.ids("ratings")) if _RATER.fullmatch(rater)}
