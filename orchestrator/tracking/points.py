"""What is tracked, as plain names and numbers. Knows nothing of where it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from actors.types import CellResult
from actors.use import Use
from orchestrator.cells import Cell, model_identity
from orchestrator.outcome import OUTCOMES
from orchestrator.plan import Plan
from orchestrator.progress import progress_of
from orchestrator.results.part_axes import axes_of_parts
from orchestrator.scheduling.board import Board
from orchestrator.scoring import Label

Value = str | int | float | bool

WORKERS_TRACKED = 32
"""Of more workers than these only the sums are tracked: each would add several curves."""

MEBIBYTE = 2**20
TAG_LENGTH, MOST_TAGS = 64, 20


def axes(cell: Cell) -> dict[str, Value]:
    """Where a cell lies in the sweep; axes that it does not have are left out.

    ``layer`` is the source layer. Where the method selected it, only the cell's row in the results knows which one it was.
    """
    found: dict[str, Value | None] = {
        "model": cell.labels.model,
        "quantization": cell.target.quantization,
        "behavior": cell.labels.behavior,
        "scope": cell.labels.scope,
        "depth": cell.labels.depth,
        "multiplier": 0.0,
    }
    if cell.steering is not None:
        found |= {
            "source_model": cell.labels.source_model or cell.labels.model,
            "transfer": cell.is_transfer,
            "method": cell.steering.direction.method,
            "layer": cell.steering.source_layer if isinstance(cell.steering.source_layer, int) else None,
            **{name: getattr(cell.steering.action, name) for name in cell.steering.action.content},
        }
        for name, value in axes_of_parts(cell).items():
            found[name] = ", ".join(f"{one:g}" for one in value) if isinstance(value, tuple) else value or None  # type: ignore[assignment]
    return {name: value for name, value in found.items() if value is not None}


def shares(labels: Sequence[Label]) -> dict[str, Value]:
    """What a cell's responses count as: the share of each outcome, and how many they are."""
    counts = Counter(label.outcome for label in labels)
    return {**{f"{outcome}_rate": counts[outcome] / max(len(labels), 1) for outcome in OUTCOMES}, "n": len(labels)}


def metrics(result: CellResult) -> dict[str, Value]:
    """What a cell took and did: tokens, seconds, and whether the steering fired."""
    measured = {name: value for name, value in asdict(result.fired).items() if value is not None}
    if result.residual_norm is not None:
        measured["residual_norm"] = result.residual_norm
    return {"new_tokens": result.new_tokens, "seconds": result.seconds, **measured}


def live_rates(plan: Plan, board: Board) -> dict[str, Value]:
    """Per model: cells done and failed, and, once measured, tokens per second and the seconds left."""
    rates: dict[str, Value] = {}
    for model in plan.models:
        now = progress_of(board, model.variant, model.name)
        rates |= {f"cells_done/{now.name}": now.done, f"cells_failed/{now.name}": now.failed}
        if now.tokens_per_second is not None and now.seconds_left is not None:
            rates |= {f"tokens_per_second/{now.name}": now.tokens_per_second, f"seconds_left/{now.name}": now.seconds_left}
    return rates


def use_points(uses: Mapping[str, Use]) -> dict[str, Value]:
    """What the workers use: per worker its memory and its GPU's (MiB) and the share of time in which the GPU computes; and over
    all of them the most memory of any, and the mean share. GPU figures only where there are any."""
    each = {name: _use_point(use) for name, use in uses.items()}
    found = {f"{key}/{name}": value for name, point in each.items() for key, value in point.items()}
    over_all: dict[str, Value] = {}
    for key in dict.fromkeys(key for point in each.values() for key in point):
        values = [point[key] for point in each.values() if key in point]
        over_all |= {f"{key}/mean": sum(values) / len(values)} if key == "gpu_busy" else {f"{key}/most": max(values)}
    return {**over_all, **(found if len(uses) <= WORKERS_TRACKED else {})}


def _use_point(use: Use) -> dict[str, float]:
    in_mib = {
        "memory_mib": use.resident,
        "gpu_memory_mib": use.gpu_allocated,
        "gpu_reserved_mib": use.gpu_reserved,
        "gpu_peak_mib": use.gpu_peak,
    }
    found = {name: value / MEBIBYTE for name, value in in_mib.items() if value is not None}
    return found if use.gpu_busy is None else {**found, "gpu_busy": use.gpu_busy}


def run_config(sweep_text: str, plan: Plan) -> dict[str, object]:
    """What the run was asked to do: the sweep file, its size, every model variant by the content of its identity; and to group
    runs by, every axis of the cells and of their decoding: its value where it has one, else the list of them."""
    models = {model.name: {**model_identity(model.spec), "variant": model.variant} for model in plan.models}
    told = {"sweep": plan.name, "sweep_file": sweep_text, "cells": len(plan.cells), "directions": len(plan.directions)}
    return {**told, "models": models, **axis_values(plan)}


def axis_values(plan: Plan) -> dict[str, Value | list[Value]]:
    """The values of every axis over the cells of ``plan``, in their order (numbers by size); one alone is no list."""
    found: dict[str, dict[Value, None]] = {}
    for cell in plan.cells:
        decoding = {name: value for name, value in asdict(cell.decoding).items() if value is not None}
        point = {"dtype": cell.target.dtype, **axes(cell), **decoding}
        for name, value in point.items():
            if cell.steering is not None or name not in ("multiplier", "depth"):
                found.setdefault(name, {})[value] = None
    return {name: _alone_or_listed(list(values)) for name, values in found.items()}


def _alone_or_listed(values: list[Value]) -> Value | list[Value]:
    if len(values) == 1:
        return values[0]
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def tags_of(plan: Plan, own: Sequence[str] = ()) -> tuple[str, ...]:
    """What to find the run by: the user's ``own``, then behaviors, methods, families, quantizations, models. W&B takes tags of 1
    to 64 characters."""
    steered = [cell.steering.direction.method for cell in plan.cells if cell.steering is not None]
    listed = (
        *own,
        *(cell.labels.behavior for cell in plan.counted),
        *steered,
        *(model.shape.family for model in plan.models),
        *(model.spec.quantization for model in plan.models if model.spec.quantization != "none"),
        *(["transfer"] if any(cell.is_transfer for cell in plan.cells) else []),
        *(model.name for model in plan.models),
    )
    return tuple(dict.fromkeys(tag[:TAG_LENGTH] for tag in listed if tag))[:MOST_TAGS]
