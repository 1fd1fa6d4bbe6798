"""What a plan has beside cells and directions, as the results folder keeps it: analyses, and pairs that are not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PlannedAnalysis:
    """An analysis by its ``name`` in ``ANALYSES``, of a model (as the plan names it) and a behavior. ``options``: those that a
    sweep file gives. ``needs``: the ids of what workers measure for it, by the part that it has in the analysis.

    Its prompts: the first so many are ``positive``, the others negative; or with a ``cell_id`` they are classed by the answers of
    this unsteered cell. ``prompts``: their ids; ``categories``: of each (None: none).
    ``method``: what found the direction that is added (empty: none is), ``kept``: the layers that are looked at then.
    """

    name: str
    model: str = ""
    behavior: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    positive: int = 0
    cell_id: str = ""
    prompts: tuple[str, ...] = ()
    method: str = ""
    kept: tuple[int, ...] = ()
    categories: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class IncomparablePair:
    """A transfer pair (models by their names in the plan) that is not run, with both widths (d_model) and the reason in words."""

    source: str
    target: str
    source_width: int
    target_width: int
    reason: str


def twin_text(name: str, first: str) -> str:
    """That the model ``name`` has no rows of its own."""
    return f"models {first} and {name} are the same model: it runs once, and its rows say {first}, none says {name}"
