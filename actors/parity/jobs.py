"""What a parity study asks of a worker. Torch-free. Every job gives the bytes of an ``.npz`` file, never pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actors.types import Prompt

Padding = Literal["left", "right"]


@dataclass(frozen=True)
class Classes:
    """The contrast prompts of a direction: it is mean(positive) - mean(negative)."""

    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All of them, positive first."""
        return (*self.positive, *self.negative)

    @property
    def content(self) -> dict[str, object]:
        """What they contribute to an identity."""
        return {"positive": [one.content for one in self.positive], "negative": [one.content for one in self.negative]}


@dataclass(frozen=True)
class Setting:
    """What a correct reading may legitimately differ in: ``batch`` prompts per forward, the side that is padded (with the mask
    passed, positions counted by it, the last real token read), and the ``attention`` implementation (empty: as loaded)."""

    batch: int = 1
    padding: Padding = "left"
    attention: str = ""

    @property
    def words(self) -> str:
        """What it is, in words."""
        batched = (
            "one prompt per forward" if self.batch == 1 else f"{self.batch} prompts per forward, padded on the {self.padding}"
        )
        return f"{batched}, attention {self.attention}" if self.attention else batched


@dataclass(frozen=True)
class ReadJob:
    """Read the residual stream with one ``tool``, a key of ``actors.parity.tools.TOOLS``, or with a ``command`` of the user's
    own. ``repeats``: how often it is read in the same way; what differs between them is the tool's own noise.

    The file: ``activations`` float32 ``[n, L, d]``, at the last prompt token of every prompt (or ``directions`` ``[L, d]``
    alone, from a command that gives no more); ``spread`` ``[L]``, the largest absolute difference between repeats.
    """

    item_id: str
    classes: Classes
    tool: str
    command: tuple[str, ...] = ()
    setting: Setting = Setting()
    repeats: int = 1


@dataclass(frozen=True)
class SitesJob:
    """Read every candidate site of every block, which tools' readings are matched against.

    The file: ``sites`` float32 ``[S, L, n, d]`` at the last token, NaN where a block has no such site, and ``names`` ``[S]``.
    """

    item_id: str
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class MistakesJob:
    """Extract the direction anew with every planted fault, alone and, with ``pairs``, by two; ``batches``: how many prompts a
    forward may take, for those faults that depend on it.

    The file: ``directions`` float32 ``[F, L, d]``, not normalised, NaN where a fault leaves a layer without one, and ``labels``
    ``[F]``: JSON lists of a fault's names (none: clean), with the batch at the end; ``parts`` float32 ``[P, L, d]`` and
    ``part_labels`` ``[P]``, what ``actors.parity.grouping`` says (none for more than ``grouping.MOST`` prompts of a class).
    """

    item_id: str
    classes: Classes
    batches: tuple[int, ...]
    pairs: bool = True


@dataclass(frozen=True)
class SteeringPlace:
    """Where the clean direction of ``classes`` is added while ``prompts`` are answered: behind the block ``layer``, ``strength``
    times as long as it is. ``tokens`` of each answer are kept, and the logits of ``probes`` tokens of the vocabulary."""

    classes: Classes
    prompts: tuple[Prompt, ...]
    layer: int
    strength: float = 1.0
    tokens: int = 12
    probes: int = 64

    @property
    def content(self) -> dict[str, object]:
        """What it contributes to an identity."""
        return {
            **self.classes.content,
            "prompts": [one.content for one in self.prompts],
            "place": [self.layer, self.strength, self.tokens, self.probes],
        }


@dataclass(frozen=True)
class SteerJob:
    """Answer with one ``tool`` (or ``command``) adding the direction, greedily, all prompts in one batch.

    The file: ``tokens`` int64 ``[n, T]``, and ``logits`` float32 ``[n, T, P]`` (none from a command that gives no more).
    """

    item_id: str
    place: SteeringPlace
    tool: str
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class SteeringMistakesJob:
    """The same by plain hooks, right and, with ``mistakes``, with every known mistake of steering scripts.

    The file: ``tokens`` ``[F, n, T]``, ``logits`` ``[F, n, T, P]`` and ``labels`` ``[F]``, the mistakes' names (empty: right).
    """

    item_id: str
    place: SteeringPlace
    mistakes: bool = True


@dataclass(frozen=True)
class RatesJob:
    """Answer ``prompts`` with at most ``tokens``, unsteered, and steered with the unit direction that each planted mistake gives
    at ``layer``, ``multiplier`` times from that layer on; and the damage of each, at the first ``neutral_tokens`` of the answers
    to ``neutral`` prompts.

    The file: ``labels`` ``[F]``, JSON: null for unsteered, else a mistake's names with the batch at the end; ``responses``
    ``[F]``, JSON lists of ``Response``; ``kl`` float64 ``[F, n]``, KL(unsteered || steered) of every neutral prompt, in nats.
    """

    item_id: str
    classes: Classes
    prompts: tuple[Prompt, ...]
    layer: int
    multiplier: float
    tokens: int
    neutral: tuple[Prompt, ...]
    neutral_tokens: int = 4


ParityJob = ReadJob | SitesJob | MistakesJob | SteerJob | SteeringMistakesJob | RatesJob
