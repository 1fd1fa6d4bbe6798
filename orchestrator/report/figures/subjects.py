"""What the figures of analyses are of: panels for each model and behavior, and for whatever else tells its rows apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from orchestrator.analysis.analysis import AnalysisRow
from orchestrator.report.findings import SweepFindings
from orchestrator.untrusted import visible

MOST = 12
"""Subjects with panels of their own, the first; the tables have all."""

Rows = TypeVar("Rows", bound=AnalysisRow)


def subjects(found: SweepFindings, name: str, kind: type[Rows], *apart: str) -> Iterator[tuple[str, list[Rows]]]:
    """The rows of an analysis, each a ``kind``, by model, behavior and the columns ``apart``, after the title of their panels."""
    groups: dict[tuple[object, ...], list[Rows]] = {}
    for row in found.store.analysis_rows(name):
        assert isinstance(row, kind)
        groups.setdefault((row.model, row.behavior, *(getattr(row, one) for one in apart)), []).append(row)
    for key, rows in list(groups.items())[:MOST]:
        words = [
            f"classes by {value}" if column == "classes" else str(value) for column, value in zip(apart, key[2:], strict=True)
        ]
        yield visible(" · ".join([str(key[0]), str(key[1]), *words])), rows
