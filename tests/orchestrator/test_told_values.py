"""Why a response has its label, as people read it."""

from __future__ import annotations

import pytest

from orchestrator.told_values import told_evidence


@pytest.mark.parametrize(
    ("evidence", "told"),
    [
        ('{"rule": "none"}', "no rule found anything"),
        ('{"rule": "pattern", "phrase": "I cannot"}', "rule: pattern, phrase: I cannot"),
        ('{"rule": "none", "shares": {"refuse": 0.25}}', 'rule: none, shares: {"refuse": 0.25}'),
        ('{"rule": "window", "sure": false}', "rule: window, sure: false"),
        ("[1]", "[1]"),
        ("read by hand", "read by hand"),
    ],
)
def test_evidence_is_told_in_words(evidence: str, told: str) -> None:
    assert told_evidence(evidence) == told
