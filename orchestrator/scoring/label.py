"""What a classifier says of one response, the set of labels it may say, and the protocol that every classifier follows.

The set is the one home of the labels' names: whoever counts, tests, chooses, draws or tracks takes it from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from orchestrator.errors import InputError, Problem, nearest_name

LabelName = Literal["coherent_refusal", "garbled", "normal", "no_answer"]

Role = Literal["target", "incoherent", "other", "unanswered"]
"""What a label says beside its name: shows the behavior, is no language, is language without the behavior, has no answer."""


class UnknownLabelError(InputError):
    """A label that is not in the set: it cannot be counted, and is not left out of a count."""


@dataclass(frozen=True)
class LabelKind:
    """One label: its name in the tables, its ``words`` for people, one ``short`` word, and its role."""

    name: LabelName
    words: str
    short: str
    role: Role


@dataclass(frozen=True)
class LabelSet:
    """The labels that a response may get, in the order in which they are shown."""

    kinds: tuple[LabelKind, ...]

    @property
    def names(self) -> tuple[LabelName, ...]:
        """The names, in order."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def target(self) -> LabelName:
        """The label that shows the behavior."""
        return self._with("target")

    @property
    def incoherent(self) -> LabelName:
        """The label of what is no language."""
        return self._with("incoherent")

    @property
    def unanswered(self) -> LabelName:
        """The label of a response whose answer had not begun."""
        return self._with("unanswered")

    def kind(self, name: str) -> LabelKind:
        """The label of this name; ``UnknownLabelError`` when there is none."""
        found = next((kind for kind in self.kinds if kind.name == name), None)
        if found is None:
            allowed = ", ".join(self.names)
            raise UnknownLabelError(Problem("label", name, "unknown label", allowed, nearest_name(name, self.names)))
        return found

    def counts(self, names: Iterable[str]) -> dict[LabelName, int]:
        """How often each label occurs in ``names``, those that do not included; ``UnknownLabelError``."""
        found = dict.fromkeys(self.names, 0)
        for name in names:
            found[self.kind(name).name] += 1
        return found

    def _with(self, role: Role) -> LabelName:
        return next(kind.name for kind in self.kinds if kind.role == role)


LABELS = LabelSet(
    (
        LabelKind("coherent_refusal", "coherent refusal", "refusal", "target"),
        LabelKind("garbled", "garbled", "garbled", "incoherent"),
        LabelKind("normal", "normal", "normal", "other"),
        LabelKind("no_answer", "no answer", "no answer", "unanswered"),
    )
)
"""The labels of every classifier. ``no_answer``: the answer had not begun when ``max_new_tokens`` was reached."""

LABEL_NAMES: tuple[LabelName, ...] = LABELS.names


@dataclass(frozen=True)
class Label:
    """The label of one response; a row of ``labels/<cell_id>.parquet``."""

    prompt_id: Annotated[str, "of the prompt, in the behavior's file"]
    label: Annotated[LabelName, "what the answer is"]
    evidence: Annotated[str, "why, a JSON object: the rule that decided, and the phrase it matched or the numbers it measured"]
    classifier: Annotated[str, "`name@version` of what gave the label"]
    answer: Annotated[
        str | None,
        "what was judged, where that is not the whole response but what the model said after its thoughts; empty where that had "
        "not begun",
    ] = None


class Classifier(Protocol):
    """Labels one response from its text alone; deterministic, and never raises on any text.

    ``version`` changes whenever any response could get another label or other evidence.
    """

    @property
    def name(self) -> str:
        """The name that labels carry, without the version."""

    @property
    def version(self) -> str:
        """The version that labels carry."""

    def label(self, prompt_id: str, prompt: str, response: str, finish_reason: str) -> Label:
        """The label of ``response`` to ``prompt``; ``finish_reason`` is ``stop`` or ``length``.

        ``response`` is all that the model wrote, from the mark on that opened its thought if the prompt did that.
        """
