"""Classifiers: a response's text to one label of a set. Pure text, no model, so labels can be made again at any time."""

from __future__ import annotations

from orchestrator.scoring.label import LABELS, Classifier, Label, LabelKind, LabelSet, UnknownLabelError
from orchestrator.scoring.text import TextClassifier

CLASSIFIERS: dict[str, Classifier] = {"text": TextClassifier()}
"""Every classifier that a sweep file may name."""

__all__ = [
    "CLASSIFIERS",
    "LABELS",
    "Classifier",
    "Label",
    "LabelKind",
    "LabelSet",
    "TextClassifier",
    "UnknownLabelError",
]
