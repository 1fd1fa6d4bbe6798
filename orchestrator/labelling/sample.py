"""Which responses a rater reads: drawn evenly over the labels that they have, so that rare ones are seen, and shuffled.

Within a label every response is as likely, and the cells have their shares. A larger sample of the same seed holds the smaller.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from random import Random
from typing import Any, cast

from orchestrator.json_text import parse_json
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import ResponseKey


@dataclass(frozen=True)
class Draw:
    """How a sample is drawn: ``n`` responses, by ``seed``, evenly over the labels of ``scorer`` (None: the sweep's own)."""

    n: int = 100
    seed: int = 0
    scorer: str | None = None

    @property
    def file(self) -> str:
        """What it is kept under, in the results folder."""
        scorer = "" if self.scorer is None else f"-{''.join(one if one.isalnum() else '_' for one in self.scorer)}"
        return f"ratings/sample-{self.n}-{self.seed}{scorer}.json"


def kept_sample(folder: Folder, draw: Draw, labelled: Iterable[tuple[ResponseKey, str]]) -> tuple[ResponseKey, ...]:
    """The sample of ``draw``: the one that was drawn before, whatever has been finished since, or else one of ``labelled``, each
    response with the label that it has (of whichever behavior)."""
    kept = _kept(folder, draw)
    if kept is None:
        line = json.dumps(drawn(labelled, draw.n, draw.seed)).encode() + b"\n"
        folder.files.append(draw.file, line)
        kept = _kept(folder, draw)  # the first line: another rater may have begun at the same moment
    return kept or ()


def _kept(folder: Folder, draw: Draw) -> tuple[ResponseKey, ...] | None:
    try:
        lines = folder.files.read(draw.file).splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        with suppress(ValueError, TypeError, OverflowError):  # half of one, which a power cut left
            keys = cast("list[list[Any]]", parse_json(line))  # of earlier versions without a sample
            return tuple((str(cell_id), str(prompt_id), int(*sample or [0])) for cell_id, prompt_id, *sample in keys)
    return None


def drawn(labelled: Iterable[tuple[ResponseKey, str]], n: int, seed: int) -> tuple[ResponseKey, ...]:
    """``n`` responses, or all there are, in the order to be read."""
    strata: defaultdict[str, list[ResponseKey]] = defaultdict(list)
    for key, label in labelled:
        strata[label].append(key)
    random = Random(seed)
    columns = [_spread(strata[label], random) for label in sorted(strata)]
    taken = list(islice((key for key in chain(*zip_longest(*columns)) if key is not None), n))
    random.shuffle(taken)
    return tuple(taken)


def _spread(keys: Sequence[ResponseKey], random: Random) -> list[ResponseKey]:
    """In an order whose every beginning has of each cell its share, and of its responses any."""
    cells: defaultdict[str, list[ResponseKey]] = defaultdict(list)
    for key in sorted(keys):
        cells[key[0]].append(key)
    placed: list[tuple[float, ResponseKey]] = []
    for cell in cells.values():
        random.shuffle(cell)
        offset = random.random()
        placed += [((number + offset) / len(cell), key) for number, key in enumerate(cell)]
    return [key for _, key in sorted(placed)]
