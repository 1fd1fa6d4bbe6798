"""What analyses need of a model, as work: measured by a worker, left in a file of arrays (safetensors) that statistics are made
of without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from actors.errors import JobError
from actors.types import (
    ActivationsJob,
    DirectionSet,
    DivergencesJob,
    ExtractorName,
    FloatArray,
    InjectionJob,
    ModelSpec,
    Prompt,
    ShiftsJob,
)
from orchestrator.cells import DirectionSpec, content_id, model_identity, variant_id
from orchestrator.work import WorkItem

Arrays = dict[str, npt.NDArray[Any]]

MEASURED = ("activations", "shifts", "divergences")
"""The kinds of these items, whose files lie in ``analyses/<kind>``."""


class MeasuringItem(WorkItem, Protocol):
    """A work item of this kind."""

    def check(self, found: Arrays) -> None:
        """ValueError where ``found`` cannot be what was asked for."""
        ...


def arrays_of(content: bytes) -> Arrays:
    """What a worker gave, or a file holds; ValueError where that is damaged or not finite."""
    try:
        found: Arrays = load(content)
    except SafetensorError as error:
        raise ValueError(f"it is no file of arrays: {error}") from error
    if not all(np.isfinite(array).all() for array in found.values()):
        raise ValueError("it holds numbers that are not finite")
    return found


@dataclass(frozen=True)
class ActivationsItem:
    """The residual stream of prompts at their last token, unsteered: ``activations`` ``[n, L, d]`` in
    ``analyses/activations/<id>``."""

    target: ModelSpec
    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...] = ()
    extractor: ExtractorName = "nnsight"
    kind: ClassVar[str] = "activations"
    needs: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def id(self) -> str:
        """Of the model and the prompts' texts, in their order."""
        texts = [[one.text, one.answer] for one in (*self.positive, *self.negative)]
        return content_id(self.kind, {"target": model_identity(self.target), "prompts": texts, "extractor": self.extractor})

    @property
    def variant(self) -> str:
        """The model that is read."""
        return variant_id(self.target)

    @property
    def rows(self) -> int:
        """Prompts."""
        return len(self.positive) + len(self.negative)

    budget = rows

    def job(self, needed: Mapping[str, DirectionSet]) -> ActivationsJob:
        """What a worker is asked."""
        return ActivationsJob(self.id, self.positive, self.negative, self.extractor)

    def check(self, found: Arrays) -> None:
        """ValueError unless there is a row for every prompt."""
        if (array := found.get("activations")) is None or array.ndim != 3 or len(array) != self.rows:
            raise ValueError(f"it holds no activations of {self.rows} prompts")


@dataclass(frozen=True)
class InjectionItem:
    """Directions that are added at single layers, and what they do to ``prompts``: ``analyses/<kind>/<id>``.

    ``layers``: at which, ``multipliers`` times each; beside ``random`` directions of the same length, drawn by ``seed``.
    """

    direction: DirectionSpec
    prompts: tuple[Prompt, ...]
    layers: tuple[int, ...]
    multipliers: tuple[float, ...]
    random: int = 0
    seed: int = 0

    @property
    def kind(self) -> str:
        """A key of ``scheduling.kinds.KINDS``."""
        raise NotImplementedError

    @cached_property
    def id(self) -> str:
        """Of the direction (which names its model), the prompts' texts, and what is added where."""
        return content_id(self.kind, self.content())

    def content(self) -> dict[str, object]:
        """What it contributes to an identity."""
        return {
            "direction": self.direction.id,
            "prompts": [[one.text, one.answer] for one in self.prompts],
            "layers": list(self.layers),
            "multipliers": list(self.multipliers),
            "random": [self.random, self.seed] if self.random else 0,
        }

    @property
    def variant(self) -> str:
        """The model that is steered."""
        return self.direction.variant

    @property
    def needs(self) -> tuple[str, ...]:
        """The direction."""
        return (self.direction.id,)

    @property
    def rows(self) -> int:
        """Prompts, once for every steering."""
        return len(self.prompts) * len(self.layers) * len(self.multipliers) * (1 + self.random)

    @property
    def budget(self) -> int:
        """About one token for each."""
        return self.rows

    def common(self, needed: Mapping[str, DirectionSet]) -> InjectionJob:
        """What the jobs of all of them have."""
        vectors = _every_layer(self.direction, needed[self.direction.id])
        return InjectionJob(self.id, self.prompts, vectors, self.layers, self.multipliers, self.random, self.seed)

    def _shape(self) -> tuple[int, int]:
        return len(self.layers), len(self.multipliers)


@dataclass(frozen=True)
class ShiftsItem(InjectionItem):
    """How activations of later layers move; those at the layers ``kept`` are kept whole."""

    kept: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """Shifts."""
        return "shifts"

    def content(self) -> dict[str, object]:
        """With what is kept."""
        return {**super().content(), "kept": list(self.kept)}

    def job(self, needed: Mapping[str, DirectionSet]) -> ShiftsJob:
        """What a worker is asked."""
        return ShiftsJob(**vars(self.common(needed)), kept=self.kept)

    def check(self, found: Arrays) -> None:
        """ValueError unless it is of every layer, multiplier, direction and prompt."""
        wanted = (*self._shape(), 1 + self.random, len(self.prompts))
        if any(name not in found or found[name].shape[:4] != wanted for name in ("own", "self", "length")):
            raise ValueError(f"it holds no shifts of {wanted} layers, multipliers, directions and prompts")


@dataclass(frozen=True)
class DivergencesItem(InjectionItem):
    """How far the next token's distribution moves."""

    @property
    def kind(self) -> str:
        """Divergences."""
        return "divergences"

    def job(self, needed: Mapping[str, DirectionSet]) -> DivergencesJob:
        """What a worker is asked: with the contrast prompts, for their covariance."""
        spec = self.direction
        return DivergencesJob(
            **vars(self.common(needed)), positive=spec.positive, negative=spec.negative, extractor=spec.extractor
        )

    @property
    def rows(self) -> int:
        """Prompts, once for every steering: both signs, and two kinds of random ones."""
        return len(self.prompts) * len(self.layers) * len(self.multipliers) * (2 + 2 * self.random)

    def check(self, found: Arrays) -> None:
        """ValueError unless it is of every layer, multiplier, direction and prompt."""
        wanted = (*self._shape(), 2 + 2 * self.random, len(self.prompts))
        if "kl" not in found or found["kl"].shape != wanted:
            raise ValueError(f"it holds no divergences of {wanted} layers, multipliers, directions and prompts")


def _every_layer(spec: DirectionSpec, found: DirectionSet) -> FloatArray:
    """The unit directions of all layers, ``[L, d]``; JobError where one is lacking."""
    if [one.layer for one in found.directions] != list(range(len(found.directions))):
        raise JobError(f"direction {spec.id}: it is not of every layer")
    return np.stack([one.vector for one in found.directions]).astype(np.float32, copy=False)
