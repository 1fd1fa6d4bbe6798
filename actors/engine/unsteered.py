"""Teacher forcing without steering: what rows begin with runs once, many such beginnings in one forward.

Every forward reads all weights, so a beginning of forty tokens by itself takes as long as several of them together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from torch import Tensor

from actors.engine.cache import KeyValue, stack
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.prefill import chunks, complete
from actors.engine.segments import Segment, SegmentRunner

Tokens = tuple[int, ...]
Read = tuple[Tokens, int, int]
"""A text, how many of its first tokens are a beginning that others may share, and after how many of its last ones logits are
wanted."""


def unsteered_tails(runner: SegmentRunner, texts: Sequence[Read], grain: Grain, at_once: int) -> Iterator[tuple[int, Tensor]]:
    """The place of each of ``texts``, in any order, and its logits ``[n, vocabulary]``; ``at_once``: texts of a forward, at
    most."""
    by_beginning: dict[Tokens, list[int]] = defaultdict(list)
    for place, (text, begins, _) in enumerate(texts):
        by_beginning[text[:begins]].append(place)
    by_length: dict[int, list[Tokens]] = defaultdict(list)
    for beginning in sorted(by_beginning):
        by_length[rounded_up(len(beginning), grain.tokens)].append(beginning)
    for length, beginnings in by_length.items():
        for some in chunks(beginnings, min(at_once, runner.most_rows(max(length, 1)))):
            kept = _key_values(runner, some, grain) if length else {}
            groups: dict[tuple[int, int], list[int]] = defaultdict(list)
            for place in (place for one in some for place in by_beginning[one]):
                text, begins, _ = texts[place]
                groups[begins, rounded_up(len(text) - begins, grain.tokens)].append(place)
            for (begins, rest), places in groups.items():
                keep = rounded_up(max(texts[place][2] for place in places), COARSE.head)
                most = min(at_once, runner.most_rows(begins + rest))
                for part in chunks(sorted(places, key=lambda place: texts[place]), most):
                    yield from zip(part, _tails(runner, [texts[place] for place in part], kept, grain, keep), strict=True)


def _key_values(runner: SegmentRunner, beginnings: Sequence[Tokens], grain: Grain) -> dict[Tokens, list[KeyValue]]:
    """Of each of ``beginnings``, per block ``[1, K, P, e]``."""
    every = complete(runner.run(Segment(beginnings, grain=grain, keep=0)).key_values)
    return {
        one: [(keys[row : row + 1, :, -len(one) :], values[row : row + 1, :, -len(one) :]) for keys, values in every]
        for row, one in enumerate(beginnings)
    }


def _tails(
    runner: SegmentRunner, texts: Sequence[Read], kept: dict[Tokens, list[KeyValue]], grain: Grain, keep: int
) -> Iterator[Tensor]:
    """The logits of texts with beginnings of one length."""
    begins = texts[0][1]
    past = [stack(blocks) for blocks in zip(*(kept[text[:begins]] for text, _, _ in texts), strict=True)] if begins else None
    tail = runner.run(Segment([text[begins:] for text, _, _ in texts], begins, past, grain=grain, keep=keep)).tail
    for row, (_, _, wanted) in enumerate(texts):
        yield tail[row, -wanted:]
