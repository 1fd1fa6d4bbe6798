"""A device that holds no more than so much at once: batches shrink, finished answers stay, and what never fits is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from actors.boundary import as_failure
from tests.faults.tiny_sweep import QUESTIONS, TinySweep, answers

LONG = "Tell me everything about the sky. " * 6
MESSAGE = "CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, int], bool]], None]:
    """``device(fits)``: a forward of so many rows and tokens per row fails as with CUDA's allocator, unless it fits."""
    real = LlamaDecoderLayer.__call__

    def limit(fits: Callable[[int, int], bool]) -> None:
        def called(self: LlamaDecoderLayer, hidden_states: torch.Tensor, *more: Any, **named: Any) -> Any:
            if not fits(*hidden_states.shape[:2]):
                raise torch.OutOfMemoryError(MESSAGE)
            return real(self, hidden_states, *more, **named)

        monkeypatch.setattr(LlamaDecoderLayer, "__call__", called)

    return limit


@pytest.fixture
def sweep(tmp_path: Path) -> TinySweep:
    found = TinySweep(tmp_path)
    found.model()
    return found


def test_generating_goes_on_with_fewer_slots_and_the_answers_are_the_same(
    sweep: TinySweep, device: Callable[..., None], tmp_path: Path
) -> None:
    sweep.write([f"{question} {number}" for question in QUESTIONS for number in range(8)], engine={"slots": 64})
    assert sweep.run("--results", str(tmp_path / "undisturbed"), "--quiet").exit_code == 0
    most = [0]

    def fits(rows: int, tokens: int) -> bool:
        most[0] = max(most[0], rows)
        return rows <= 24

    device(fits)
    told = sweep.run()
    assert told.exit_code == 0, told.output
    assert most[0] > 24, "the batch was once too large"
    assert sweep.answers() == answers(tmp_path / "undisturbed")
    assert len(sweep.answers()) == 3
    assert "out of memory: going on with 32 slots" in told.output
    shrunk = [entry for entry in sweep.events() if "going on with" in entry.text]
    assert len(shrunk) >= 1
    assert shrunk[0].worker == "local"


def test_a_cell_that_never_fits_fails_alone_and_runs_when_there_is_room(sweep: TinySweep, device: Callable[..., None]) -> None:
    sweep.write(
        behaviors={"short": {"file": "refusal.jsonl"}, "long": {"file": "long.jsonl"}}, layers=[1], decoding={"max_new_tokens": 4}
    )
    (sweep.folder / "long.jsonl").write_text((sweep.folder / "refusal.jsonl").read_text().replace(QUESTIONS[0], LONG))
    device(lambda rows, tokens: tokens < 150)
    told = sweep.run()
    assert told.exit_code == 1
    failures = sweep.failures()
    assert {(kind, attempt) for kind, _, attempt in failures.values()} == {("out_of_memory", 2)}
    assert all(MESSAGE in message for _, message, _ in failures.values())
    assert "out_of_memory: out of memory with" in told.output
    rows = {row.behavior for row in sweep.store.cell_rows()}
    assert rows == {"short"}
    assert len(sweep.store.done_cells()) == len(failures) == 2
    kept = sweep.answers()
    device(lambda rows, tokens: True)
    again = sweep.run()
    assert again.exit_code == 0, again.output
    assert sweep.failures() == {}
    assert sweep.answers().items() >= kept.items()
    assert len(sweep.answers()) == 4


@pytest.mark.parametrize("extractor", ["nnsight", "hooks"])
def test_extraction_goes_on_with_smaller_batches(sweep: TinySweep, device: Callable[..., None], extractor: str) -> None:
    sweep.write(extractor=extractor, layers=[1])
    rows_seen: list[int] = []

    def fits(rows: int, tokens: int) -> bool:
        rows_seen.append(rows if tokens > 16 else 0)
        return rows_seen[-1] < 4

    device(fits)
    told = sweep.run()
    assert told.exit_code == 0, told.output
    assert max(rows_seen) == 4, "both prompts of both classes were to be read at once"
    assert "out of memory: reading activations of at most" in told.output
    assert len(sweep.store.done_directions()) == 1


def lengthen_contrast(sweep: TinySweep) -> None:
    """Contrast prompts of some 200 tokens: more than anything else that is run, the model's trial at load included."""
    file = sweep.folder / "refusal.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    longer = [row if row["role"] == "test" else {**row, "text": LONG + row["text"]} for row in rows]
    file.write_text("".join(json.dumps(row) + "\n" for row in longer))


@pytest.mark.parametrize("extractor", ["nnsight", "hooks"])
def test_a_direction_that_never_fits_fails_with_its_cells_and_no_others(
    sweep: TinySweep, device: Callable[..., None], extractor: str
) -> None:
    sweep.write(["Why?"], extractor=extractor, layers=[1])
    lengthen_contrast(sweep)
    device(lambda rows, tokens: tokens < 100)
    told = sweep.run()
    assert told.exit_code == 1
    kinds = sorted((kind, attempt) for kind, _, attempt in sweep.failures().values())
    assert kinds[0] == ("out_of_memory", 2), sweep.failures()
    assert [kind for kind, _ in kinds[1:]] == ["upstream"]
    assert "out of memory while it read the activations of a single prompt" in told.output
    assert [row.steered for row in sweep.store.cell_rows()] == [False], "the baseline needs no direction"
    device(lambda rows, tokens: True)
    assert sweep.run().exit_code == 0
    assert sweep.failures() == {}
    assert len(sweep.store.done_cells()) == 2


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError(MESSAGE)])
def test_memory_that_runs_out_anywhere_else_has_the_same_name_and_another_attempt(error: Exception) -> None:
    failure = as_failure("cell", error)
    assert (failure.kind, failure.retryable) == ("out_of_memory", True)
    assert failure.message in (MESSAGE, "MemoryError")
