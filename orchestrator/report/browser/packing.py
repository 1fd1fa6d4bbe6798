"""Every answer of a sweep, packed for the page: an index of cells, prompts and labels, and packs of texts, opened when asked for.

The index and each pack are JSON, deflated, in base64: markup cannot be broken by them, and a hundred thousand answers take a few
megabytes. A label is one byte of a matrix ``[cells, prompts]``, so filters need no text.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from actors.positions import ALL
from actors.schedules import CONSTANT
from actors.sites import OUTPUT
from orchestrator.outcome import LABEL_WORDS, OUTCOMES
from orchestrator.report.known import error_rates
from orchestrator.report.series import cell_text, decoding_text
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import STEERED, condition
from orchestrator.results.rows import CellRow
from orchestrator.results.schema import RATES, batches_of, read_table
from orchestrator.results.store import Store
from orchestrator.storage import UnreadableFileError
from orchestrator.told_values import ALWAYS, AXIS_WORDS, DEFAULT_OPTIONS, told_value

NO_LABEL, ABSENT = 255, 254
"""Instead of a label: there is none yet, or no such response, as cells of one group may have different samples."""
LEVEL = 1
"""Of compression: three times as fast as the usual one, and a page of 35 MB becomes one of 41."""
CUT_OFF = 1
"""A response's flag: it reached ``max_new_tokens``."""
PACK_CHARACTERS = 500_000
"""Of JSON in a pack: what one click makes a browser open."""
ANSWERS_HELD = 300_000
"""Of more the page holds those of the first cells; all are in ``responses.parquet``."""
DECODING = ("max_new_tokens", "max_thought_tokens", "temperature", "top_p", "samples", "seed")
SHOWN_AXES = (
    *("model", "quantization", *DECODING, "source_model", "method", "method_options", "scope", "intervention"),
    *("positions", "strength", "schedule", "keep_norm", "scales", "site", "steers", "when", "orthogonal"),
    *("layer", "multiplier", "then", "then_multipliers"),
)
"""What cells are filtered by, where they differ in it."""
DEFAULTS = {
    "intervention": "addition",
    **{"positions": ALL, "strength": "absolute", "schedule": CONSTANT, "site": OUTPUT, "keep_norm": "no", "orthogonal": "no"},
}
"""What is not said of a cell that has it."""
SCOPES_OF_LAYERS = ("from_layer", "single", "list")
"""Scopes that the layers of a cell tell themselves."""
WORDS = {
    ("keep_norm", "yes"): "norm kept",
    ("orthogonal", "yes"): "made orthogonal",
    ("scope", "own"): "own directions",
    ("scope", "all"): "all layers",
}

Tokens: TypeAlias = npt.NDArray[np.int32]

_Key = tuple[str, int]
"""A prompt, and which of its samples."""


class _Record(NamedTuple):
    """A row of ``responses.parquet``, as far as the page needs it."""

    cell_id: str
    behavior: str
    prompt_id: str
    sample: int
    prompt: str
    response: str
    finish_reason: str
    label: str | None
    evidence: str | None
    answer: str | None
    token_ids: Tokens

    @property
    def key(self) -> _Key:
        """Which response it is."""
        return self.prompt_id, self.sample


@dataclass(frozen=True)
class PackedAnswers:
    """``index`` and ``packs``, each in base64. ``cells`` and ``answers``: how many they hold; ``left_out``: answers for which
    there was no room."""

    index: str
    packs: tuple[str, ...]
    cells: int
    answers: int
    left_out: int


@dataclass
class _Said:
    """What a scorer says: its labels with their codes, and a byte for each prompt of a cell."""

    labels: dict[str, int] = field(default_factory=dict)
    of_cells: dict[str, bytes] = field(default_factory=dict)

    def code(self, label: str | None) -> int:
        """Of a label, a new one if it has none yet."""
        if label is None or (label not in self.labels and len(self.labels) == ABSENT):
            return NO_LABEL
        return self.labels.setdefault(label, len(self.labels))


@dataclass
class _SamePrompts:
    """Cells that ran the same prompts for one behavior."""

    cells: list[CellRow]
    labels: dict[str, str] = field(default_factory=dict)
    prompts: dict[_Key, str] = field(default_factory=dict)
    codes: dict[str, bytes] = field(default_factory=dict)
    flags: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, _Said] = field(default_factory=dict)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def matrix(self, of_cells: Mapping[str, bytes], otherwise: int) -> str:
        """A byte for every cell and prompt, in base64; ``otherwise`` where a cell has none."""
        n, filler = len(self.prompts), bytes([otherwise])
        return _text(b"".join(of_cells.get(row.cell_id, b"").ljust(n, filler) for row in self.cells))


def packed_answers(store: Store, rows: Sequence[CellRow]) -> PackedAnswers | None:
    """All answers of the finished cells ``rows``, from the tables; None where there are none."""
    held, room = list[CellRow](), ANSWERS_HELD
    for row in rows:
        if row.n <= room:
            held.append(row)
            room -= row.n
    groups = _groups(store, held)
    if not groups:
        return None
    packs = tuple(_packs(store, groups))
    _add_scores(store, groups)
    index = {
        "sweep": store.planned().name,
        "groups": [_group_json(group) for group in groups.values()],
    }
    answers = sum(row.n for row in held)
    return PackedAnswers(_packed(index), packs, len(held), answers, sum(row.n for row in rows) - answers)


def _groups(store: Store, rows: Iterable[CellRow]) -> dict[tuple[str, str | None], _SamePrompts]:
    groups: dict[tuple[str, str | None], _SamePrompts] = {}
    for row in rows:
        groups.setdefault((row.behavior, row.prompts_sha256), _SamePrompts([])).cells.append(row)
    declared = _declared(store)
    for (behavior, _), group in groups.items():
        kinds = [(label, outcome) for of, label, outcome in declared if of in (behavior, None) and outcome is not None]
        group.labels = dict(sorted(kinds, key=lambda kind: OUTCOMES.index(kind[1])))
    return groups


def _declared(store: Store) -> list[tuple[Any, ...]]:
    """Every behavior with each of its labels and the outcome that it counts as."""
    rates, names = RATES.completed(read_table(store.folder.rates), store.folder.rates), ["behavior", "label", "outcome"]
    different = rates.select(names).group_by(names, use_threads=False).aggregate([])
    return list(zip(*(different.column(name).to_pylist() for name in names), strict=True))


def _packs(store: Store, groups: Mapping[tuple[str, str | None], _SamePrompts]) -> Iterator[str]:
    """The answers of the cells, pack by pack, while their labels and places are noted in ``groups``."""
    of_cell = {row.key: (group, row) for group in groups.values() for row in group.cells}
    unsteered = _Unsteered(store, of_cell)
    pack: list[str] = []
    number = size = 0
    for key, records in groupby(_records(store), itemgetter(0, 1)):
        if not of_cell:
            break
        if key not in of_cell:
            continue
        group, row = of_cell.pop(key)
        tokens = unsteered.tokens(row)
        of_key = {record.key: record for record in records}
        group.prompts |= {one: record.prompt for one, record in of_key.items() if one not in group.prompts}
        found = [of_key.get(one) for one in group.prompts]
        names = {name: number for number, name in enumerate(group.labels)}
        group.codes[row.cell_id] = bytes(ABSENT if one is None else names.get(one.label or "", NO_LABEL) for one in found)
        group.flags[row.cell_id] = bytes(CUT_OFF * (one is not None and one.finish_reason == "length") for one in found)
        answers = [None if one is None else _answer(one, tokens.get(one.key)) for one in found]
        group.places[row.cell_id] = (number, len(pack))
        pack.append(json.dumps(answers))
        size += len(pack[-1])
        if size > PACK_CHARACTERS:
            yield _deflated(f"[{','.join(pack)}]")
            number, size, pack = number + 1, 0, []
    if pack:
        yield _deflated(f"[{','.join(pack)}]")


def _records(store: Store) -> Iterator[_Record]:
    """The rows of ``responses.parquet``."""
    for batch in batches_of(store.folder.responses, _Record._fields):
        tokens = batch.column("token_ids")
        values, ends = tokens.values.to_numpy(), tokens.offsets.to_pylist()
        of_rows = [values[start:end] for start, end in pairwise(ends)]
        columns = [batch.column(name).to_pylist() for name in _Record._fields if name != "token_ids"]
        yield from map(_Record._make, zip(*columns, of_rows, strict=True))


def _answer(record: _Record, unsteered: Tokens | None) -> list[object]:
    """Text, evidence, tokens, tokens that the unsteered answer begins with too (None: it is not known), and what was judged."""
    tokens = record.token_ids
    return [record.response, record.evidence, len(tokens), _same(tokens, unsteered), record.answer]


def _same(tokens: Tokens, others: Tokens | None) -> int | None:
    """Tokens that both begin with."""
    if others is None:
        return None
    n = min(len(tokens), len(others))
    if n == 0:
        return 0
    differ = tokens[:n] != others[:n]
    first = int(differ.argmax())
    return first if differ[first] else n


class _Unsteered:
    """The tokens of the unsteered answers, read once for each model and behavior."""

    def __init__(self, store: Store, of_cell: Mapping[Any, tuple[_SamePrompts, CellRow]]) -> None:
        self._store, self._cells = store, {condition(row, STEERED): row.cell_id for _, row in of_cell.values() if not row.steered}
        self._read = cache(self._tokens_of)

    def tokens(self, row: CellRow) -> Mapping[_Key, Tokens]:
        """By prompt, those that ``row`` is put beside; none for an unsteered cell."""
        cell_id = self._cells.get(condition(row, STEERED)) if row.steered else None
        return {} if cell_id is None else self._read(cell_id)

    def _tokens_of(self, cell_id: str) -> Mapping[_Key, Tokens]:
        try:
            responses = self._store.read_responses(cell_id)
        except (FileNotFoundError, UnreadableFileError):
            return {}
        return {(one.prompt_id, one.sample): np.array(one.token_ids) for one in responses}


def _add_scores(store: Store, groups: Mapping[tuple[str, str | None], _SamePrompts]) -> None:
    """What every scorer that gives labels says, but to a behavior that another one's scorers are none of."""
    planned = store.planned()
    own = {behavior: set(planned.scoring_of(behavior).ids) for behavior, _ in groups}
    named = set[str | None]().union(*own.values())
    at: dict[str, list[_SamePrompts]] = {}
    for group in groups.values():
        for row in group.cells:
            at.setdefault(row.cell_id, []).append(group)
    columns = ("cell_id", "scorer", "prompt_id", "sample", "label")
    records = (
        record
        for batch in batches_of(store.folder.scores, columns)
        for record in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
    )
    for (cell_id, scorer), scored in groupby(records, itemgetter(0, 1)):
        if cell_id in at:
            labels = {(prompt, sample): label for _, _, prompt, sample, label in scored if label is not None}
            for group in at[cell_id] if labels else ():
                if scorer in named and scorer not in own[group.cells[0].behavior]:
                    continue
                said = group.said.setdefault(scorer, _Said())
                said.of_cells[cell_id] = bytes(said.code(labels.get(key)) for key in group.prompts)


def _group_json(group: _SamePrompts) -> dict[str, object]:
    keys, cells = list(group.prompts), group.cells
    steered = [row for row in cells if row.steered]
    differing = [name for name in SHOWN_AXES if len({getattr(row, name) for row in steered}) > 1]
    axes = {name: levels for name in differing if len(levels := _levels(steered, name)) > 1}
    varied = list(axes)
    bases = {condition(row, STEERED): number for number, row in enumerate(cells) if not row.steered}
    decoded = DECODING if len({decoding_text(row) for row in cells}) > 1 else ()
    reels: dict[object, int] = {}
    names = {*group.labels, *(name for one in group.said.values() for name in one.labels)}
    return {
        "title": cells[0].behavior,
        "labels": [{"name": name, "outcome": outcome} for name, outcome in group.labels.items()],
        "known": {name: told for name in group.labels if (told := error_rates(cells[0].classifier, name))},
        "label_words": {name: words for name, words in LABEL_WORDS.items() if name in names},
        "rows": [{"id": prompt, "text": group.prompts[prompt, sample], "sample": sample} for prompt, sample in keys],
        "axes": axes,
        "axis_words": {name: AXIS_WORDS.get(name, name.replace("_", " ")) for name in varied},
        "cells": [
            {
                "id": row.cell_id,
                "name": _name(row, varied),
                "title": _name(row, tuple(dict.fromkeys(("model", "quantization", "method", *varied, *decoded)))),
                "model": row.model,
                "axes": {name: told_value(row, name) for name in varied},
                "base": bases.get(condition(row, STEERED), -1),
                "reel": reels.setdefault(condition(row, frozenset({Axis.STRENGTH})), len(reels)) if row.steered else None,
                "dose": row.multiplier,
                **dict(zip(("pack", "place"), group.places.get(row.cell_id, (-1, -1)), strict=True)),
            }
            for row in cells
        ],
        "labels_of": group.matrix(group.codes, ABSENT),
        "flags_of": group.matrix(group.flags, 0),
        "scorers": [
            {"name": name, "labels": list(one.labels), "said": group.matrix(one.of_cells, NO_LABEL)}
            for name, one in group.said.items()
        ],
    }


def _name(row: CellRow, parts: Sequence[str]) -> str:
    """A cell in words, with what of ``parts`` it has beside layer and multiplier."""
    apart = ("layer", "multiplier", "then", "then_multipliers", *DECODING)
    told = {name: told_value(row, name) for name in parts if name not in apart}
    usual = ("none", ALWAYS, DEFAULT_OPTIONS, *SCOPES_OF_LAYERS)
    said = [WORDS.get(one, one[1]) for one in told.items() if one[1] not in (*usual, DEFAULTS.get(one[0]))]
    behind = [told_value(row, "then")] if row.then and {"then", "then_multipliers"} & set(parts) else []
    decoded = [decoding_text(row)] if set(DECODING) & set(parts) else []
    return " · ".join([*dict.fromkeys(said), cell_text(row) if row.steered else "unsteered", *behind, *decoded])


def _levels(rows: Sequence[CellRow], name: str) -> list[str]:
    """The values of an axis as a filter shows them: numbers by size, others in the order of the cells."""
    values = [getattr(row, name) for row in rows]
    numbers = all(isinstance(one, int | float) for one in values)
    ordered = sorted(rows, key=attrgetter(name)) if numbers else rows
    return list(dict.fromkeys(told_value(row, name) for row in ordered))


def _packed(content: object) -> str:
    return _deflated(json.dumps(content))


def _deflated(text: str) -> str:
    return _text(zlib.compress(text.encode(), LEVEL))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
