"""What a run came to, from its cells: the best and the unsteered one of each model and behavior, and curves over layers and
multipliers. Plain names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.outcome import COUNTED
from orchestrator.results.rows import CellRow
from orchestrator.tracking.points import Value

CURVES = 60
"""Curves of each family at most: those of the first cells."""
POINTS = 480
"""Of each family; W&B's steps have no room for more (``wandb_tracker.STEPS``)."""
BY_LAYER, BY_MULTIPLIER = "by_layer", "by_multiplier"
AXES = {BY_LAYER: "layer", BY_MULTIPLIER: "multiplier"}
"""Family of curves -> the axis that they are drawn over."""
_SAID = ("cell_id", "model", "quantization", "behavior", "method", "method_options", "scope", "layer", "multiplier", "n", "kl")


def summary_of(rows: Iterable[CellRow]) -> dict[str, Value]:
    """``best/...`` of all steered cells and ``baseline/...`` of its model and behavior; where there are several of these also
    ``best/<model>/<behavior>/...``. The best has the most successes, then the fewest that are garbled."""
    labelled = [row for row in rows if row.labelled and row.n]
    groups: dict[str, list[CellRow]] = {}
    for row in labelled:
        groups.setdefault(f"{row.model}/{row.behavior}", []).append(row)
    found: dict[str, Value] = {}
    for name, members in groups.items():
        found |= _best_and_baseline(members, f"{name}/" if len(groups) > 1 else "")
    steered = [row for row in labelled if row.steered]
    if len(groups) > 1 and steered:
        best = max(steered, key=_merit)
        found |= _best_and_baseline([row for row in labelled if (row.model, row.behavior) == (best.model, best.behavior)], "")
    return found


def curves_of(rows: Iterable[CellRow]) -> Iterator[dict[str, Value]]:
    """Rows of the history, by growing layer and then by growing multiplier, each with the rates of one steered cell."""
    usable = [row for row in rows if row.steered and row.labelled and row.n and row.layer is not None and not row.is_transfer]
    for family, axis in AXES.items():
        names: dict[str, None] = {}
        for row in sorted(usable, key=lambda row: (getattr(row, axis), row.cell_id))[:POINTS]:
            name = _curve(row, family)
            if name not in names and len(names) >= CURVES:
                continue
            names[name] = None
            rates = {f"{family}/{outcome}_rate/{name}": getattr(row, f"{outcome}_rate") for outcome in ("success", "garbled")}
            yield {axis: getattr(row, axis), **{key: value for key, value in rates.items() if value is not None}}


def _curve(row: CellRow, family: str) -> str:
    fixed = f"multiplier={row.multiplier:g}" if family == BY_LAYER else f"layer={row.layer}"
    return " ".join(filter(None, (row.model, row.behavior, row.method, row.scope, row.action, fixed)))


def _best_and_baseline(rows: Sequence[CellRow], within: str) -> dict[str, Value]:
    steered = [row for row in rows if row.steered]
    baseline = next((row for row in rows if not row.steered), None)
    found: dict[str, Value] = {}
    if steered:
        best = max(steered, key=_merit)
        found |= {f"best/{within}{key}": value for key, value in _told(best, _SAID).items()}
        found[f"best/{within}selection"] = _selection(best)
    if baseline is not None:
        found |= {
            f"baseline/{within}{key}": value for key, value in _told(baseline, ("cell_id", "model", "behavior", "n")).items()
        }
    return found


def _selection(row: CellRow) -> str:
    """The cell as it is typed: ``show RESULTS layer=15,multiplier=8``."""
    named = {name: getattr(row, name) for name in ("model", "behavior", "method", "layer", "multiplier")}
    return ",".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in named.items())


def _told(row: CellRow, names: Sequence[str]) -> dict[str, Value]:
    columns = (*names, *(f"{name}_{what}" for name in COUNTED for what in ("rate", "low", "high")))
    return {name: value for name in columns if (value := getattr(row, name)) is not None}


def _merit(row: CellRow) -> tuple[float, int, float]:
    return (row.success_rate or 0.0, -row.count("garbled") - row.count("no_answer"), -abs(row.multiplier or 0.0))
