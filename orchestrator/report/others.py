"""What the scorers say that do not decide: those that a behavior names after its first one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.cells import CellKey
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.series import Series, setting_text
from orchestrator.report.values import number
from orchestrator.results.rate_rows import RateRow
from orchestrator.scoring.planned import BehaviorScoring, ScorerUse
from orchestrator.statistics import Interval, interval_text

_COLUMNS = (
    ReportColumn("series", left=True),
    ReportColumn("cell", left=True),
    ReportColumn("scorer", left=True),
    ReportColumn("says", left=True),
)
_NOTE = "How many responses have a label, with its 95 % interval in percent; of numbers the mean with its 95 % t interval."


def others_of(scoring: BehaviorScoring) -> dict[str, str]:
    """The scorers of a behavior that do not decide: id -> name, which is the id where several share a name. Of one that does not
    read the answer the name says so."""
    others = {use.id: _name(use) for use in scoring.scorers if use.id not in scoring.deciding}
    names = Counter(others.values())
    return {own_id: name if names[name] == 1 else own_id for own_id, name in others.items()}


def _name(use: ScorerUse) -> str:
    reads = use.options.get("reads", "answer")
    return use.name if reads == "answer" else f"{use.name} of {'the thought' if reads == 'thought' else 'thought and answer'}"


def others_table(
    series: Sequence[Series], scorers: Mapping[str, Mapping[str, str]], rates: Iterable[RateRow]
) -> ReportTable | None:
    """A row per cell and scorer; ``scorers``: of each behavior, id -> name. None where there are none."""
    found: dict[tuple[CellKey, str], list[RateRow]] = defaultdict(list)
    for rate in rates:
        found[rate.key, rate.scorer].append(rate)
    rows = tuple(
        (
            Value(one.title),
            number(setting_text(row) if row.steered else "unsteered"),
            Value(name),
            _said(found[row.key, scorer]),
        )
        for one in series
        for row in one.rows
        for scorer, name in scorers[row.behavior].items()
    )
    table = ReportTable("Other scorers", _COLUMNS, rows, (_NOTE,))
    return (table if len(series) > 1 else table.without(_COLUMNS[0])) if rows else None


def _said(rates: Sequence[RateRow]) -> Value:
    """The labels that a response has, or the mean."""
    if not rates:
        return Value("not scored", tone="faint")
    if rates[0].label is None:
        return number(_mean(rates[0]))
    had = [(rate, rate.k) for rate in rates if rate.k]
    whole = ", ".join(f"{rate.label} {k}/{rate.n} {interval_text(_interval(rate))}" for rate, k in had)
    return Value(whole, short=", ".join(f"{rate.label} {k}/{rate.n}" for rate, k in had))


def _interval(rate: RateRow) -> Interval | None:
    return None if rate.low is None or rate.high is None else Interval(rate.low, rate.high)


def _mean(rate: RateRow) -> str:
    if rate.mean is None:
        return "-"
    ends = "" if rate.mean_low is None or rate.mean_high is None else f" [{rate.mean_low:.3g}, {rate.mean_high:.3g}]"
    return f"mean {rate.mean:.3g}{ends}"
