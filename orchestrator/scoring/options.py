"""The options of the scorers, checked field by field, and the id that follows from them."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from orchestrator.scoring.answer import Reads
from orchestrator.strict import Entry, FromListOrOne

MAX_CHARS = 100_000
"""Longer answers are scored by their first and last halves of this; a sweep's answers are some hundred tokens long."""


_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.]")


class ScorerOptions(Entry):
    """Base of every scorer's options. ``reads``: what of a response it scores."""

    reads: Reads = "answer"


LabelText = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=10_000)]
Phrases = Annotated[tuple[Phrase, ...], FromListOrOne, Field(min_length=1, max_length=10_000)]
"""A list of texts; one may stand without its brackets."""


def scorer_id(kind: str, version: str, options: BaseModel) -> str:
    """``kind@version``, and where ``options`` are not the defaults eight hex digits of their digest: ``pattern@1-0c2a91d4``. It
    names a folder, also in object storage: of ``kind`` what may stand there stays."""
    kind = _NOT_IN_IDS.sub("_", kind).strip("._")[:60] or "own"
    given = options.model_dump(mode="json", exclude_defaults=True, fallback=repr)
    if not given:
        return f"{kind}@{version}"
    # the order of an object's keys stays: the first label that matches decides
    return f"{kind}@{version}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"


def clipped(text: str) -> str:
    """``text``, of a very long one the beginning and the end."""
    half = MAX_CHARS // 2
    return text if len(text) <= MAX_CHARS else text[:half] + text[-half:]


def encodable(text: str) -> str:
    """``text`` with a question mark for every lone surrogate, which libraries outside Python cannot take."""
    return text.encode("utf-8", "replace").decode("utf-8")
