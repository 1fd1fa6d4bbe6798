"""Levels of an axis: each cell against the one that differs from it in that axis alone."""

from __future__ import annotations

import pytest

from orchestrator.compare.levels import Matched, by_level
from orchestrator.errors import InputError
from tests.orchestrator.compare.made_up import made, unsteered

QUANTIZED = [
    unsteered("0000", 0, 10),
    made("aaa1", 9, 10, multiplier=4.0),
    made("aaa2", 8, 10, multiplier=8.0),
    made("bbb1", 7, 10, multiplier=4.0, quantization="int8"),
    made("bbb2", 6, 10, multiplier=8.0, quantization="int8"),
    made("ccc1", 5, 10, multiplier=4.0, quantization="nf4"),
    made("ccc3", 5, 10, multiplier=12.0, quantization="nf4"),
]


def told(found: list[Matched]) -> list[tuple[str, str, str]]:
    def name(rows: object) -> str:
        return "+".join(row.cell_id.removeprefix("cell-") for row in rows)  # type: ignore[attr-defined]

    return [(f"{pair.level} {pair.stratum}".strip(), name(pair.rows), name(pair.reference)) for pair in found]


def test_each_level_with_its_match() -> None:
    assert told(by_level(QUANTIZED, "quantization", "none")) == [
        ("int8 multiplier=4", "bbb1", "aaa1"),
        ("int8 multiplier=8", "bbb2", "aaa2"),
        ("nf4 multiplier=4", "ccc1", "aaa1"),
    ]


def test_pooled() -> None:
    assert told(by_level(QUANTIZED, "quant", "none", pool=True)) == [("int8", "bbb1+bbb2", "aaa1+aaa2"), ("nf4", "ccc1", "aaa1")]


def test_every_steered_cell_against_its_baseline() -> None:
    rows = [*QUANTIZED[:3], unsteered("0001", 0, 10, quantization="int8"), QUANTIZED[3]]
    expected = [("yes quantization=none, multiplier=4", "aaa1", "0000"), ("yes quantization=none, multiplier=8", "aaa2", "0000")]
    assert told(by_level(rows, "steered", "no")) == [*expected, ("yes quantization=int8, multiplier=4", "bbb1", "0001")]


def test_models_are_matched_by_depth() -> None:
    rows = [
        made("aaaa", 9, 10, model="small", depth=0.5, layers=(14, 15), source_layer=14),
        made("bbbb", 9, 10, model="large", depth=0.5, layers=(32, 33), source_layer=32, location="another"),
        made("cccc", 9, 10, model="large", depth=0.6, layers=(38, 39), source_layer=38, location="another"),
    ]
    assert told(by_level(rows, "model", "small")) == [("large", "bbbb", "aaaa")]


def test_a_transfer_is_matched_with_the_targets_own() -> None:
    rows = [made("aaaa", 9, 10, source_model="b"), made("bbbb", 5, 10, source_model="a", is_transfer=True, source_layer=3)]
    assert told(by_level(rows, "source_model", "b")) == [("a", "bbbb", "aaaa")]


def test_two_cells_alone_are_compared_as_they_are() -> None:
    rows = [made("aaaa", 9, 10), made("bbbb", 9, 10, method="cosmic", layers=(20,), source_layer=20, multiplier=3.0)]
    assert told(by_level(rows, "method", "dim")) == [("cosmic", "bbbb", "aaaa")]


def test_what_cannot_be_matched() -> None:
    with pytest.raises(InputError, match="did you mean 'int8'"):
        by_level(QUANTIZED, "quantization", "int9")
    with pytest.raises(InputError, match="no such column"):
        by_level(QUANTIZED, "speed", "int8")
    with pytest.raises(InputError, match="no other behavior"):
        by_level(QUANTIZED, "behavior", "refusal")
    with pytest.raises(InputError, match="has a partner"):
        by_level([*QUANTIZED[1:3], QUANTIZED[-1]], "quantization", "none")
