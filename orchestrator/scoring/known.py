"""How often the project's own labels are known to be wrong: against people's, on answers that took no part in making them.

``known.json`` holds the counts by classifier. ``python -m benchmarks.label_quality --write`` counts those of the rules,
``python -m benchmarks.fit_linear_probe --write`` those of the linear probe; docs/results.md says what the sets are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("known.json")


@dataclass(frozen=True)
class KnownLabels:
    """Labels on a set of answers: ``table[given by people][given by the rules]``, how many."""

    name: str
    table: Mapping[str, Mapping[str, int]]

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that people gave."""
        return tuple(self.table)

    def right(self, label: str) -> tuple[int, int]:
        """How many of the answers that the rules label so people label so too (precision)."""
        return self._both(label), sum(given.get(label, 0) for given in self.table.values())

    def found(self, label: str) -> tuple[int, int]:
        """How many of the answers that people label so the rules label so too (recall)."""
        return self._both(label), sum(self.table[label].values())

    def _both(self, label: str) -> int:
        return self.table[label].get(label, 0)


def known_labels(classifier: str | None) -> tuple[KnownLabels, ...]:
    """The sets on which ``classifier``, as ``cells.parquet`` names it, was counted; none of another version, or another one."""
    return _read().get(classifier or "", ())


@cache
def _read() -> Mapping[str, tuple[KnownLabels, ...]]:
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: tuple(KnownLabels(one["name"], one["table"]) for one in sets) for name, sets in content.items()}
