"""What a behavior file holds once it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.types import Prompt
from actors.values import in_a_line
from orchestrator.behaviors.similarity import near_pairs


@dataclass(frozen=True)
class TestPrompt(Prompt):
    """A prompt that is steered and labelled, with the optional ``category`` and ``split`` that reports group by, and the
    ``target``: the answer that its data set expects."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    category: str | None = None
    split: str | None = None
    target: str | None = None


@dataclass(frozen=True)
class Behavior:
    """Contrast prompts (``positive`` shows the behavior) and test prompts under one name. Extraction and test are disjoint.
    ``categories``: of the contrast prompts that have one, by their ids."""

    name: str
    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...]
    test: tuple[TestPrompt, ...]
    categories: Mapping[str, str] = field(default_factory=dict, compare=False)

    __repr__ = in_a_line

    def near_duplicates(self) -> tuple[tuple[str, str], ...]:
        """Ids of (extraction prompt, test prompt) that say nearly the same, though not in the same words."""
        extraction = (*self.positive, *self.negative)
        found = near_pairs([prompt.text for prompt in extraction], [prompt.text for prompt in self.test])
        return tuple((extraction[one].id, self.test[other].id) for one, other in found)
