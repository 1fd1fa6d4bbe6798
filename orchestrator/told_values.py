"""A column of a cell as people read it: in words where the tables hold JSON, an id or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from orchestrator.filters import value_text
from orchestrator.method_text import options_text
from orchestrator.results.cell_axes import parts_after
from orchestrator.results.part_axes import told_condition, told_part
from orchestrator.results.rows import CellRow

ALWAYS = "always"
"""When a steering without a condition acts."""
DEFAULT_OPTIONS = "default options"
"""Of a method that was given none."""
NO_RULE = "no rule found anything"
"""Why a response has the label of those in which rules find nothing."""


def told_value(row: CellRow, column: str) -> str:
    """Any column as text; a JSON list of further directions as ``then french x 15 at L12-29``."""
    told = TOLD.get(column)
    return value_text(getattr(row, column)) if told is None else told(row)


def told_evidence(evidence: str) -> str:
    """Why a response has its label: ``rule: pattern, phrase: I cannot``, of the JSON object that a scorer gives."""
    try:
        found = json.loads(evidence)
    except ValueError:
        return evidence
    if not isinstance(found, dict):
        return evidence
    if found == {"rule": "none"}:
        return NO_RULE
    values = {name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for name, one in found.items()}
    return ", ".join(f"{name}: {one}" for name, one in values.items())


def _options(row: CellRow) -> str:
    return "none" if row.method is None else options_text(row.method, row.method_options, row.site) or DEFAULT_OPTIONS


def _then(row: CellRow) -> str:
    return "; ".join(map(told_part, parts_after(row), row.then_multipliers or ())) or "none"


def _when(row: CellRow) -> str:
    return told_condition(row.when) or ALWAYS


def _steers(row: CellRow) -> str:
    return "none" if row.method is None else row.steers or row.behavior.partition("/")[0]


TOLD: Mapping[str, Callable[[CellRow], str]] = {"method_options": _options, "then": _then, "when": _when, "steers": _steers}
"""The columns whose values are no words, by what says them."""

AXIS_WORDS: Mapping[str, str] = {
    "method_options": "options of the method",
    "source_model": "direction from",
    "steers": "direction of",
    "keep_norm": "norm kept",
    "orthogonal": "made orthogonal",
    "when": "condition",
    "then": "further directions",
    "then_multipliers": "their multipliers",
    "max_new_tokens": "new tokens",
    "max_thought_tokens": "thought tokens",
}
"""Columns by which cells are chosen, where the name is not what it would be called."""
