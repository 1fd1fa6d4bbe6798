"""One grid of a sweep file: what it runs over."""

from __future__ import annotations

from dataclasses import dataclass

from actors.types import Action, Decoding, ExtractorName
from orchestrator.cells import Options, Scope
from orchestrator.sweep_file.behaviors import BehaviorPrompts
from orchestrator.sweep_file.models import ModelVariant
from orchestrator.sweep_file.schema import Choose, Multipliers, SearchEntry, Transfer
from orchestrator.sweep_file.sections import Path
from orchestrator.sweep_file.together import SteerPart
from orchestrator.sweep_file.vector_files import METHOD, UsedVectors

ACTION_KEYS = tuple(name for name in Action.names() if name != "multiplier")
"""The keys of a grid that say what is done with a direction; of some a grid may list several values."""


@dataclass(frozen=True)
class LayerAxis:
    """The layer axis as it is written: ``depths``, absolute ``layers``, and whether the method's own (``auto``) is among them."""

    depths: tuple[float, ...] = ()
    layers: tuple[int, ...] = ()
    auto: bool = False


@dataclass(frozen=True)
class Grid:
    """One grid of a sweep: the product of its axes. ``path`` is where it stands in the file (``()``: the top level).

    ``actions``: of its cells, but for their multiplier. With ``choose`` its layers, its multipliers or both come from an earlier
    grid's cells, and the axis here may be empty. With ``search`` the cells are its trials, and there
    are no multipliers. With ``together`` its cells are steered by these parts at once, ``orthogonal`` or not; its own axis and
    multipliers may then be empty, and its ``behaviors`` say whose test prompts are asked. ``files``: those that methods take
    their vectors from.
    """

    name: str
    path: Path
    variants: tuple[ModelVariant, ...]
    behaviors: tuple[BehaviorPrompts, ...]
    methods: tuple[tuple[str, Options], ...]
    axis: LayerAxis
    scopes: tuple[Scope, ...]
    multipliers: Multipliers | None
    actions: tuple[Action, ...]
    decoding: Decoding
    extractor: ExtractorName
    baseline: bool
    transfer: Transfer
    choose: Choose | None
    search: SearchEntry | None = None
    together: tuple[SteerPart, ...] = ()
    orthogonal: bool = False
    files: tuple[UsedVectors, ...] = ()

    def vectors_of(self, method: tuple[str, Options]) -> UsedVectors | None:
        """The file that a method takes its vectors from; None where it finds its own."""
        return next((used for used in self.files if (METHOD, used.options) == method), None)

    def multipliers_of(self, model: ModelVariant) -> tuple[float, ...]:
        """Those of one of its models, as written; none where they are chosen."""
        return () if self.multipliers is None else self.multipliers.of(model.key, model.shape.family) or ()
