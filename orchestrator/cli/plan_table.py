"""A plan for people (a rich table) and for programs (a dict for JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from actors.parity.tools import TOOLS
from actors.types import Action
from orchestrator.cells import Cell, variant_id
from orchestrator.counting import counted
from orchestrator.duration import duration
from orchestrator.errors import plain
from orchestrator.plan import Plan
from orchestrator.planned import IncomparablePair
from orchestrator.planning.grids import Deferred
from orchestrator.results.part_axes import axes_of_parts
from orchestrator.scoring.planned import OF_THE_POOL
from orchestrator.scoring.score import GARBLED_BY_LOSS, reads_losses
from orchestrator.scoring.verdict import Verdicts
from orchestrator.uncut import Uncut

if TYPE_CHECKING:
    from orchestrator.planning.estimate import Estimate, ModelEstimate
    from orchestrator.preflight import Preflight

JSON_VERSION = 1
DEFERRED_SHOWN = 3
PAIRS_SHOWN = 4
WARNINGS_SHOWN = 4
NAME_WIDTH = 32
"""Longer model names are folded in the table."""

_COLUMNS = ("model", "cells", "rows", "tokens", "loads", "time", "memory", "on")


def render_plan(plan: Plan, every: bool = False) -> RenderableType:
    """The plan as a table, one row per model variant, with totals, axes, warnings and what is not run below it; of many of a
    kind how many they are, or ``every`` one."""
    table = Table(
        title=Text(f"Plan of {plain(plan.name)}"), box=box.SIMPLE_HEAD, title_justify="left", show_footer=len(plan.models) > 1
    )
    for column, total in zip(_COLUMNS, _totals(plan), strict=True):
        named = column in ("model", "on")
        widest = min(NAME_WIDTH, max(len(model.name) for model in plan.models)) if column == "model" else None
        justify: Literal["left", "right"] = "left" if named else "right"
        table.add_column(column, footer=total, justify=justify, no_wrap=not named, overflow="fold", min_width=widest)
    cells = Counter(variant_id(cell.target) for cell in plan.cells)
    for model, cost in zip(plan.models, plan.estimate.models, strict=True):
        table.add_row(Text(plain(model.name)), f"{cells[model.variant]:,}", *_numbers(cost), cost.device)
    notes = [Text(plain(line)) for line in judge_lines(plan)]
    notes += [Text(f"warning: {plain(warning)}", style="yellow") for warning in warning_lines(plan.warnings, every)]
    notes += [Text(plain(line), style="yellow") for line in incomparable_lines(plan.incomparable, every)]
    notes += [Text(plain(line)) for line in deferred_lines(plan.deferred, every)]
    facts = (Text(plain(line)) for line in (*success_lines(plan), *cluster_lines(plan), *parity_lines(plan)))
    return Group(Uncut(table), Text(_summary(plan)), *facts, *notes)


def render_preflight(found: Preflight) -> RenderableType:
    """What stands against a plan, a line each, last why it cannot run."""
    heads = {
        "facts": ("", ""),
        "warnings": ("warning: ", "yellow"),
        "unknown": ("not known: ", ""),
        "faults": ("cannot run here: ", "bold red"),
        "impossible": ("cannot run: ", "bold red"),
    }
    lines = [Text(plain(f"{head}{text}"), style=style) for name, (head, style) in heads.items() for text in getattr(found, name)]
    return Group(*lines)


def success_lines(plan: Plan) -> list[str]:
    """What counts as success: the label and the scorer that gives it, with the behaviors of which that holds; and whether the
    loss of the answers has a say in it."""
    behaviors: dict[str, list[str]] = {}
    used = plan.scoring.used(cell.labels.behavior for cell in plan.counted)
    for name, scoring in used.items():
        criterion = scoring.criterion
        kinds = Verdicts(criterion, plan.scoring.made[criterion.scorer].says).labels.kinds
        label = next(kind.name for kind in kinds if kind.outcome == "success")
        behaviors.setdefault(f"Success is '{label}', by the scorer {scoring.scorers[0].name}", []).append(name)
    told = [GARBLED_BY_LOSS] if any(reads_losses(one.criterion.coherence) for one in used.values()) else []
    return [*(f"{success}: {', '.join(names)}" for success, names in behaviors.items()), *told]


def cluster_lines(plan: Plan) -> list[str]:
    """What the sweep takes on clusters of several sizes: wall time, GPU-hours, model loads."""
    found = plan.estimate.clusters
    parts = [f"{one.gpus}: {duration(one.seconds)}, {one.gpu_seconds / 3600:.1f} GPU-hours, {one.loads} loads" for one in found]
    return [f"On {plan.estimate.cluster_device} GPUs, about: " + "; ".join(parts)] if parts else []


def parity_lines(plan: Plan) -> list[str]:
    """Which tools are compared, and which of them need environments."""
    if not plan.parity:
        return []
    tools = list(plan.parity[0].readings)
    apart = [name for name in tools if TOOLS[name].script]
    made = f" In environments of their own, made when a machine first needs them, about a minute each: {', '.join(apart)}."
    return [f"Tools compared: {', '.join(tools)}." + (made if apart else "")]


def judge_lines(plan: Plan) -> list[str]:
    """What every judge of the plan is asked, at most: calls, tokens, cost."""
    names = {use.id: use for one in plan.scoring.behaviors.values() for use in one.scorers}
    lines = []
    for scorer, one in plan.judged().items():
        use = names[scorer]
        who = f"{use.options['model']}, {use.options.get('rubric', use.name)}"
        cost = "" if one.cost is None else f", cost {one.cost:,.2f}"
        replies = f" and {one.reply_tokens:,} {'of replies to compare' if use.name in OF_THE_POOL else 'to write'}"
        tokens = f"about {one.prompt_tokens:,} tokens to read{replies if one.reply_tokens else ''}{cost}"
        lines.append(f"Judge {who} ({scorer}): at most {one.calls:,} calls, {tokens}.")
    return lines


def warning_lines(warnings: Sequence[str], every: bool = False) -> list[str]:
    """The first ``WARNINGS_SHOWN``, and how many more there are; or ``every`` one."""
    more = 0 if every else len(warnings) - WARNINGS_SHOWN
    return [*warnings] if more < 2 else [*warnings[:WARNINGS_SHOWN], f"and {more} more (plan --verbose tells them)"]


def incomparable_lines(pairs: Sequence[IncomparablePair], every: bool = False) -> list[str]:
    """The transfer pairs that are not run: each with its widths or, where they are many, how many for which reason, with
    ``every`` one also the models by width."""
    by_reason: dict[str, list[IncomparablePair]] = {}
    for pair in pairs:
        by_reason.setdefault(pair.reason, []).append(pair)
    lines = []
    for reason, members in by_reason.items():
        if len(members) <= PAIRS_SHOWN:
            lines += [
                f"not comparable: {one.source} ({one.source_width}) -> {one.target} ({one.target_width}): {reason}"
                for one in members
            ]
            continue
        widths: dict[int, dict[str, None]] = {}
        for one in members:
            widths.setdefault(one.source_width, {})[one.source] = None
            widths.setdefault(one.target_width, {})[one.target] = None
        listed = "; ".join(f"{width}: {', '.join(names)}" for width, names in sorted(widths.items()))
        lines.append(f"not comparable: {len(members)} pairs of models, {reason}" + (f" ({listed})" if every else ""))
    return lines


def deferred_lines(deferred: Sequence[Deferred], every: bool = False) -> list[str]:
    """What is not planned, one line per grid and reason; where more grids wait than are shown, one of all, but for ``every``."""
    later = [one for one in deferred if one.waiting]
    grids = list(dict.fromkeys(one.grid for one in later))
    if len(grids) > DEFERRED_SHOWN and not every:
        total = counted(sum(one.cells for one in later), "cell")
        line = f"at most {total} of {len(grids)} grids to follow, each when the grid that it is chosen from is finished"
        line = f"{line}: {', '.join(grids[:DEFERRED_SHOWN])} and {len(grids) - DEFERRED_SHOWN} more"
        return [line, *deferred_lines([one for one in deferred if not one.waiting])]
    groups: dict[tuple[str, bool, str], list[Deferred]] = {}
    for one in deferred:
        groups.setdefault((one.grid, one.waiting, one.reason), []).append(one)
    lines = []
    for (grid, waiting, reason), members in groups.items():
        cells = sum(one.cells for one in members)
        names = list(dict.fromkeys(f"{one.model} ({one.behavior}, {one.method})" for one in members))
        who = ", ".join(names) if len(names) <= DEFERRED_SHOWN else f"{names[0]} and {len(names) - 1} more"
        head = f"grid {grid}: at most {counted(cells, 'cell')} to follow" if waiting else f"grid {grid}: {counted(cells, 'cell')}"
        lines.append(f"{head} of {who}: {reason}")
    return lines


def plan_json(plan: Plan) -> dict[str, object]:
    """The plan as plain data. Keys are only ever added; their meaning changes with ``version``.

    ``version``, ``name``, ``classifier`` (``text``: what the scorers of behaviors that name none are called together).
    ``scorers``: by behavior the ids of its scorers, of which the first decides.
    ``judges``: by the scorer's id ``calls``, ``prompt_tokens``, ``reply_tokens``, ``cost`` (null: no price), at most.
    ``totals``: ``cells``, ``baselines``, ``transfers``, ``directions`` (sets), ``rows``, ``prompt_tokens``, ``new_tokens``,
    ``loads``, ``seconds``.
    ``clusters``: ``device``, ``gpus``, ``seconds`` (wall time), ``gpu_hours``, ``loads``; empty when no model needs a GPU.
    ``models``, per variant: ``name``, ``variant``, ``source``, ``location``, ``quantization``, ``dtype``, ``layers``, ``width``,
    ``parameters``, ``gpus``, ``cpus``, ``accelerator``, ``gpu_memory``, ``cells``, ``rows``, ``prompt_tokens``, ``new_tokens``,
    ``loads``, ``seconds``, ``weight_bytes``, ``cache_bytes``, ``device``.
    ``cells``, in the order to run: ``id``, ``model``, ``variant``, ``behavior``, ``rows``, ``steering`` (null: unsteered) with
    ``direction``, ``source_model``, ``method``, ``source_layer``, ``layers``, ``depth``, ``scope``, ``search``, ``trial``,
    ``multiplier``, ``intervention``, ``positions``, ``strength``, ``schedule``,
    ``keep_norm``, ``scales``, ``site``.
    ``directions``: ``id``, ``variant``, ``method``, ``extractor``. ``warnings``: sentences.
    ``incomparable``: ``source``, ``target``, ``source_width``, ``target_width``, ``reason``.
    ``choices``: settings taken from finished cells, with all that were considered. ``searches``: so the arms of searches.
    ``deferred``: ``grid``, ``model``, ``behavior``, ``method``, ``cells`` (at most), ``reason``, ``waiting`` (false: they are not
    run).
    ``preflight`` (of the command): sentences, under ``impossible``, ``faults`` (of this machine), ``warnings``, ``facts``,
    ``unknown``.
    Tokens and seconds are estimates (``new_tokens`` and ``seconds`` upper bounds, on one worker).
    """
    cells = Counter(variant_id(cell.target) for cell in plan.cells)
    return {
        "version": JSON_VERSION,
        "name": plan.name,
        "classifier": "text",
        "scorers": {key: list(one.ids) for key, one in plan.scoring.used(cell.labels.behavior for cell in plan.counted).items()},
        "judges": {key: asdict(one) for key, one in plan.judged().items()},
        "totals": {
            "cells": len(plan.cells),
            "baselines": sum(cell.steering is None for cell in plan.cells),
            "transfers": sum(cell.is_transfer for cell in plan.cells),
            "directions": len(plan.directions),
            "rows": plan.estimate.rows,
            "prompt_tokens": plan.estimate.prompt_tokens,
            "new_tokens": plan.estimate.new_tokens,
            "loads": plan.estimate.loads,
            "seconds": round(plan.estimate.seconds, 1),
        },
        "clusters": [
            {
                "device": plan.estimate.cluster_device,
                "gpus": one.gpus,
                "seconds": round(one.seconds, 1),
                "gpu_hours": round(one.gpu_seconds / 3600, 3),
                "loads": one.loads,
            }
            for one in plan.estimate.clusters
        ],
        "models": [
            {
                **asdict(cost),
                "source": model.spec.source,
                "location": model.spec.location,
                "quantization": model.spec.quantization,
                "dtype": model.spec.dtype,
                "layers": model.shape.n_layers,
                "width": model.shape.d_model,
                "parameters": model.shape.parameters,
                "gpus": model.resources.gpus,
                "cpus": model.resources.cpus,
                "accelerator": model.resources.accelerator,
                "gpu_memory": model.resources.gpu_memory,
                "cells": cells[model.variant],
                "seconds": round(cost.seconds, 1),
            }
            for model, cost in zip(plan.models, plan.estimate.models, strict=True)
        ],
        "cells": [_cell_json(cell) for cell in plan.counted],
        "directions": [
            {"id": spec.id, "variant": variant_id(spec.model), "method": spec.method, "extractor": spec.extractor}
            for spec in plan.directions
        ],
        "warnings": list(plan.warnings),
        "incomparable": [vars(pair) for pair in plan.incomparable],
        "choices": [asdict(choice) for choice in plan.choices],
        "searches": [asdict(arm) for arm in plan.arms],
        "matched": [asdict(arm) for arm in plan.matches],
        "deferred": [asdict(one) for one in plan.deferred],
    }


def _cell_json(cell: Cell) -> dict[str, object]:
    steering, labels = cell.steering, cell.labels
    return {
        "id": cell.id,
        "model": labels.model,
        "variant": variant_id(cell.target),
        "behavior": labels.behavior,
        **({"asked": labels.asked} if labels.asked else {}),
        "rows": cell.rows,
        "steering": None
        if steering is None
        else {
            "direction": steering.direction.id,
            "source_model": labels.source_model,
            "method": steering.direction.method,
            "source_layer": steering.source_layer,
            "layers": list(steering.layers),
            "depth": labels.depth,
            "scope": labels.scope,
            "search": labels.search,
            "trial": labels.trial,
            **{name: getattr(steering.action, name) for name in Action.names()},
            **{name: value for name, value in axes_of_parts(cell).items() if value and name != "asked"},
        },
    }


def _summary(plan: Plan) -> str:
    baselines, transfers = sum(cell.steering is None for cell in plan.cells), sum(cell.is_transfer for cell in plan.cells)
    parts = [f"{counted(len(plan.cells), 'cell')}: {baselines:,} unsteered, {len(plan.cells) - baselines:,} steered"]
    parts += [f"{transfers:,} of them with another model's direction"] if transfers else []
    parts += [f"{counted(len(plan.directions), 'direction set')} to extract"]
    tokens = f"about {plan.estimate.prompt_tokens:,} prompt tokens and at most {plan.estimate.new_tokens:,} new ones"
    note = "Tokens, time (one worker, no answer stops early) and memory are estimates; finished cells are not run again."
    return f"{', '.join(parts)}; {tokens}. {note}"


def _totals(plan: Plan) -> tuple[str, ...]:
    total = plan.estimate
    numbers = (f"{total.rows:,}", _tokens(total), f"{total.loads:,}", duration(total.seconds))
    return ("all", f"{len(plan.cells):,}", *numbers, _memory(max(total.peak_bytes.values(), default=0)), "")


def _numbers(cost: ModelEstimate) -> tuple[str, ...]:
    return (f"{cost.rows:,}", _tokens(cost), f"{cost.loads:,}", duration(cost.seconds), _memory(cost.peak_bytes))


def _tokens(cost: ModelEstimate | Estimate) -> str:
    """Prompt and new tokens together: 950, 11.4k, 3.2M."""
    count = float(cost.prompt_tokens + cost.new_tokens)
    return f"{count:.0f}" if count < 1e3 else f"{count / 1e3:.1f}k" if count < 1e6 else f"{count / 1e6:.1f}M"


def _memory(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
