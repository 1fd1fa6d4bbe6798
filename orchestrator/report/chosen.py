"""The settings that a sweep took from its own earlier cells: what was chosen, by which rate, from how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.cells import CellKey
from orchestrator.planning.choices import chosen_for
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import IN_SAMPLE, decimals, number
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Interval, interval_text, percent_text

NO_ANSWER = ReportColumn("no answer %", "no answer")
KL = ReportColumn("KL")
SETTING_COLUMNS = (
    ReportColumn("layer"),
    ReportColumn("multiplier", "mult."),
    ReportColumn("success %"),
    ReportColumn("garbled %", "garbled"),
    NO_ANSWER,
    KL,
)
"""What ``setting_values`` holds."""
_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("behavior", left=True),
    ReportColumn("method", left=True),
    ReportColumn("for grid", left=True, spare=2),
    *SETTING_COLUMNS,
    ReportColumn("of", spare=1, note="Of: how many settings were considered (all: choices.json)."),
)
_NOTE = (
    "Chosen: the best success rate among the settings within the bound on garbled responses, where one without an "
    "answer counts as garbled; on a tie the highest multiplier."
)
_BETWEEN = (
    "Chosen for a KL: the multiplier lies between two settings; rates and KL are those of the nearer one ('Equal damage' has the "
    "cells' own)."
)
_MARK = f"{IN_SAMPLE} in-sample: this rate chose the setting; the rate to report is that of the cells that used it."


def chosen_table(choices: Sequence[Mapping[str, Any]], rows: Iterable[CellRow]) -> ReportTable | None:
    """One row per choice of ``choices.json``, with the interval of its cell among ``rows``; None when there is none."""
    if not choices:
        return None
    rows = list(rows)
    intervals, options = intervals_of(rows), {row.cell_id: row.method_options for row in rows}
    lines = tuple(_row({"options": _options_of(choice, options), **choice}, intervals) for choice in choices)
    between = (_BETWEEN,) if any(choice.get("multiplier") is not None for choice in choices) else ()
    return shortest(ReportTable("Chosen settings", _COLUMNS, lines, (_NOTE, *between, _MARK)), choices)


def intervals_of(rows: Iterable[CellRow]) -> Mapping[CellKey, Interval | None]:
    """The interval of success of each cell, by its id and its behavior's key in the sweep file."""
    return {(row.cell_id, _whole(row.behavior)): row.interval("success") for row in rows}


def shortest(table: ReportTable, choices: Sequence[Mapping[str, Any]]) -> ReportTable:
    """The table without the columns of which none of the settings that were considered has anything."""
    cut = any(one.get("no_answer") for choice in choices for one in choice["considered"])
    measured = any(one.get("kl") is not None for choice in choices for one in choice["considered"])
    for column, shown in ((NO_ANSWER, cut), (KL, measured)):
        table = table if shown else table.without(column)
    return table


def _whole(behavior: str) -> str:
    """Its key in the sweep file, without the split."""
    return behavior.partition("/")[0]


def _options_of(choice: Mapping[str, Any], options: Mapping[str, str | None]) -> str:
    """The method's options by the cells that were considered; earlier versions left them out of ``choices.json``."""
    return next((known for one in choice["considered"] if (known := options.get(one["cell_id"]))), "{}")


def _row(choice: Mapping[str, Any], intervals: Mapping[CellKey, Interval | None]) -> tuple[Value, ...]:
    method = chosen_for(choice["method"], choice["options"], choice.get("action", ""))
    names = tuple(Value(str(name)) for name in (choice["model"], choice["behavior"], method, choice["grid"]))
    of = number(str(len(choice["considered"])))
    one = choice["chosen"]
    none = number("-")
    if one is None:
        return (*names, none, none, Value(str(choice["reason"]), short="none", tone="faint"), none, none, none, of)
    if choice.get("multiplier") is not None:
        one = {**one, "multiplier": choice["multiplier"]}
    return (*names, *setting_values(one, choice["behavior"], intervals), of)


def setting_values(one: Mapping[str, Any], behavior: str, intervals: Mapping[CellKey, Interval | None]) -> tuple[Value, ...]:
    """A setting that was chosen on the prompts of ``behavior``, in ``SETTING_COLUMNS``."""
    layer = "chosen" if one["layer"] is None else f"L{one['layer']}"
    k, n = one["success"], one["n"]
    interval = interval_text(intervals.get((one["cell_id"], _whole(behavior))))
    rate = f"{percent_text(k, n)}{IN_SAMPLE} {interval} {k}/{n}".replace("  ", " ")
    others = (number(percent_text(count, n)) for count in (one["garbled"], one.get("no_answer", 0)))
    return number(layer), number(f"{one['multiplier']:g}"), number(rate), *others, decimals(one.get("kl"))
