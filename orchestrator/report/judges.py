"""What judges were asked, and what that took."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.scoring.planned import ScorerUse
from orchestrator.scoring.score import Usage

_COLUMNS = (
    ReportColumn("judge", left=True),
    ReportColumn("rubric", left=True),
    ReportColumn("calls"),
    ReportColumn("tokens read", "read"),
    ReportColumn("written"),
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
            Value(f"{one.reply_tokens:,}", number=True),
            Value("" if one.cost is None else f"{one.cost:,.4f}", number=True),
            Value("" if one.seconds is None else f"{one.seconds:,.1f}", number=True),
            Value(scorer),
        )
        for scorer, (use, one) in used.items()
    )
    return ReportTable("Judges", _COLUMNS, values, (_NOTE,)) if values else None
