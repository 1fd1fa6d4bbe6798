"""One rater at work: what is to be read, what has been said, and taking it back."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.errors import InputError
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import Rating, ResponseKey, add_ratings, read_ratings
from orchestrator.scoring import LabelSet
from orchestrator.untrusted import visible

COMMENT_CHARACTERS = 2_000


@dataclass(frozen=True)
class AskedResponse:
    """A response as a rater sees it. Which cell it is of, the rater is not told. ``cut``: it ended at the last token allowed."""

    key: ResponseKey
    behavior: str
    prompt: str
    answer: str
    thought: str | None
    cut: bool
    labels: LabelSet
    response_sha256: str

    def rated(self, label: str | None, comment: str | None = None) -> Rating:
        """What somebody says of it now (None: nothing any more); ``UnknownLabelError``."""
        name = None if label is None else self.labels.kind(label).name
        cell_id, prompt_id, sample = self.key
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Rating(
            cell_id=cell_id,
            prompt_id=prompt_id,
            label=name,
            response_sha256=self.response_sha256,
            rated_at=now,
            comment=comment,
            sample=sample,
        )

    def shown(self) -> dict[str, object]:
        """For the page: text that drives nothing, and the names of the labels."""
        told = {"behavior": self.behavior, "prompt": self.prompt, "answer": self.answer, "thought": self.thought or ""}
        shown = {name: visible(text, keep_lines=True) for name, text in told.items()}
        return {**shown, "cut": self.cut, "labels": list(self.labels.names)}


class RaterSession:
    """A rater's way through ``readings``, continued where it stopped. May be used by several threads."""

    def __init__(self, folder: Folder, rater: str, readings: Sequence[AskedResponse]) -> None:
        self.rater = rater
        self._folder, self.readings = folder, readings
        self._guard = threading.Lock()
        self._asked = asked = {one.key: one for one in readings}
        said = read_ratings(folder, rater).values()
        self._said = {one.key: one for one in said if one.key in asked and _same(one, asked[one.key])}
        self._taken_back: ResponseKey | None = None

    @property
    def total(self) -> int:
        """Responses in the sample."""
        return len(self.readings)

    @property
    def done(self) -> int:
        """Those that have a label of the rater's."""
        return len(self._said)

    def state(self) -> dict[str, object]:
        """How far it is, and the next response, by its ``item`` number; ``item`` None when all are labelled."""
        with self._guard:
            return self._state()

    def rate(self, item: int, label: str, comment: str = "") -> dict[str, object]:
        """Save the label of a response, and what comes next. InputError for a label or an item that there is not;
        ``StorageError`` when it could not be saved: then nothing was said."""
        with self._guard:
            reading = self._reading(item)
            if len(comment) > COMMENT_CHARACTERS:
                raise InputError.because("too long", "comment", allowed=f"{COMMENT_CHARACTERS} characters")
            rating = reading.rated(label, comment or None)
            add_ratings(self._folder, self.rater, [rating])
            self._said.pop(rating.key, None)
            self._said[rating.key] = rating
            self._taken_back = None
            return self._state()

    def undo(self) -> dict[str, object]:
        """Take the last label back, also one of an earlier session; its response comes next. Nothing where there is none."""
        with self._guard:
            if self._said:
                last = next(reversed(self._said))
                add_ratings(self._folder, self.rater, [self._asked[last].rated(None)])
                del self._said[last]
                self._taken_back = last
            return self._state()

    def _reading(self, item: int) -> AskedResponse:
        if not 0 <= item < self.total:
            raise InputError.because("there is no such response", "item", item, f"0 to {self.total - 1}")
        return self.readings[item]

    def _state(self) -> dict[str, object]:
        left = [number for number, one in enumerate(self.readings) if one.key not in self._said]
        item = next((number for number in left if self.readings[number].key == self._taken_back), next(iter(left), None))
        about = {"rater": self.rater, "done": self.done, "total": self.total, "item": item}
        return about if item is None else {**about, **self.readings[item].shown()}


def _same(rating: Rating, reading: AskedResponse) -> bool:
    """Whether it is about this text, and not about one that the cell said before it ran again."""
    return rating.response_sha256 == reading.response_sha256
