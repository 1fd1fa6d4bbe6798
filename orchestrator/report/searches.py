"""Searches for the best setting: what each arm found, and how good its best trial was at every quarter of the budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.cells import CellKey
from orchestrator.counting import counted
from orchestrator.method_text import method_text
from orchestrator.planning.considered import Considered, choose
from orchestrator.report.chosen import SETTING_COLUMNS, intervals_of, setting_values, shortest
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import IN_SAMPLE, number
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Interval, percent_text

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the budget, after which the best trial so far is told."""

_BEST_AT = (
    "Best at 25 %: the same among the first quarter of its budget, and so on (in percent; -: none within the bounds, or not run "
    "yet)."
)
_COLUMNS = (
    ReportColumn("search", left=True, spare=3),
    ReportColumn("model", left=True),
    ReportColumn("behavior", left=True),
    ReportColumn("method", left=True),
    ReportColumn("scope", left=True, spare=2),
    *SETTING_COLUMNS,
    *(ReportColumn(f"best at {share:.0%}", f"{share:.0%}", spare=1, note=_BEST_AT) for share in SHARES),
    ReportColumn("trials"),
)
_NOTE = (
    "Best: the highest success rate among an arm's trials within the search's bounds on garbled responses and KL. "
    "The arms of a search have equal budgets."
)
_MARK = (
    f"{IN_SAMPLE} in-sample: the best of many by this very rate; report that of cells on held-out prompts (a grid with choose)."
)


def searches_table(arms: Sequence[Mapping[str, Any]], rows: Iterable[CellRow]) -> ReportTable | None:
    """One row per arm of ``choices.json``, with the interval of its best cell among ``rows``; None where nothing is searched."""
    if not arms:
        return None
    intervals = intervals_of(rows)
    return shortest(ReportTable("Strength search", _COLUMNS, tuple(_row(arm, intervals) for arm in arms), (_NOTE, _MARK)), arms)


def _row(arm: Mapping[str, Any], intervals: Mapping[CellKey, Interval | None]) -> tuple[Value, ...]:
    names = (arm["grid"], arm["model"], arm["behavior"], method_text(arm["method"], arm["options"]), arm["scope"])
    dashes = (number("-"),) * (len(SETTING_COLUMNS) - 3)
    none = (number("-"), number("-"), Value(_why_none(arm), short="none", tone="faint"), *dashes)
    best = none if arm["best"] is None else setting_values(arm["best"], arm["behavior"], intervals)
    trials = number(f"{len(arm['considered'])}/{arm['trials']}")
    return (*(Value(str(name)) for name in names), *best, *(_best_at(arm, share) for share in SHARES), trials)


def _why_none(arm: Mapping[str, Any]) -> str:
    """Why an arm has no best setting."""
    tried = len(arm["considered"])
    if not tried:
        return "no trial is finished"
    bounds = f"at most {arm['max_garbled']:.0%} garbled or without an answer"
    bounds += "" if arm["max_kl"] is None else f", KL at most {arm['max_kl']:g}"
    return f"none of {counted(tried, 'trial')} within the bounds ({bounds})"


def _best_at(arm: Mapping[str, Any], share: float) -> Value:
    count = math.ceil(share * arm["trials"])
    tried = [Considered(**one) for one in arm["considered"][:count]]
    best = choose(tried, arm["max_garbled"], arm["max_kl"]) if len(tried) == count else None
    return number("-" if best is None else percent_text(best.success, best.n))
