"""The best cell of each series against the random control: whether a direction does more than any push of its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.counting import counted
from orchestrator.planning.analyses import CONTROL
from orchestrator.report.report_table import ReportColumn, ReportTable, Tone, Value
from orchestrator.report.series import Series, setting_text
from orchestrator.report.values import BEST_NOTE, best_of, number, rate_value, success_rate, target_words
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Interval, difference_of, interval_text

_ANY_METHOD = frozenset({Axis.METHOD})
_COLUMNS = (ReportColumn("series", left=True), ReportColumn("best cell", left=True))
_LAST = (ReportColumn("random %"), ReportColumn("points above"), ReportColumn("in words", left=True))
_NOTE = (
    "The series' best cell against the random direction that succeeds most at the same layers and multiplier, or where there is "
    "none at the best of its own. Points: the difference of the two rates, with the 95 % interval made of theirs (Newcombe's), "
    "not adjusted for the number of lines."
)


@dataclass(frozen=True)
class AgainstControl:
    """A series' ``best`` cell of ``among`` and the cell of the random ``control``: the best of ``controls`` at the ``same``
    setting, or where there is none of all its settings."""

    best: CellRow
    among: int
    control: CellRow
    controls: int
    same: bool

    @property
    def points(self) -> float:
        """How much higher the success rate of the best cell is, in percentage points."""
        return 100 * (success_rate(self.best) - success_rate(self.control))

    @property
    def interval(self) -> Interval | None:
        """Of ``points`` / 100, at 95 %."""
        ours, theirs = self.best.interval("success"), self.control.interval("success")
        rates = success_rate(self.best), success_rate(self.control)
        return None if ours is None or theirs is None else difference_of(rates, (ours, theirs))

    @property
    def in_sample(self) -> bool:
        """Whether the best cell was picked by the rate that is compared."""
        return self.among > 1 or self.best.in_sample is True

    @property
    def verdict(self) -> str:
        """Whether the direction beats the control, as far as the interval tells."""
        interval = self.interval
        if interval is None or interval.low <= 0 <= interval.high:
            return "not shown to be better than random"
        return "better than random" if interval.low > 0 else "worse than random"

    @property
    def words(self) -> str:
        """``at the same setting the random control has 2 of 10: +70 points [28.0, 87.7], better than random``."""
        several = f"the best of {self.controls} random controls has" if self.controls > 1 else "the random control has"
        place = "at the same setting" if self.same else f"at another setting ({setting_text(self.control)})"
        rate = f"{self.control.count('success')} of {self.control.n}"
        return f"{place} {several} {rate}: {self.points_text(' points')}, {self.verdict}"

    def points_text(self, unit: str = "") -> str:
        """``+70 [28.0, 87.7]``; with a ``unit`` after the first number."""
        return f"{self.points:+.3g}{unit} {interval_text(self.interval)}".rstrip()


def against_control(steered: Sequence[CellRow], rows: Sequence[CellRow]) -> AgainstControl | None:
    """The best of the cells ``steered`` of a series against the control among ``rows``; None where there is none to compare, or
    the series is the control itself."""
    labelled = [row for row in steered if row.labelled and row.multiplier and row.n]
    if not labelled or labelled[0].method in (None, CONTROL):
        return None
    best = best_of(labelled)
    random = [row for row in rows if row.method == CONTROL and row.labelled and row.multiplier and row.n]
    wanted = condition(best, _ANY_METHOD | SETTING)
    random = [row for row in random if condition(row, _ANY_METHOD | SETTING) == wanted]
    same = [row for row in random if row.layers == best.layers and _strength(row) == _strength(best)]
    found = same or random
    return AgainstControl(best, len(labelled), best_of(found), len(found), bool(same)) if found else None


def _strength(row: CellRow) -> tuple[object, ...]:
    return row.multiplier, row.then_multipliers


def controls_table(series: Sequence[Series], rows: Sequence[CellRow]) -> ReportTable | None:
    """A line for each series that has a random control; None where none has."""
    found = [(one.title, against) for one in series if (against := against_control(one.steered, rows)) is not None]
    if not found:
        return None
    rate = ReportColumn(f"{target_words([against.best for _, against in found])} %")
    notes = (_NOTE, BEST_NOTE) if any(against.in_sample for _, against in found) else (_NOTE,)
    lines = tuple((Value(title), *_values(against)) for title, against in found)
    return ReportTable("Random control", (*_COLUMNS, rate, *_LAST), lines, notes)


def _values(one: AgainstControl) -> tuple[Value, ...]:
    tone: Tone = "" if one.verdict == "better than random" else "alarm"
    at = "" if one.same else f", at {setting_text(one.control)}"
    of = "" if one.controls == 1 else f", best of {counted(one.controls, 'control')}"
    return (
        number(setting_text(one.best)),
        rate_value(one.best, "success", one.in_sample),
        rate_value(one.control, "success"),
        number(one.points_text()),
        Value(one.verdict + at + of, tone=tone),
    )
