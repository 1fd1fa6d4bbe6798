"""The table of how often a sweep's labels are known to be wrong."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.outcome import in_words
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.rows import CellRow
from orchestrator.scoring.known import known_labels
from orchestrator.statistics import rate_text

_COLUMNS = (
    ReportColumn("labels by", left=True),
    ReportColumn("label", left=True),
    ReportColumn("on", left=True),
    ReportColumn("of those called so, are"),
    ReportColumn("of those that are, called so"),
)
_NOTE = (
    "Against the labels of people, on answers of other models and steerings, none of which took part in making what labels them, "
    "with Wilson's 95 % intervals. The first share is lower where fewer answers are such. How often labels are wrong on the "
    "answers here, the commands label and agreement tell."
)
_UNKNOWN = "not known: the commands label and agreement tell"


def known_table(rows: Iterable[CellRow]) -> ReportTable | None:
    """One line for each label and set of answers, and one for labels of which nothing is known; None where none is labelled."""
    classifiers = sorted({row.classifier for row in rows if row.classifier})
    values = tuple(line for classifier in classifiers for line in _lines(classifier))
    return ReportTable("Known error rates", _COLUMNS, values, (_NOTE,)) if values else None


def error_rates(classifier: str | None, label: str) -> str:
    """The same of one label in a sentence; empty where nothing is known."""
    sets = [one for one in known_labels(classifier) if label in one.labels]
    return "; ".join(f"{right} of {of} ({one.name})" for one in sets for right, of in [one.right(label)] if of)


def _lines(classifier: str) -> Iterable[tuple[Value, ...]]:
    sets = known_labels(classifier)
    if not sets:
        yield Value(classifier), Value(""), Value(_UNKNOWN), Value(""), Value("")
    for label in dict.fromkeys(label for one in sets for label in one.labels):
        for one in sets:
            if label in one.labels:
                shares = (Value(rate_text(*count), number=True) for count in (one.right(label), one.found(label)))
                yield Value(classifier), Value(in_words(label)), Value(one.name), *shares
