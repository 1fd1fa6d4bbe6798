from __future__ import annotations

import pytest
import torch

from benchmarks import cuda
from benchmarks.gpu.machine import qwen_7b
from benchmarks.plugins import Beside
from benchmarks.timing import Plan
from benchmarks.workload import Bench


def test_without_cuda_it_says_so_and_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cuda.main()
    assert "no CUDA here" in capsys.readouterr().out


def test_the_shape_is_that_of_qwen_7b() -> None:
    config = qwen_7b()
    head = config.hidden_size // config.num_attention_heads
    attention = config.hidden_size * (2 * config.hidden_size + 2 * config.num_key_value_heads * head)
    feed_forward = 3 * config.hidden_size * config.intermediate_size
    total = config.num_hidden_layers * (attention + feed_forward) + 2 * config.vocab_size * config.hidden_size
    assert total == pytest.approx(7.6e9, rel=0.01)


def test_the_whole_measurement_on_a_tiny_model(tiny: Bench) -> None:
    result = cuda.measure(tiny, (16, 3), Plan(rounds=1, spare=0), Beside())
    assert result.contenders == ["K=1", "K=1, eager", "K=256", "per cell"]
    assert {sample.work.new_tokens for sample in (result.rounds.kept[0]["K=1"], result.rounds.kept[0]["K=256"])} == {48}
    assert result.rounds.kept[0]["per cell"].work.new_tokens == 2 * 10 * 3
    assert result.extra["shares"]["whole_share"] > 0
    assert {ratio.to for ratio in result.ratios} == {"K=1", "K=1, eager", "per cell"}
    assert "decoding in K=1: eager" in result.notes
    engine = tiny.worker._engine
    assert engine is not None
    assert engine.graphs, "switched off for the eager contender alone"
