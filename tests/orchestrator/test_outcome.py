"""Labels and outcomes for people."""

from __future__ import annotations

import pytest

from orchestrator.outcome import in_words


@pytest.mark.parametrize("name", ["very_short", "_", "__init__", "über_kurz", "no_answers"])
def test_a_label_of_ones_own_is_shown_as_it_is_written(name: str) -> None:
    assert in_words(name) == name


def test_the_project_s_own_names_are_shown_in_words() -> None:
    assert [in_words(name) for name in ("coherent_refusal", "no_answer", "garbled")] == [
        "coherent refusal",
        "no answer",
        "garbled",
    ]
