from __future__ import annotations

import pytest

from actors.types import Prompt
from benchmarks.products import Product, Replay, ratios, recorded
from benchmarks.timing import Plan, interleave
from benchmarks.workload import Bench, BenchmarkCell, Engine, Workload

NEW_TOKENS = 4
PROMPTS = (Prompt("p1", "one"), Prompt("p2", "two"), Prompt("p3", "three"))


@pytest.fixture(scope="module")
def engine(tiny: Bench) -> Engine:
    return Engine(tiny, [Workload((BenchmarkCell("baseline", None),), PROMPTS, NEW_TOKENS)])


def test_decoding_is_counted_as_it_is_computed(engine: Engine) -> None:
    """Each token after the first runs every linear layer once on all three rows."""
    record = recorded(engine)
    linear_weights = 5 * (64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 128) + 64 * 512
    assert record.flops(decoding=True) == 2 * linear_weights * 3 * (NEW_TOKENS - 1)
    assert record.flops() == record.flops(decoding=True) + record.flops(decoding=False)
    assert record.flops(decoding=False) > 0


def test_pytorchs_own_count_is_ours_plus_attention(engine: Engine) -> None:
    record = recorded(engine)
    assert record.flops() < record.all_flops < 1.5 * record.flops()


def test_the_replay_runs_the_same_products_and_ratios_are_shares_of_time(engine: Engine) -> None:
    record = recorded(engine)
    done = interleave([engine, Replay(record)], Plan(rounds=1, spare=0))
    whole = ratios(done, record)[0]
    seconds = {name: done.samples(name)[0].seconds for name in ("engine", "products alone")}
    assert whole.summary.median == pytest.approx(seconds["products alone"] / seconds["engine"])


def test_a_products_flops(engine: Engine) -> None:
    weight = engine.bench.model.get_output_embeddings().weight
    assert Product(weight, 7, decoding=True).shape == (7, 64, 512)
    assert Product(weight, 7, decoding=True).flops == 2 * 7 * 64 * 512
