"""NaN and infinity: the cell that has them fails with that word, and no neighbour in the batch, or in its slot, is touched."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from tests.faults.tiny_sweep import QUESTIONS, TinySweep, answers

MANY = [f"{question} Part {number}." for question in QUESTIONS for number in range(12)]


@pytest.fixture
def sweep(tmp_path: Path) -> TinySweep:
    found = TinySweep(tmp_path)
    found.model()
    return found


def spoil(model: Path, tensor: str, row: int) -> None:
    """NaN in one row of a matrix."""
    with safe_open(model / "model.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping
    tensors[tensor][row] = float("nan")
    save_file(tensors, model / "model.safetensors", {"format": "pt"})


def test_a_model_with_a_nan_fails_and_another_goes_on(sweep: TinySweep) -> None:
    sweep.model("bad", seed=1)
    spoil(sweep.folder / "bad", "model.layers.3.mlp.down_proj.weight", 7)
    sweep.write(models={"bad": {"folder": "bad"}, "good": {"folder": "model"}}, layers=[1])
    told = sweep.run()
    assert told.exit_code == 1
    failures = sweep.failures()
    assert sorted((kind, attempt) for kind, _, attempt in failures.values()) == [
        ("non_finite", 1),
        ("non_finite", 1),
        ("upstream", 1),
    ]
    assert "non_finite: the residual stream is not finite at layers [3, 4] in float32" in told.output
    assert "non_finite: logits are not finite for prompts p4, p5, p6" in told.output
    assert {row.model for row in sweep.store.cell_rows()} == {"good"}
    assert sweep.run("--json").exit_code == 1, "it would be no other the next time: only retry runs it again"
    assert sweep.failures() == failures


def test_steering_that_overflows_fails_its_cell_and_leaves_the_others_bit_identical(sweep: TinySweep, tmp_path: Path) -> None:
    models = {"tiny": {"folder": "model", "dtype": "float16"}}
    sweep.write(MANY, models=models, multipliers=[2, 3], engine={"slots": 16})
    assert sweep.run("--results", str(tmp_path / "calm"), "--quiet").exit_code == 0
    calm = answers(tmp_path / "calm")
    sweep.write(MANY, models=models, multipliers=[2, 1e5, 3], engine={"slots": 16})
    told = sweep.run()
    assert told.exit_code == 1, told.output
    assert "non_finite: logits are not finite for prompts" in told.output
    failures = sweep.failures()
    assert {(kind, attempt) for kind, _, attempt in failures.values()} == {("non_finite", 1)}
    assert len(failures) == 2, "one per layer"
    assert sweep.answers() == calm


def test_a_nan_that_appears_half_way_does_not_stay_in_its_slot(sweep: TinySweep, tmp_path: Path) -> None:
    """The embedding of one token is NaN: the rows that generate it end there, and others take their slots."""
    sweep.write(MANY, decoding={"max_new_tokens": 12}, layers=[1, 2, 3], engine={"slots": 16})
    assert sweep.run("--results", str(tmp_path / "whole"), "--quiet").exit_code == 0
    whole = answers(tmp_path / "whole")
    token = rare_token(whole)
    spoil(sweep.folder / "model", "model.embed_tokens.weight", token)
    told = sweep.run()
    assert told.exit_code == 1, told.output
    assert {kind for kind, _, _ in sweep.failures().values()} == {"non_finite"}
    named = sorted(sweep.answers().values())
    untouched = sorted(rows for rows in whole.values() if not any(token in row[:-1] for row in rows))
    assert 0 < len(untouched) < len(whole)
    assert named == untouched


def rare_token(whole: dict[str, tuple[tuple[int, ...], ...]]) -> int:
    """A token that some cells generate before their end and others do not; no prompt has it, or none of them would be done."""
    cells = Counter(token for rows in whole.values() for token in {token for row in rows for token in row[:-1]})
    first = {token for rows in whole.values() for row in rows for token in row[:1]}
    spoken = [token for token, count in cells.items() if count < len(whole) and token not in first and token > 5]
    return min(spoken, key=lambda token: (cells[token], token))
