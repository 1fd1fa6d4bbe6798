from __future__ import annotations

import numpy as np
import pytest

from actors.engine.decode import SlotBatch
from actors.types import Prompt
from benchmarks.mixing import configuration
from benchmarks.peers import PerCell, PerPrompt, diagonal, left_padded, some_cells
from benchmarks.workload import (
    LAYERS,
    MULTIPLIERS,
    Bench,
    BenchmarkCell,
    Engine,
    Workload,
    extracted,
    grid,
    prompts_of,
    timed_steps,
)
from tests.benchmarks.conftest import N_LAYERS

NEW_TOKENS = 6
PROMPTS = (Prompt("p1", "one"), Prompt("p2", "a second, longer prompt"), Prompt("p3", "three"))


@pytest.fixture(scope="module")
def workload(tiny: Bench) -> Workload:
    steered = [BenchmarkCell(f"c{n}", configuration(n, tiny.n_layers, tiny.d_model, spread=False)) for n in range(3)]
    return Workload((BenchmarkCell("baseline", None), *steered), PROMPTS, NEW_TOKENS)


def test_every_contender_makes_exactly_the_asked_tokens(tiny: Bench, workload: Workload) -> None:
    for contender in (Engine(tiny, [workload]), PerCell(tiny, workload), PerPrompt(tiny, workload)):
        work = contender.run(0)
        assert work.rows == 12
        assert work.new_tokens == 12 * NEW_TOKENS
        assert {len(tokens) for tokens in work.tokens.values()} == {NEW_TOKENS}


def test_all_contenders_in_this_process_answer_alike(tiny: Bench, workload: Workload) -> None:
    engine = Engine(tiny, [workload]).run(0).tokens
    assert PerCell(tiny, workload).run(0).tokens == engine
    assert PerPrompt(tiny, workload).run(0).tokens == engine
    # The cells differ, else agreement would say nothing about steering.
    assert len({tokens for (_, prompt), tokens in engine.items() if prompt == "p2"}) > 1


def test_the_engines_phases_add_up(tiny: Bench, workload: Workload) -> None:
    parts = Engine(tiny, [workload]).run(0).parts
    assert parts["decode_tokens"] == 12 * (NEW_TOKENS - 1)
    assert parts["decode_seconds"] > 0
    assert parts["prefill_seconds"] > 0


def test_clocking_steps_leaves_the_engine_as_it_was() -> None:
    before = SlotBatch.step
    with pytest.raises(KeyError), timed_steps():
        raise KeyError
    assert SlotBatch.step is before


def test_samples_of_cells_see_every_cell_once_in_as_many_rounds(workload: Workload) -> None:
    seen = [cell.name for number in range(3) for cell in some_cells(workload, 1 / 3, number)]
    assert sorted(seen) == sorted(cell.name for cell in workload.cells)
    assert some_cells(workload, 1.0, 7) == workload.cells


def test_samples_of_rows_go_through_cells_and_prompts() -> None:
    wide = Workload(tuple(BenchmarkCell(f"c{n}", None) for n in range(13)), prompts_of("test", 10), 1)
    rows = diagonal(wide, 0.1, 0)
    assert len(rows) == 12
    assert len({cell.name for cell, _ in rows}) == 12
    assert len({prompt.id for _, prompt in rows}) == 10


def test_left_padding() -> None:
    ids, mask = left_padded([[5], [6, 7, 8]], pad=9)
    assert ids.tolist() == [[9, 9, 5], [6, 7, 8]]
    assert mask.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_the_quickstarts_grid(tiny: Bench) -> None:
    directions = extracted(tiny)
    assert len(directions.directions) == N_LAYERS
    assert [prompt.id for prompt in prompts_of("test", 10)] == [f"T{n}" for n in range(1, 11)]
    thirty = type(directions)(
        tuple(type(directions.directions[0])(layer, np.eye(2, dtype=np.float32)[0], 1.0) for layer in range(30)), (1.0,) * 30
    )
    cells = grid(thirty, 30)
    assert len(cells) == 13 == 1 + len(LAYERS) * len(MULTIPLIERS)
    assert cells[0].steering is None
    last = cells[-1].steering
    assert last is not None
    assert (last.layers, last.multiplier) == (tuple(range(15, 30)), 20.0)
