"""The words for positions: what they cover in a text, that each set has one name, and what is refused."""

from __future__ import annotations

import pytest

from actors.positions import NOWHERE, Positions

PROMPT, TEMPLATE, LENGTH = 6, 2, 12
COVERED = {
    "all": range(12),
    "prompt": range(6),
    "template": [4, 5],
    "last_prompt": [5],
    "generation": range(6, 12),
    "first:1": [6],
    "first:4": [6, 7, 8, 9],
    "from:4": [10, 11],
    "last_prompt+generation": range(5, 12),
    "template+first:2": [4, 5, 6, 7],
    "prompt+from:3": [*range(6), 9, 10, 11],
}


@pytest.mark.parametrize(("words", "covered"), COVERED.items())
def test_words_cover_these_tokens(words: str, covered: list[int]) -> None:
    positions = Positions.of(words)
    assert positions.text == words
    spans = positions.spans(PROMPT, TEMPLATE)
    assert [place for place in range(LENGTH) if spans.covers(place)] == [*covered]
    for length in range(LENGTH + 1):
        within = spans.within(length)
        assert [place for place in range(LENGTH) if within.covers(place)] == [place for place in covered if place < length]
        assert (within == NOWHERE) == (not any(place < length for place in covered))


def test_what_covers_the_same_beginning_is_the_same() -> None:
    whole = {Positions.of(words).spans(PROMPT, TEMPLATE).within(PROMPT) for words in ("all", "prompt", "prompt+from:3")}
    assert len(whole) == 1, "they share what is computed of the prompt"


def test_a_set_has_one_name() -> None:
    assert Positions.of("generation+last_prompt").text == "last_prompt+generation"
    assert Positions.of("first:08").text == "first:8"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("generated", "unknown"),
        ("first", "need a count"),
        ("first:0", "need a count"),
        ("first:-3", "need a count"),
        ("first:9999999999", "need a count"),
        ("from:0", "from 0 on is generation"),
        ("prompt+generation", "write all"),
        ("prompt+last_prompt", "prompt twice"),
        ("first:3+from:5", "answer twice"),
        ("all+prompt", "unknown"),
        ("", "unknown"),
    ],
)
def test_what_is_ambiguous_is_refused(words: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Positions.of(words)


def test_the_last_token_of_an_answer_is_not_read() -> None:
    assert [Positions.of("from:3").acts(n) for n in (4, 5)] == [False, True]
    assert [Positions.of("generation").acts(n) for n in (1, 2)] == [False, True]
    assert Positions.of("template+from:50").acts(2)
