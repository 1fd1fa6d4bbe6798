"""Scorers: what a response is. Pure text, no model, so scores can be made again at any time."""

from __future__ import annotations

from orchestrator.scoring.label import LABELS, Label, LabelKind, LabelSet, UnknownLabelError

__all__ = ["LABELS", "Label", "LabelKind", "LabelSet", "UnknownLabelError"]
