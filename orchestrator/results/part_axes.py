"""What a cell's row says of the parts of its steering and of their conditions: as columns, and in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from actors.types import Action, CellResult, Response
from orchestrator.cells import Cell, CellLabels, ConditionSpec, SteeringSpec


def axes_of_parts(cell: Cell) -> dict[str, object]:
    """The columns ``asked``, ``steers``, ``when``, ``then``, ``then_multipliers`` and ``orthogonal`` of a cell."""
    labels, steering = cell.labels, cell.steering
    found: dict[str, object] = {"asked": labels.asked or None}
    if steering is None:
        return found
    first = labels.steers[0] if labels.steers else labels.behavior
    conditions = labels.conditions or ("",) * len(steering.parts)
    then = [_part(part, *named) for part, *named in zip(steering.then, labels.steers[1:], conditions[1:], strict=True)]
    return found | {
        "steers": None if first == labels.behavior.split("/")[0] or first == labels.behavior else first,
        "when": "" if steering.condition is None else _condition(steering.condition, conditions[0]),
        "then": _text(then) if then else "",
        "then_multipliers": tuple(float(part.action.multiplier) for part in steering.then) or None,
        "orthogonal": steering.orthogonal,
    }


def decisions_of(cell: Cell, result: CellResult) -> dict[str, int | None]:
    """The columns ``acted_n``, ``hits``, ``misses``, ``false_alarms`` and ``correct_rejections`` of a cell with a condition, of
    its first part that has one."""
    parts = () if cell.steering is None else cell.steering.parts
    place = next((place for place, part in enumerate(parts) if part.condition is not None), None)
    acted = [one.acted[place] for one in result.responses if place is not None and len(one.acted) > place]
    if place is None or not acted:
        return {}
    told = [meant_of(cell.labels, one)[place] for one in result.responses]
    pairs = list(zip(acted, told, strict=True))
    kinds = {"hits": (True, True), "misses": (False, True), "false_alarms": (True, False), "correct_rejections": (False, False)}
    counts = {name: pairs.count(kind) if any(one is not None for one in told) else None for name, kind in kinds.items()}
    return {"acted_n": sum(acted), **counts}


def meant_of(labels: CellLabels, response: Response) -> list[bool | None]:
    """Of each part, whether it is meant to act on the response's prompt, by its category; None where that is not known."""
    category = labels.categories.get(response.prompt_id)
    found = [known.get(category) if category is not None else None for known in labels.meant]
    return found or [None] * len(response.acted)


def told_condition(text: str) -> str:
    """A condition for a person: ``when harms by dim at L16 below auto``; empty for none."""
    return f"when {text.rpartition(' #')[0]}" if text else ""


def side_of(text: str) -> str:
    """The side of its threshold on which a condition holds: ``above`` or ``below``."""
    return text.rpartition(" #")[0].split()[-2]


def told_part(part: Mapping[str, Any], multiplier: float | None) -> str:
    """A further part in words: ``then french x 15 at L12-29``; without a ``multiplier``: ``then french at L12-29``."""
    layers = part["layers"]
    at = f"L{layers[0]}" if len(layers) == 1 else f"L{layers[0]}-{layers[-1]}"
    times = "" if multiplier is None else f" x {multiplier:g}"
    said = [f"then {part['behavior']}{times} at {at}"]
    said += [part["method"]] if part["method"] != "dim" else []
    said.append(Action(1.0, **{name: part[name] for name in Action.names() if name in part}).words)
    return " ".join([*filter(None, said), *([told_condition(part["when"])] if "when" in part else [])])


def _part(spec: SteeringSpec, behavior: str, condition: str) -> dict[str, object]:
    content = spec.action.content
    del content["multiplier"]
    when = {} if spec.condition is None else {"when": _condition(spec.condition, condition)}
    return {
        "behavior": behavior,
        "method": spec.direction.method,
        "method_options": dict(spec.direction.options),
        "direction_id": spec.direction.id,
        "source_layer": spec.source_layer,
        "layers": list(spec.layers),
        **content,
        **when,
    }


def _condition(spec: ConditionSpec, behavior: str) -> str:
    """``harms by dim at L16 below auto #d2905143``: in words, and by the beginning of its direction's id."""
    threshold, side = "auto" if spec.threshold is None else f"{spec.threshold:g}", "above" if spec.above else "below"
    named = spec.direction.id.rpartition("-")[2][:8]
    return f"{behavior} by {spec.direction.method} at L{spec.layer} {side} {threshold} #{named}"


def _text(content: object) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
