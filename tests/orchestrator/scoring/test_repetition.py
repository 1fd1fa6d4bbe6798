"""Loops and echoes, against counts done the slow way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.scoring.repetition import MAX_ITEMS, clip, compression_ratio, distinct_share, echo_share, loops

ITEMS = st.lists(st.sampled_from("abc"), max_size=40)


def longest_by_hand(items: list[str], period: int) -> int:
    """Length of the longest slice of ``items`` that has ``period``, tried slice by slice."""
    slices = (items[a:b] for a in range(len(items)) for b in range(a + 2 * period, len(items) + 1))
    return max((len(part) for part in slices if part[period:] == part[:-period]), default=0)


@given(ITEMS)
def test_loops_agree_with_trying_every_slice(items: list[str]) -> None:
    found = {loop.period: loop for loop in loops(items, 10)}
    for period in range(1, 11):
        span = longest_by_hand(items, period)
        assert (found[period].span if period in found else 0) == span
    for loop in found.values():
        part = items[loop.start : loop.start + loop.span]
        assert part[loop.period :] == part[: -loop.period]
        assert loop.share == loop.span / len(items)
        assert loop.repeats >= 2


def test_echo_share_counts_words_in_phrases_said_often() -> None:
    words = ["row", "row", "row", "your", "boat", "gently", "down", "the", "stream"]
    assert echo_share(words, 3, 3) == 0
    assert echo_share(["a", "b", "c", "x", "a", "b", "c", "y", "a", "b", "c", "z"], 3, 3) == 9 / 12
    assert echo_share(["a", "b", "c", "x", "a", "b", "c", "y", "a", "b", "c", "z"], 3, 4) == 0
    assert echo_share([]) == 0


def test_small_measures() -> None:
    assert distinct_share(["a", "b", "a", "b"]) == 0.5
    assert distinct_share([]) == 1
    assert compression_ratio("") == 0
    assert compression_ratio("abc " * 500) > 20
    assert 1 < compression_ratio("The quick brown fox jumps over the lazy dog and then the dog sleeps by the fox.") < 1.5


def test_clip_keeps_both_ends_of_a_long_text() -> None:
    items = [str(i) for i in range(3 * MAX_ITEMS)]
    kept = clip(items)
    assert len(kept) == MAX_ITEMS
    assert (kept[0], kept[-1]) == (items[0], items[-1])
    assert clip(items[:5]) == items[:5]
