"""The page on models is what the stored outcomes give, and a sample of them is true; all of them in the slow tests."""

from __future__ import annotations

import json

import pytest

from benchmarks.architectures import BATCH, PAGE, REFUSED, STORED, page, stored, tried
from tests.architectures import names

SAMPLE = {
    "deepseek_v3": "keys and values of different widths, kept compressed",
    "gemma4_text": "blocks that read the keys of others, two kinds of attention",
    "gpt_oss": "sinks",
    "falcon": "blocks that return tuples, attention of their own",
    "minimax": "linear attention in block 0",
    "mamba": "no attention at all",
    "bert": "a head that fails where it is asked for no position",
    "falcon_mamba": "norms whose weights are none of theirs",
    "gemma4_two_widths": "heads of two widths",
    "camembert": "positions counted from the padding token: its own cache disagrees with a forward without one",
}


def test_the_page_is_what_the_stored_outcomes_give() -> None:
    told = json.loads(STORED.read_text())
    assert PAGE.read_text() == page(stored(), told["transformers"])
    assert [one.name for one in stored()] == names()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_the_page_is_true(name: str) -> None:
    outcome = tried(name)
    assert outcome.way == next(one for one in stored() if one.name == name).way


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_architecture_is_equal_or_refused(name: str) -> None:
    outcome = tried(name)
    known = next(one for one in stored() if one.name == name)
    assert (outcome.way, bool(outcome.reason)) == (known.way, known.way != BATCH), outcome
    if outcome.way == REFUSED:
        assert "model_type" in outcome.reason
