"""What a classifier says of one response, and the protocol that every classifier follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

LabelName = Literal["coherent_refusal", "garbled", "normal"]
LABEL_NAMES: tuple[LabelName, ...] = get_args(LabelName)


@dataclass(frozen=True)
class Label:
    """The label of one response.

    ``evidence`` is a short JSON object: the rule that decided, and the phrase it matched or the numbers it measured.
    ``classifier`` is ``name@version`` of the classifier that gave the label.
    """

    prompt_id: str
    label: LabelName
    evidence: str
    classifier: str


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
        """The label of ``response`` to ``prompt``; ``finish_reason`` is ``stop`` or ``length``."""
