"""Whether one model's prompts were worded in one way all along: a chat template that changed between two runs is told.

A worker tells the digest of its chat template, rendered around a fixed probe. It is no part of a cell's identity (planning has
no tokenizer): a version that dropped a system prompt or wrote today's date, or a hub branch that moved, is seen only here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from orchestrator.results.rows import CellRow

SHOWN = 10


def mixed_wordings(rows: Iterable[CellRow]) -> list[str]:
    """A sentence for each model variant whose finished cells have prompts of several wordings."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        if row.template_sha256:
            found[row.variant, row.model].add(row.template_sha256)
    return [mixture(model, digests) for (_, model), digests in found.items() if len(digests) > 1]


class Wordings:
    """The digests that were seen, by model variant; ``before``: those of the cells that were there."""

    def __init__(self, before: Iterable[CellRow]) -> None:
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._told: set[str] = set()
        for row in before:
            if row.template_sha256:
                self._seen[row.variant].add(row.template_sha256)

    def mixed(self, variant: str, record: Mapping[str, str]) -> frozenset[str]:
        """The digests so far, once, when that of a worker's or a direction's ``record`` is not the only one; else none."""
        digest = record.get("template_sha256")
        if not digest:
            return frozenset()
        self._seen[variant].add(digest)
        if len(self._seen[variant]) == 1 or variant in self._told:
            return frozenset()
        self._told.add(variant)
        return frozenset(self._seen[variant])


def mixture(name: str, digests: Iterable[str]) -> str:
    """The sentence on a model whose prompts have several wordings."""
    forms = ", ".join(sorted(digest[:SHOWN] for digest in digests))
    return (
        f"model {name}: what is stored was made with prompts of different wording (chat template digests {forms}): these cells "
        "do not compare; run them anew into a fresh results folder"
    )
