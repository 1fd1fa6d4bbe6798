"""The label of a response as the tables show it, what it counts as, and the set of labels that a behavior's responses may get.

The labels' names are the scorer's own: whoever counts, tests, chooses, draws or tracks goes by their outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.outcome import Outcome
from orchestrator.scoring.answer import NO_ANSWER

if TYPE_CHECKING:
    from actors.types import SampleKey


class UnknownLabelError(InputError):
    """A label that is not in the set: it cannot be counted, and is not left out of a count."""


@dataclass(frozen=True)
class LabelKind:
    """One label: its name in the tables, and what a response with it counts as."""

    name: str
    outcome: Outcome


@dataclass(frozen=True)
class LabelSet:
    """The labels that a response may get, in the order in which they are shown."""

    kinds: tuple[LabelKind, ...]

    @cached_property
    def _by_name(self) -> dict[str, LabelKind]:
        return {kind.name: kind for kind in self.kinds}

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def target(self) -> str | None:
        """The label that shows the behavior; None where none does."""
        return next((kind.name for kind in self.kinds if kind.outcome == "success"), None)

    def kind(self, name: str) -> LabelKind:
        """The label of this name; ``UnknownLabelError`` when there is none."""
        found = self._by_name.get(name)
        if found is None:
            allowed = ", ".join(self.names)
            raise UnknownLabelError(Problem("label", name, "unknown label", allowed, nearest_name(name, self.names)))
        return found

    def of_outcome(self, outcome: Outcome) -> tuple[str, ...]:
        """The names of those that count as ``outcome``, in order."""
        return tuple(kind.name for kind in self.kinds if kind.outcome == outcome)

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """How often each label occurs in ``names``, those that do not included; ``UnknownLabelError``."""
        found = dict.fromkeys(self.names, 0)
        for name in names:
            found[self.kind(name).name] += 1
        return found


GARBLED = "garbled"
"""What every behavior has beside its own labels and ``NO_ANSWER``."""

LABELS = LabelSet(
    (
        LabelKind("coherent_refusal", "success"),
        LabelKind(GARBLED, "garbled"),
        LabelKind("normal", "other"),
        LabelKind(NO_ANSWER, "no_answer"),
    )
)
"""Those of behaviors that name no scorer. ``no_answer``: the answer had not begun when ``max_new_tokens`` was reached."""


@dataclass(frozen=True)
class Label:
    """The label of one response: what its scores say, and what that counts as. Versions before scores were stored one by one have
    it as a row of ``labels/<cell_id>.parquet``."""

    prompt_id: Annotated[str, "of the prompt, in the behavior's file"]
    label: Annotated[str, "what the answer is"]
    evidence: Annotated[str, "why, a JSON object: the rule that decided, and the phrase it matched or the numbers it measured"]
    classifier: Annotated[str, "the scorer that decided, the target, and what tells language from none"]
    answer: Annotated[
        str | None,
        "what was judged, where that is not the whole response but what the model said after its thoughts; empty where that had "
        "not begun",
    ] = None
    outcome: Annotated[Outcome, "what the label counts as: `success`, `garbled`, `no_answer` or `other`"] = "other"
    sample: Annotated[int, "which of the prompt's responses, from 0"] = 0

    @property
    def key(self) -> SampleKey:
        """Which of its cell's responses."""
        return self.prompt_id, self.sample
