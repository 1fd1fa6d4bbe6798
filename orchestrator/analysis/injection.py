"""Options and columns of the analyses that add directions at single layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from orchestrator.analysis.analysis import AnalysisRow
from orchestrator.strict import Entry, FromList

Layers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], FromList]
Depths = Annotated[tuple[Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)], ...], FromList]
Multipliers = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], FromList, Field(min_length=1)]


class InjectionOptions(Entry):
    """``multipliers``: how much of the unit direction is added; at ``depths`` and ``layers``; ``seed``: of all that is drawn."""

    multipliers: Multipliers
    depths: Depths | None = None
    layers: Layers | None = None
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    def at(self, n_layers: int) -> tuple[int, ...]:
        """The layers where something is added, in a model of so many."""
        return layers_at(self.depths, self.layers, (0.25, 0.5, 0.75), n_layers)


def layers_at(depths: Depths | None, layers: Layers | None, default: Depths, n_layers: int) -> tuple[int, ...]:
    """What is asked for, or where nothing is the ``default`` depths."""
    if depths is None and layers is None:
        depths = default
    return tuple(sorted({*(int(depth * n_layers) for depth in depths or ()), *(layers or ())}))


@dataclass(frozen=True, kw_only=True)
class InjectionRow(AnalysisRow):
    """What the rows of these analyses have in common."""

    method: Annotated[str, "the method that found the direction"]
    source: Annotated[int, "the layer at which it is added"]
    multiplier: Annotated[float, "how much of the unit direction is added"]
    n: Annotated[int, "prompts"]
