"""What judges replied: ``judgements/<scorer>/<segment>.jsonl``, a line per reply under the key of its question, never rewritten.
A line without a reply says that the question is to be asked again.

Every run appends to segments of its own, which stay small, because object storage writes a file anew for every line.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast

from orchestrator.json_text import parse_json
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import judgements_of
from orchestrator.results.plan_file import PlannedCells
from orchestrator.scoring.planned import ScorerUse, replies_of
from orchestrator.scoring.score import Usage

SEGMENT_BYTES = 256_000
"""After so much a new segment begins."""

_COUNTS = ("prompt_tokens", "reply_tokens")
_MOST = 10**9
"""Tokens and seconds of a reply at most."""

_LOG = logging.getLogger(__name__)


def usages(folder: Folder, planned: PlannedCells) -> dict[str, tuple[ScorerUse, Usage]]:
    """What every judge of a plan took so far, by its id; those that were not asked yet are left out."""
    found = {}
    for use in {use.id: use for one in planned.scoring.values() for use in one.scorers}.values():
        replies = [one["reply"] for one in Judgements(folder, use.id).lines()] if use.id else []
        if replies:
            read, written = (sum(one.get(name, 0) for one in replies) for name in _COUNTS)
            price = cast("Mapping[str, float] | None", use.options.get("price"))
            seconds = [one["seconds"] for one in replies if "seconds" in one]
            usage = Usage.priced(len(replies), (read, written), price)
            found[use.id] = use, replace(usage, seconds=math.fsum(seconds) if seconds else None)
    return found


class Judgements:
    """The replies kept for a scorer, by its id; read when the first one is asked for. May be used by several threads."""

    def __init__(self, folder: Folder, scorer: str) -> None:
        self._folder, self._kind = folder, judgements_of(replies_of(scorer))
        self._known: dict[str, Mapping[str, Any]] | None = None
        self._segment, self._bytes = "", SEGMENT_BYTES
        self._lock = threading.Lock()

    def get(self, key: str, /) -> Mapping[str, Any] | None:
        """What was replied last; None where it was forgotten since."""
        with self._lock:
            return self._replies().get(key)

    def known(self) -> dict[str, Mapping[str, Any]]:
        """The same of every question, by its key."""
        with self._lock:
            return dict(self._replies())

    def _replies(self) -> dict[str, Mapping[str, Any]]:
        if self._known is None:
            self._known = {}
            _take_in(self._known, {one["key"]: one["reply"] for one in self._entries()})
        return self._known

    def forget(self, keys: Collection[str], /) -> None:
        """Questions that are asked again; what was replied stays in the file. Durable when this returns."""
        self._append(dict.fromkeys(keys))

    def update(self, found: Mapping[str, Mapping[str, Any]], /) -> None:
        """Put replies behind the others; durable when this returns."""
        self._append(found)

    def _append(self, found: Mapping[str, Mapping[str, Any] | None]) -> None:
        lines = "".join(json.dumps({"key": key, "reply": reply}, allow_nan=False) + "\n" for key, reply in found.items()).encode()
        if not lines:
            return
        with self._lock:
            if self._bytes >= SEGMENT_BYTES:
                self._segment, self._bytes = f"{time.time_ns()}-{secrets.token_hex(4)}", 0
            self._folder.path(self._kind, self._segment).append(lines)
            self._bytes += len(lines)
            if self._known is not None:
                _take_in(self._known, found)

    def lines(self) -> list[dict[str, Any]]:
        """Every reply that was kept, oldest first."""
        return [one for one in self._entries() if one["reply"] is not None]

    def _entries(self) -> list[dict[str, Any]]:
        """The lines, oldest first. One that is no reply, as a kill in the middle of it leaves, or damage, is left out with a
        warning, and its question is asked again."""
        found: list[dict[str, Any]] = []
        for segment in sorted(self._folder.ids(self._kind)):
            file = self._folder.path(self._kind, segment)
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                if not line:
                    continue
                try:
                    found.append(_entry(parse_json(line)))
                except ValueError as error:
                    _LOG.warning("%s: line %d is no reply of a judge, and is left out: %s", file, number, error)
        return found


def _take_in(known: dict[str, Mapping[str, Any]], said: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Put what was ``said`` last in the place of what is ``known``; None: it is forgotten."""
    for key, reply in said.items():
        if reply is None:
            known.pop(key, None)
        else:
            known[key] = reply


def _entry(line: object) -> dict[str, Any]:
    """ValueError unless it is the line of a reply, with counts and seconds that are some, or of a question to be asked again."""
    if not (isinstance(line, dict) and isinstance(line.get("key"), str) and "reply" in line):
        raise ValueError("neither key nor reply")
    reply = line["reply"]
    if reply is None:
        return line
    if not isinstance(reply, dict):
        raise ValueError("its reply is none")
    if not all(type(count) is int and 0 <= count <= _MOST for count in (reply.get(name, 0) for name in _COUNTS)):
        raise ValueError("a number of tokens is none")
    seconds = reply.get("seconds", 0.0)
    if type(seconds) not in (int, float) or not 0 <= seconds <= _MOST:  # NaN is not either
        raise ValueError("its seconds are none")
    return line
