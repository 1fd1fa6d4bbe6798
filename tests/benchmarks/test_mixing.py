from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.mixing import ACTS, KINDS, acted, at_length, configuration, contenders, mixed, numbered, placed, ratios
from benchmarks.timing import Plan, Sample, Work, interleave
from benchmarks.workload import Bench


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("count", [1, 8, 64, 256])
def test_k_configurations_are_k_distinct_ones(count: int, spread: bool) -> None:
    found = {
        (one.layers, one.multiplier, one.vectors.tobytes())
        for one in (configuration(n, 30, 16, spread=spread) for n in range(count))
    }
    assert len(found) == count


def test_every_place_and_schedule_is_among_those_of_a_batch() -> None:
    found = Counter((one.positions, one.schedule) for one in (placed(n, 30, 16) for n in range(256)))
    assert len(found) == 18
    assert min(found.values()) >= 8


def test_every_site_and_intervention_is_among_those_of_a_batch() -> None:
    found = Counter((one.site, one.intervention) for one in (acted(n, 30, 16) for n in range(256)))
    assert len(found) == 12
    assert min(found.values()) >= 16


def test_where_configurations_begin() -> None:
    assert {configuration(n, 30, 16, spread=False).layers[0] for n in range(256)} == {9}
    firsts = Counter(configuration(n, 30, 16, spread=True).layers[0] for n in range(256))
    assert firsts == dict.fromkeys(range(7, 23), 16)
    # K = 1 begins where K = 256 does on average: else the two would prefill different numbers of blocks.
    assert abs(configuration(0, 30, 16, spread=True).layers[0] - np.mean(list(firsts))) <= 0.5


def test_directions_are_unit() -> None:
    assert np.linalg.norm(configuration(5, 30, 16, spread=False).vectors, axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 4, 16])
def test_the_rows_are_the_same_whatever_k(tiny: Bench, count: int) -> None:
    workloads = mixed(tiny, 32, count, 2)
    assert len(workloads) == count
    assert {len(workload.prompts) for workload in workloads} == {32 // count}
    assert [prompt for workload in workloads for prompt in workload.prompts] == numbered(32)


def test_speed_at_another_length_is_prefill_plus_decoding() -> None:
    # 4 rows of 3 tokens: 8 of them decoded in 2 s, after 1 s of prefill. At 11 tokens each: 40 decoded in 10 s.
    sample = Sample(Work(4, 12, {"decode_tokens": 8.0, "decode_seconds": 2.0, "prefill_seconds": 1.0}), 3.0, 0.0)
    assert at_length(11)(sample) == pytest.approx(44 / 11)
    assert at_length(3)(sample) == pytest.approx(12 / 3)


def test_a_whole_run_on_a_tiny_model(tiny: Bench) -> None:
    done = interleave(contenders(tiny, 16, 2), Plan(rounds=1, spare=0))
    assert list(done.kept[0]) == ["K=1", "K=8", "K=1, layers differ", "unsteered", "all layers", KINDS, ACTS]
    assert {sample.work.new_tokens for sample in done.kept[0].values()} == {32}
    found = {(ratio.of, ratio.to, ratio.metric) for ratio in ratios(done)}
    assert ("K=8", "K=1", "decode") in found
    assert ("all layers", "unsteered", "whole run") in found
    assert {(KINDS, "K=8", "decode"), (ACTS, "K=8", "decode")} <= found
