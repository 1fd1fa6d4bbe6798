"""The hand-labelled responses and the scores of a classifier on them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.scoring import LABELS, Classifier

PATH = Path(__file__).with_name("labelled.jsonl")
JUDGED = tuple(name for name in LABELS.names if name != "no_answer")
"""The labels that occur in the set, of models that do not think before they answer."""


@dataclass(frozen=True)
class Labelled:
    """One response with the label that a reader gave it; ``source`` says where the response comes from."""

    id: str
    prompt: str
    response: str
    label: str
    source: str
    note: str

    @property
    def half(self) -> str:
        """``dev`` (rules were tuned on it) or ``held_out`` (they were not), by a hash of the text."""
        digest = hashlib.sha256(f"{self.prompt}\0{self.response}".encode("utf-8", "surrogatepass")).digest()
        return "held_out" if digest[0] % 2 else "dev"


@dataclass(frozen=True)
class Scores:
    """``table[reader's label, classifier's label]`` counts responses; ``errors`` are the ids that differ."""

    table: Counter[tuple[str, str]]
    errors: tuple[str, ...]

    def precision(self, label: str) -> float:
        """Share of the responses given ``label`` that the reader gave it too."""
        return self.table[label, label] / sum(self.table[truth, label] for truth in LABELS.names)

    def recall(self, label: str) -> float:
        """Share of the reader's ``label`` responses that the classifier found."""
        return self.table[label, label] / sum(self.table[label, given] for given in LABELS.names)

    def show(self, title: str) -> str:
        """Confusion table, precision and recall as plain text."""
        lines = [title, "reader \\ classifier " + " ".join(f"{name:>17}" for name in LABELS.names) + "  precision  recall"]
        for truth in JUDGED:
            counts = " ".join(f"{self.table[truth, given]:>17}" for given in LABELS.names)
            lines.append(f"{truth:<19} {counts}  {self.precision(truth):>9.3f}  {self.recall(truth):>6.3f}")
        return "\n".join([*lines, "differ: " + (", ".join(self.errors) or "none")])


def load() -> tuple[Labelled, ...]:
    """All labelled responses."""
    return tuple(Labelled(**json.loads(line)) for line in PATH.read_text(encoding="utf-8").splitlines())


def score(classifier: Classifier, items: Iterable[Labelled]) -> Scores:
    """How ``classifier`` labels ``items``, against the reader."""
    table: Counter[tuple[str, str]] = Counter()
    errors = []
    for item in items:
        given = classifier.label(item.id, item.prompt, item.response, "stop").label
        table[item.label, given] += 1
        if given != item.label:
            errors.append(f"{item.id} ({item.label} -> {given})")
    return Scores(table, tuple(errors))
