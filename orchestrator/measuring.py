"""What analyses need of a model, as work: measured by a worker, left in a file of arrays (safetensors) that statistics are made
of without it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from actors.types import ActivationsJob, ExtractorName, ModelSpec, Prompt
from orchestrator.cells import content_id, model_identity, variant_id
from orchestrator.work import WorkItem

Arrays = dict[str, npt.NDArray[Any]]


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

    def job(self) -> ActivationsJob:
        """What a worker is asked."""
        return ActivationsJob(self.id, self.positive, self.negative, self.extractor)

    def check(self, found: Arrays) -> None:
        """ValueError unless there is a row for every prompt."""
        if (array := found.get("activations")) is None or array.ndim != 3 or len(array) != self.rows:
            raise ValueError(f"it holds no activations of {self.rows} prompts")
