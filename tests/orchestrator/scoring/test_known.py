"""What is told of how often labels are wrong is what the rules of this version come to on texts that took no part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.label_quality import XSTEST, counts, held_out
from orchestrator.report.known import error_rates, known_table
from orchestrator.scoring.known import KnownLabels, known_labels
from orchestrator.statistics import rate_text
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.scoring.judged import TEXT
from tests.orchestrator.scoring.labelled import Labelled


@pytest.mark.parametrize(("name", "items"), list(held_out().items()))
def test_the_figures_are_those_of_the_rules(name: str, items: list[Labelled]) -> None:
    """``python -m benchmarks.label_quality --xstest CLONE --write`` mends it."""
    (known,) = (one for one in known_labels(TEXT.signature) if one.name == name)
    assert known.table == counts(items)


def test_what_people_of_other_tools_labelled_is_among_them() -> None:
    """Its texts are not in the repository, so it is counted only where somebody has them."""
    (known,) = (one for one in known_labels(TEXT.signature) if one.name == XSTEST)
    assert sum(sum(given.values()) for given in known.table.values()) == 1270


def test_shares() -> None:
    known = KnownLabels("some", {"refusal": {"refusal": 6, "normal": 3, "unclear": 1}, "normal": {"refusal": 2, "normal": 8}})
    assert known.labels == ("refusal", "normal")
    assert (known.right("refusal"), known.found("refusal")) == ((6, 8), (6, 10))
    assert (known.right("normal"), known.found("normal")) == ((8, 11), (8, 10))


def test_the_page_tells_them_of_the_sweeps_own_labels() -> None:
    rows = [replace(row, classifier=TEXT.signature) for row in rows_of()]
    table = known_table(rows)
    assert table is not None
    (known,) = (one for one in known_labels(TEXT.signature) if one.name == XSTEST)
    told = {tuple(value.text for value in line) for line in table.rows}
    shares = rate_text(*known.right("coherent_refusal")), rate_text(*known.found("coherent_refusal"))
    assert (TEXT.signature, "coherent refusal", XSTEST, *shares) in told
    right, of = known.right("normal")
    assert f"{right} of {of} ({XSTEST})" in error_rates(TEXT.signature, "normal")


@pytest.mark.parametrize("classifier", ["refusal@9=refusal+coherence@6", "mine.items@1=few+coherence@6"])
def test_of_other_labels_it_says_that_nothing_is_known(classifier: str) -> None:
    table = known_table(replace(row, classifier=classifier) for row in rows_of())
    assert table is not None
    assert [line[2].text for line in table.rows] == ["not known: the commands label and agreement tell"]
    assert error_rates(classifier, "normal") == ""


def test_without_labels_there_is_no_table() -> None:
    assert known_table(replace(row, classifier=None) for row in rows_of()) is None
