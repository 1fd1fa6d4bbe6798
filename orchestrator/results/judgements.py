"""What judges replied: ``judgements/<scorer>/<segment>.jsonl``, a line per reply under the key of its question, never rewritten.

Every run appends to segments of its own, which stay small, because object storage writes a file anew for every line.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Mapping
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

_LOG = logging.getLogger(__name__)


def usages(folder: Folder, planned: PlannedCells) -> dict[str, tuple[ScorerUse, Usage]]:
    """What every judge of a plan took so far, by its id; those that were not asked yet are left out."""
    found = {}
    for use in {use.id: use for one in planned.scoring.values() for use in one.scorers}.values():
        replies = [one["reply"] for one in Judgements(folder, use.id).lines()] if use.id else []
        if replies:
            tokens = tuple(sum(int(one.get(name, 0)) for one in replies) for name in ("prompt_tokens", "reply_tokens"))
            price = cast("Mapping[str, float] | None", use.options.get("price"))
            seconds = [float(one["seconds"]) for one in replies if "seconds" in one]
            usage = Usage.priced(len(replies), cast("tuple[int, int]", tokens), price)
            found[use.id] = use, replace(usage, seconds=sum(seconds) if seconds else None)
    return found


class Judgements:
    """The replies kept for a scorer, by its id; read when the first one is asked for. May be used by several threads."""

    def __init__(self, folder: Folder, scorer: str) -> None:
        self._folder, self._kind = folder, judgements_of(replies_of(scorer))
        self._known: dict[str, Mapping[str, Any]] | None = None
        self._segment, self._bytes = "", SEGMENT_BYTES
        self._lock = threading.Lock()

    def get(self, key: str, /) -> Mapping[str, Any] | None:
        """What was replied last."""
        with self._lock:
            if self._known is None:
                self._known = {str(one["key"]): one["reply"] for one in self.lines()}
            return self._known.get(key)

    def update(self, found: Mapping[str, Mapping[str, Any]], /) -> None:
        """Put replies behind the others; durable when this returns."""
        lines = "".join(json.dumps({"key": key, "reply": reply}, allow_nan=False) + "\n" for key, reply in found.items()).encode()
        if not lines:
            return
        with self._lock:
            if self._bytes >= SEGMENT_BYTES:
                self._segment, self._bytes = f"{time.time_ns()}-{secrets.token_hex(4)}", 0
            self._folder.path(self._kind, self._segment).append(lines)
            self._bytes += len(lines)
            if self._known is not None:
                self._known |= found

    def lines(self) -> list[dict[str, Any]]:
        """Every reply that was kept, oldest first. A line that is none, as a kill in the middle of one leaves, is left out."""
        found: list[dict[str, Any]] = []
        for segment in sorted(self._folder.ids(self._kind)):
            file = self._folder.path(self._kind, segment)
            for number, line in enumerate(file.read_bytes().splitlines(), start=1):
                if not line:
                    continue
                try:
                    one = parse_json(line)
                    if not (isinstance(one, dict) and isinstance(one["key"], str) and isinstance(one["reply"], dict)):
                        raise ValueError("neither key nor reply")
                    found.append(one)
                except (ValueError, KeyError) as error:
                    _LOG.warning("%s: line %d is no reply of a judge, and is left out: %s", file, number, error)
        return found
