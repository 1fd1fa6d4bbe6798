"""Directions that steer together and under conditions: what each does to the others' success, and where conditions held."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from actors.types import Action
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.series import layer_text
from orchestrator.report.values import decimals, number
from orchestrator.results.cell_axes import parts_after
from orchestrator.results.conditions import STEERED, condition
from orchestrator.results.part_axes import told_condition
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Interval, difference_of, percent_text

Parts = tuple[str, ...]
"""What steers a cell, part by part, each with its multiplier, as text."""

ACTION = Action.names()[2:]
"""What is said of an action beside its multiplier and its intervention."""

_INTERFERENCE = (
    ReportColumn("model", left=True, spare=1),
    ReportColumn("prompts of", "prompts", left=True, spare=2),
    ReportColumn("success of", "success", left=True),
    ReportColumn("steered by", left=True),
    ReportColumn("added", left=True),
    ReportColumn("without %", "without"),
    ReportColumn("with %", "with"),
    ReportColumn("difference [95 %]", "difference"),
)
_INTERFERENCE_NOTE = (
    "Each line adds one direction to what steers already (nothing: unsteered), and tells another behavior's success on the same "
    "prompts before and after. The interval of the difference is made of those of both rates as if they were independent "
    "(Newcombe's method 10): the prompts are the same, so it is too wide rather than too narrow."
)
_CONDITIONS = (
    ReportColumn("model", left=True, spare=2),
    ReportColumn("prompts of", left=True),
    ReportColumn("condition", left=True),
    ReportColumn("threshold", "thresh."),
    ReportColumn(
        "held-out accuracy %",
        "held-out",
        spare=1,
        note="Held-out accuracy: balanced, of a learned threshold, on the contrast prompts that did not choose it; the direction "
        "was found from all of them.",
    ),
    ReportColumn("n"),
    ReportColumn("steered"),
    ReportColumn("hits"),
    ReportColumn("misses", spare=3),
    ReportColumn("false alarms", "false al."),
    ReportColumn("correct rejections", "corr. rej.", spare=3),
)
_CONDITIONS_NOTE = (
    "A hit is a response that was steered and was meant to be, by its prompt's category: of those that the condition's contrast "
    "prompts of one class have and of the other have not. Other prompts are in n and steered alone."
)


def interference_table(rows: Sequence[CellRow]) -> ReportTable | None:
    """A line for each cell, behavior that it is scored for, and direction of another behavior whose absence was run, too; None
    where nothing is steered by several directions or for another behavior."""
    if not any(row.then or row.steers for row in rows):
        return None
    groups: dict[tuple[object, ...], dict[Parts, CellRow]] = {}
    for row in rows:
        if row.labelled:
            groups.setdefault(condition(row, STEERED), {}).setdefault(_parts(row), row)
    lines = [line for group in groups.values() for parts, row in group.items() for line in _added(row, parts, group)]
    return ReportTable("Interference", _INTERFERENCE, tuple(lines), (_INTERFERENCE_NOTE,)) if lines else None


def conditions_table(rows: Sequence[CellRow]) -> ReportTable | None:
    """A line for each cell with a condition; None where there is none."""
    found = {row.cell_id: row for row in rows if row.acted_n is not None}
    if not found:
        return None
    return ReportTable("Conditions", _CONDITIONS, tuple(_decided(row) for row in found.values()), (_CONDITIONS_NOTE,))


def _decided(row: CellRow) -> tuple[Value, ...]:
    accuracy = row.threshold_accuracies[0] if row.threshold_accuracies else None
    counts = (row.n, row.acted_n, row.hits, row.misses, row.false_alarms, row.correct_rejections)
    return (
        Value(_model(row)),
        Value(row.asked or row.behavior),
        _condition(row),
        decimals(row.thresholds[0] if row.thresholds else None),
        number("-" if accuracy is None else f"{100 * accuracy:.0f}"),
        *(number("-" if one is None else str(one)) for one in counts),
    )


def _condition(row: CellRow) -> Value:
    """Of the first part that has one."""
    part = json.loads(next(part for part in _parts(row) if json.loads(part)["when"]))
    return Value(f"{part['behavior']} x {part['multiplier']:g} {told_condition(part['when'])}")


def _added(row: CellRow, parts: Parts, group: Mapping[Parts, CellRow]) -> list[tuple[Value, ...]]:
    lines: list[tuple[Value, ...]] = []
    for place, part in enumerate(parts):
        others = parts[:place] + parts[place + 1 :]
        before, own = group.get(others), json.loads(part)["behavior"] in (row.behavior, row.behavior.split("/")[0])
        if before is None or own:
            continue
        k, n, k_before, n_before = row.count("success"), row.n, before.count("success"), before.n
        rates, intervals = (k / n, k_before / n_before), (row.interval("success"), before.interval("success"))
        found = None if None in intervals else difference_of(rates, (intervals[0], intervals[1]))  # type: ignore[arg-type]
        lines.append(
            (
                Value(_model(row)),
                Value(row.asked or row.behavior),
                Value(row.behavior),
                Value(" then ".join(map(_words, others)) or "nothing", " then ".join(map(_short, others)) or "nothing"),
                Value(_words(part), _short(part)),
                Value(f"{percent_text(k_before, n_before)} {k_before}/{n_before}", percent_text(k_before, n_before), number=True),
                Value(f"{percent_text(k, n)} {k}/{n}", percent_text(k, n), number=True),
                number(f"{100 * (rates[0] - rates[1]):+.0f} {_points(found)}"),
            )
        )
    return lines


def _points(found: Interval | None) -> str:
    return "" if found is None else f"[{100 * found.low:+.0f}, {100 * found.high:+.0f}]"


def _model(row: CellRow) -> str:
    return row.model if row.quantization == "none" else f"{row.model} {row.quantization}"


def _parts(row: CellRow) -> Parts:
    """Of each part what it is and where it acts, from a row's columns."""
    if not row.steered:
        return ()
    first = {
        "behavior": row.steers or row.behavior.split("/")[0],
        "method": row.method,
        "where": layer_text(row),
        "multiplier": row.multiplier,
        "intervention": row.intervention,
        **{name: getattr(row, name) for name in ACTION},
        "when": row.when,
    }
    more = []
    for part, multiplier in zip(parts_after(row), row.then_multipliers or (), strict=True):
        layers = part["layers"]
        through = layers[-1] == (row.n_layers or 0) - 1 and len(layers) > 1
        at = f"L{layers[0]}+" if through else f"L{layers[0]}" if len(layers) == 1 else f"L{layers[0]}-{layers[-1]}"
        more.append(
            {
                "behavior": part["behavior"],
                "method": part["method"],
                "where": at,
                "multiplier": multiplier,
                "intervention": part["intervention"],
                **{name: part.get(name, getattr(Action(1.0), name)) for name in ACTION},
                "when": part.get("when", ""),
            }
        )
    return tuple(json.dumps(one, sort_keys=True) for one in (first, *more))


def _words(part: str) -> str:
    told = json.loads(part)
    when = f" {told_condition(told['when'])}" if told["when"] else ""
    return f"{told['behavior']} x {told['multiplier']:g} at {told['where']}{when}"


def _short(part: str) -> str:
    """Without where it acts, and with no more of a condition than whose direction it looks at."""
    told = json.loads(part)
    when = f" when {told['when'].partition(' by ')[0]}" if told["when"] else ""
    return f"{told['behavior']} x {told['multiplier']:g}{when}"
