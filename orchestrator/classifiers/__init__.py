"""Classifiers: a response's text to one of three labels. Pure text, no model, so labels can be made again at any time."""

from __future__ import annotations

from orchestrator.classifiers.label import LABEL_NAMES, Classifier, Label, LabelName
from orchestrator.classifiers.text import TextClassifier

CLASSIFIERS: dict[str, Classifier] = {"text": TextClassifier()}
"""Every classifier that a sweep file may name."""

__all__ = ["CLASSIFIERS", "LABEL_NAMES", "Classifier", "Label", "LabelName", "TextClassifier"]
