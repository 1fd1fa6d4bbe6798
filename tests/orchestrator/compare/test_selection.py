"""Selections of the command line: forgiving in how they are written, strict in what they mean."""

from __future__ import annotations

import pytest

from orchestrator.compare.selection import select
from orchestrator.errors import InputError
from tests.orchestrator.compare.made_up import made, unsteered

ROWS = [
    unsteered("aaaa1", 0, 10, model="qwen7b"),
    made("aaaa2", 9, 10, model="qwen7b", multiplier=15.0, depth=0.6),
    made("bbbb1", 5, 10, model="qwen7b", multiplier=20.0, depth=0.6, quantization="int8"),
    made("cccc1", 7, 10, model="Gemma-9B", multiplier=25.0, depth=0.3, layers=tuple(range(9, 30)), source_layer=9),
]


def ids(text: str) -> list[str]:
    return [row.cell_id.removeprefix("cell-") for row in select(ROWS, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["aaaa1", "aaaa2", "bbbb1", "cccc1"]),
        ("all", ["aaaa1", "aaaa2", "bbbb1", "cccc1"]),
        ("baseline", ["aaaa1"]),
        ("steered,model=qwen7b", ["aaaa2", "bbbb1"]),
        ("cell-bbbb1", ["bbbb1"]),
        ("bbbb", ["bbbb1"]),
        ("CELL=cell-bbbb1", ["bbbb1"]),
        ("layer=16", ["aaaa2", "bbbb1"]),
        (" Layer = L16 , multiplier = 15x ", ["aaaa2"]),
        ("multiplier=15.0", ["aaaa2"]),
        ("multiplier=1.5e1", ["aaaa2"]),
        ("multiplier=15,multiplier=25", ["aaaa2", "cccc1"]),
        ("depth=60%", ["aaaa2", "bbbb1"]),
        ("depth=0.3", ["cccc1"]),
        ("model=gemma-9b", ["cccc1"]),
        ("quant=int8", ["bbbb1"]),
        ("quanti=int8", ["bbbb1"]),
        ("method=none", ["aaaa1"]),
        ("transfer=no,steered=yes", ["aaaa2", "bbbb1", "cccc1"]),
    ],
)
def test_what_it_selects(text: str, expected: list[str]) -> None:
    assert ids(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("quantisation=int8", "did you mean 'quantization'"),
        ("model=qwen8b", "did you mean 'qwen7b'"),
        ("multiplier=16", "allowed: none, 15, 20, 25"),
        ("multiplier=strong", "none has it"),
        ("model=gemma-9b,multiplier=15", "each alone: model 1, multiplier 1"),
        ("qwen7b", "not a filter"),
        ("basline", "did you mean 'baseline'"),
        ("aaaa", "2 cells begin so"),
        ("dddd", "no finished cell has this id"),
        ("mo=qwen7b", "there is no such column"),
        ("layers=16", "did you mean 'layer'"),
    ],
)
def test_what_it_does_not_understand(text: str, told: str) -> None:
    with pytest.raises(InputError, match="selection") as caught:
        ids(text)
    assert told in str(caught.value)


def test_every_wrong_value_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        ids("model=qwen,multiplier=3")
    assert [problem.field for problem in caught.value.problems] == ["selection: model", "selection: multiplier"]


def test_a_number_is_meant_as_it_is_shown() -> None:
    rows = [made("aaaa1", 5, 10, multiplier=10 / 3), made("aaaa2", 5, 10, multiplier=3.4)]
    assert [row.cell_id for row in select(rows, "multiplier=3.33333")] == ["cell-aaaa1"]
    with pytest.raises(InputError, match=r"allowed: 3\.33333, 3\.4"):
        select(rows, "multiplier=3.3333")
