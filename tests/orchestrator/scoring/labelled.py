"""The hand-labelled responses and the scores of a classifier on them; ``make label-quality`` prints them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.proportion import proportion_confint

from tests.orchestrator.scoring.judged import TextJudge

PATH = Path(__file__).with_name("labelled.jsonl")
MANNERS = Path(__file__).with_name("manners.jsonl")
"""Refusals and answers in the manner of 14 model families and in 14 languages besides English, and hard cases."""
STEERED = Path(__file__).with_name("steered.jsonl")
"""Answers of four adapters and the base model of SmolLM2, steered by seven behaviors until they break and beyond."""
WARM = Path(__file__).with_name("warm.jsonl")
"""Answers of one more adapter, of a motherly tone, and of its base; no rule was tuned on any of them."""
SOUGHT = Path(__file__).with_name("sought.jsonl")
"""Refusals and answers that look alike, in ten manners, by ten writers who did not know the rules; those of ``long`` and
``pairs`` had seen the first lines of others' texts, the held-out ones' too."""
TYPICAL = Path(__file__).with_name("typical.jsonl")
"""Refusals and answers in the usual wordings of 13 families of models and in 26 languages besides English, by writers who did not
know the rules."""
TONED = Path(__file__).with_name("toned.jsonl")
"""Answers of SmolLM2 to harmless prompts, drawn at a temperature of 0.7 under system prompts of eight tones; those that the rules
call refusals or garbled are left out, and the others taken for answers without being read one by one."""
HELD_OUT_GROUPS = frozenset(
    {
        "steered:other-tone/refusal",
        "steered:base/french",
        "steered:curt/refusal",
        "steered:base/excited",
        "steered:base/legal",
        "steered:refusal-2/legal",
        "steered:warm/refusal",
        "steered:base/refusal",
        "unsteered:warm",
        "manner:gemma3",
        "manner:olmo",
        "manner:gptoss",
        "language:nl",
        "language:ko",
    }
)
"""Groups that took no part in tuning at all."""
HARD_GROUPS = frozenset({"manner:delayed", "manner:partial", "manner:policy"})
"""Delayed and partial refusals, and answers that speak of policies: where rules may doubt."""
JUDGED = ("coherent_refusal", "garbled", "normal")
"""The labels that a reader gives, of models that do not think before they answer."""
UNCLEAR = "unclear"
"""What the rules say where they cannot: a miss of whatever label the reader gave."""


_ALL = (*JUDGED, UNCLEAR)


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
        """``dev`` (rules were tuned on it) or ``held_out`` (not): by its note, its group or a hash of the text."""
        if self.note.startswith("batch "):
            return self.note.rpartition(" ")[2]
        if self.source in HELD_OUT_GROUPS:
            return "held_out"
        if self.source.startswith("steered:"):
            return "dev"
        digest = hashlib.sha256(f"{self.prompt}\0{self.response}".encode("utf-8", "surrogatepass")).digest()
        return "held_out" if digest[0] % 2 else "dev"


@dataclass(frozen=True)
class Scores:
    """``table[reader's label, classifier's label]`` counts responses; ``errors`` are the ids that differ;
    ``doubts`` counts the responses of which the rules were not sure, by whether the label was right."""

    table: Counter[tuple[str, str]]
    errors: tuple[str, ...]
    doubts: Counter[bool]

    def precision(self, label: str) -> float:
        """Share of the responses given ``label`` that the reader gave it too."""
        return self.table[label, label] / max(1, self._given(label))

    def recall(self, label: str) -> float:
        """Share of the reader's ``label`` responses that the classifier found."""
        return self.table[label, label] / max(1, self._true(label))

    def kappa(self, names: Sequence[str] = _ALL) -> tuple[float, float, float]:
        """Cohen's kappa between the reader and the classifier on what both give one of ``names``, with its 95 % interval."""
        found = cohens_kappa(np.array([[self.table[truth, given] for given in names] for truth in names]))
        return float(found.kappa), float(found.kappa_low), float(found.kappa_upp)

    def _given(self, label: str) -> int:
        return sum(self.table[truth, label] for truth in _ALL)

    def _true(self, label: str) -> int:
        return sum(self.table[label, given] for given in _ALL)

    def show(self, title: str) -> str:
        """Precision and recall of each label with 95 % Wilson intervals, and kappa, as plain text."""
        lines = [f"{title}, n = {self.table.total()}, kappa {_interval(*self.kappa())}"]
        if self._given(UNCLEAR):
            said = self.table.total() - self._given(UNCLEAR)
            lines.append(f"  where the rules can say: n = {said}, kappa {_interval(*self.kappa(JUDGED))}")
        for name in JUDGED:
            found = self.table[name, name]
            shares = [(f"{found}/{of}", found, of) for of in (self._given(name), self._true(name)) if of]
            told = [f"{share} {_interval(hit / of, *proportion_confint(hit, of, method='wilson'))}" for share, hit, of in shares]
            if self._true(name):
                lines.append(f"  {name:<17} precision {told[0]:<30} recall {told[-1]}")
        unclear = ", ".join(f"{self.table[name, UNCLEAR]} {name}" for name in JUDGED if self.table[name, UNCLEAR])
        lines.append(f"  not sure of {self.doubts.total()}, of which {self.doubts[False]} wrong; cannot say: {unclear or 'none'}")
        return "\n".join([*lines, "  differ: " + (", ".join(self.errors) or "none")])


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def load(path: Path = PATH) -> tuple[Labelled, ...]:
    """All labelled responses of a file."""
    return tuple(Labelled(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


def score(classifier: TextJudge, items: Iterable[Labelled]) -> Scores:
    """How ``classifier`` labels ``items``, against the reader."""
    table: Counter[tuple[str, str]] = Counter()
    errors = []
    doubts: Counter[bool] = Counter()
    for item in items:
        label = classifier.label(item.id, item.prompt, item.response, "stop")
        given = label.label
        table[item.label, given] += 1
        if not json.loads(label.evidence).get("sure", True):
            doubts[given == item.label] += 1
        if given != item.label:
            errors.append(f"{item.id} ({item.label} -> {given})")
    return Scores(table, tuple(errors), doubts)
