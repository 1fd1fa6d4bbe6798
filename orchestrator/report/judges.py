"""What judges were asked, and what that took."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.scoring.planned import OF_THE_POOL, ScorerUse
from orchestrator.scoring.score import Usage

_COMPARED = ReportColumn(
    "compared",
    note="Compared: tokens of the replies that a model of the sweep is asked the likelihood of; such a judge writes nothing.",
)
_WRITTEN = ReportColumn("written")
_COLUMNS = (
    ReportColumn("judge", left=True),
    ReportColumn("rubric", left=True),
    ReportColumn("calls"),
    ReportColumn("tokens read", "read"),
    _COMPARED,
    _WRITTEN,
    ReportColumn("cost"),
    ReportColumn("seconds"),
    ReportColumn("scorer", left=True, spare=1),
)
_NOTE = "Every reply that was kept, also those that gave no score; a question is asked once however many responses it is of."


def judges_table(used: Mapping[str, tuple[ScorerUse, Usage]]) -> ReportTable | None:
    """One line per judge; None where none was asked."""
    values = tuple(
        (
            Value(str(use.options.get("model", use.name))),
            Value(str(use.options.get("rubric", use.name))),
            Value(f"{one.calls:,}", number=True),
            Value(f"{one.prompt_tokens:,}", number=True),
            *_replies(use, one),
            Value("" if one.cost is None else f"{one.cost:,.4f}", number=True),
            Value("" if one.seconds is None else f"{one.seconds:,.1f}", number=True),
            Value(scorer),
        )
        for scorer, (use, one) in used.items()
    )
    table = ReportTable("Judges", _COLUMNS, values, (_NOTE,))
    for column in (_COMPARED, _WRITTEN):
        if not any(row[table.columns.index(column)].text for row in table.rows):
            table = table.without(column)
    return table if values else None


def _replies(use: ScorerUse, one: Usage) -> tuple[Value, Value]:
    """Tokens of replies: those that were compared, and those that were written."""
    count = Value(f"{one.reply_tokens:,}", number=True)
    if use.name not in OF_THE_POOL:
        return Value(""), count
    return count if one.reply_tokens else Value(""), Value("")
