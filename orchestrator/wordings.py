"""Whether one model's prompts were worded in one way all along: a chat template that changed between two runs is told.

A worker tells the digest of its chat template, rendered around a fixed probe. It is no part of a cell's identity (planning has
no tokenizer): a version that dropped a system prompt or wrote today's date, or a hub branch that moved, is seen only here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from orchestrator.cells import variant_id
from orchestrator.news import CellStored, ModelLoaded, News, Noted, Tell
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store, UnreadableFileError

SHOWN = 10


def mixed_wordings(rows: Iterable[CellRow]) -> list[str]:
    """A sentence for each model variant whose finished cells have prompts of several wordings."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.template_sha256:
            found[row.variant, row.model].add(row.template_sha256)
    return [mixture(model, digests) for (_, model), digests in found.items() if len(digests) > 1]


class Wordings:
    """A listener that notes, once for each model, that a worker or a stored direction words its prompts otherwise than what else
    is in ``store``; ``tell``: who is told."""

    def __init__(self, store: Store, tell: Tell) -> None:
        self._store, self._tell = store, tell
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._told: set[str] = set()
        self._directions: set[str] = set()
        for row in store.cell_rows():
            if row.template_sha256:
                self._seen[row.variant].add(row.template_sha256)

    def hear(self, news: News) -> None:
        """A model was loaded, or a cell stored."""
        match news:
            case ModelLoaded():
                self._compare(news.variant, news.info.template_sha256)
            case CellStored() if news.cell.steering is not None and news.cell.steering.direction.id not in self._directions:
                direction = news.cell.steering.direction
                self._directions.add(direction.id)
                self._compare(variant_id(direction.model), self._digest_of(direction.id))

    def _compare(self, variant: str, digest: str | None) -> None:
        if not digest:
            return
        self._seen[variant].add(digest)
        if len(self._seen[variant]) > 1 and variant not in self._told:
            self._told.add(variant)
            self._tell(Noted(mixture(self._store.planned().named(variant), self._seen[variant])))

    def _digest_of(self, direction_id: str) -> str | None:
        try:
            return self._store.kept_direction(direction_id).record.get("template_sha256")
        except (FileNotFoundError, UnreadableFileError):
            return None


def mixture(name: str, digests: Iterable[str]) -> str:
    """The sentence on a model whose prompts have several wordings."""
    forms = ", ".join(sorted(digest[:SHOWN] for digest in digests))
    return (
        f"model {name}: what is stored was made with prompts of different wording (chat template digests {forms}): these cells "
        "do not compare; run them anew into a fresh results folder"
    )
