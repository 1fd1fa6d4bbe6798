"""The tables of results folders written when one behavior's labels named the columns, read as tables of outcomes."""

from __future__ import annotations

from typing import Any

from orchestrator.scoring import LABELS

_SUCCESS = f"{LABELS.target}_"
_OTHER = "normal_"
_CONTROL = "control_refusal_"


def renamed(table: Any) -> Any:
    """An Arrow ``table`` under today's names, without the columns of what counts as ``other``; one of today's as it is."""
    if f"{_SUCCESS}n" not in table.column_names:
        return table
    kept = [name for name in table.column_names if not name.startswith(_OTHER)]
    found = table.select(kept).rename_columns([_new_name(name) for name in kept])
    if "classifier" not in kept:
        return found
    return found.append_column("target", [[None if k is None else LABELS.target for k in found.column("success_n").to_pylist()]])


def _new_name(name: str) -> str:
    return name.replace(_SUCCESS, "success_").replace(_CONTROL, "control_success_")
