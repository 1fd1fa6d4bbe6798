"""``plan.json``: what status, score and reports need to know of a plan, without the sweep file or any model."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cells import variant_id
from orchestrator.errors import InputError
from orchestrator.rows import CellAxes, axes_of

if TYPE_CHECKING:
    from orchestrator.plan import Plan

PLAN_VERSION = 1


@dataclass(frozen=True)
class PlannedDirection:
    """A direction set of the plan: its id, the variant it comes from, the method and the tool."""

    id: str
    variant: str
    method: str
    extractor: str


@dataclass(frozen=True)
class PlannedVariant:
    """A model variant of the plan."""

    name: str
    variant: str
    family: str
    n_layers: int
    d_model: int


@dataclass(frozen=True)
class PlannedCells:
    """What ``plan.json`` says. ``cells`` stand in the plan's order, which is the order of every results table."""

    name: str
    classifier: str
    cells: tuple[CellAxes, ...]
    directions: tuple[PlannedDirection, ...]
    models: tuple[PlannedVariant, ...]
    warnings: tuple[str, ...]


def planned_cells(plan: Plan) -> PlannedCells:
    """What of ``plan`` is kept."""
    shapes = {model.variant: model.shape for model in plan.models}
    return PlannedCells(
        name=plan.name,
        classifier=plan.classifier,
        cells=tuple(axes_of(cell, shapes.get(variant_id(cell.target))) for cell in plan.cells),
        directions=tuple(
            PlannedDirection(spec.id, variant_id(spec.model), spec.method, spec.extractor) for spec in plan.directions
        ),
        models=tuple(
            PlannedVariant(model.name, model.variant, model.shape.family, model.shape.n_layers, model.shape.d_model)
            for model in plan.models
        ),
        warnings=tuple(plan.warnings),
    )


def encode_plan(planned: PlannedCells) -> bytes:
    """The bytes of ``plan.json``: the same plan gives the same bytes."""
    content = {"version": PLAN_VERSION, **asdict(planned)}
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def decode_plan(path: Path) -> PlannedCells:
    """What ``path`` holds; InputError when it is missing, damaged or written by a newer version."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("version") > PLAN_VERSION:
            raise InputError.because(f"{path} was written by a newer version of this program: update it")
        return _planned(content)
    except FileNotFoundError:
        raise InputError.because(f"{path.parent} holds no plan.json: it is not the results folder of a sweep") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError.because(f"{path} is damaged ({error}); run the sweep again to write it anew") from error


def _planned(content: dict[str, Any]) -> PlannedCells:
    return PlannedCells(
        name=content["name"],
        classifier=content["classifier"],
        cells=tuple(CellAxes(**{**cell, "layers": _optional_tuple(cell["layers"])}) for cell in content["cells"]),
        directions=tuple(PlannedDirection(**direction) for direction in content["directions"]),
        models=tuple(PlannedVariant(**model) for model in content["models"]),
        warnings=tuple(content["warnings"]),
    )


def _optional_tuple(values: list[int] | None) -> tuple[int, ...] | None:
    return None if values is None else tuple(values)
