"""What prefill keeps: bounded, dropped with its last use, and without it the same answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.engine.attention import slot_attention_in
from actors.engine.prefill import Prefiller
from actors.engine.rows import Row
from actors.engine.segments import Forwards, Segment, SegmentRunner
from actors.engine.shared_prefixes import SharedPrefixes, storage_bytes
from actors.families import decoder_of
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import steered
from actors.types import Prompt, Steering
from tests.tiny import tiny_model

CPU = torch.device("cpu")
PREFIX = 6


def rows_of(n_prompts: int, steerings: list[Steering], length: int = 12, new_tokens: int = 4) -> list[Row]:
    """Every prompt unsteered and under each steering, cell by cell; all begin alike."""
    head = tuple(range(10, 10 + PREFIX))
    prompts = [
        Rendered(
            Prompt(f"p{number}", ""), "", head + tuple(100 + (number * 7 + place) % 150 for place in range(length)), PREFIX, 1
        )
        for number in range(n_prompts)
    ]
    firsts = [None, *(min(steering.layers) for steering in steerings)]
    return [Row(which, prompt, which, first, new_tokens) for which, first in enumerate(firsts) for prompt in prompts]


def additions(*layers: int) -> list[Steering]:
    """One steering from each of ``layers`` on."""
    unit = np.random.default_rng(3).standard_normal((1, 64)).astype(np.float32)
    unit /= np.linalg.norm(unit)
    return [Steering((layer, layer + 1), np.repeat(unit, 2, axis=0), 6.0) for layer in layers]


@torch.inference_mode()
def prefilled(
    rows: list[Row], steerings: list[Steering], limit: int | None, at_once: int = 8
) -> Iterator[tuple[Row, Tensor, int]]:
    """Each row with its logits, and what was kept in bytes at that moment."""
    model = tiny_model("llama")
    decoder = decoder_of(model)
    bank = StackBank(steerings, (decoder.n_layers, 64), torch.float32, CPU)
    with slot_attention_in(model), steered(decoder) as hooks:
        runner = SegmentRunner(model, decoder, hooks, CPU, Forwards(fixed=True))
        prefiller = Prefiller(runner, bank, rows, limit=limit)
        for start in range(0, len(rows), 8):
            for one in prefiller.run(rows[start : start + 8]):
                kept = prefiller._trunks.nbytes + prefiller._prefixes.nbytes
                yield from ((row, logits, kept) for row, logits in zip(one.rows, one.logits, strict=True))
        assert prefiller._trunks.nbytes == prefiller._prefixes.nbytes == 0, "nothing is to come"


def test_prefill_keeps_no_more_than_it_may_and_computes_the_same() -> None:
    steerings = additions(0, 1, 2)
    free = list(prefilled(rows_of(40, steerings), steerings, None))
    most = max(kept for _, _, kept in free)
    tight = list(prefilled(rows_of(40, steerings), steerings, most // 3))
    assert 0 < max(kept for _, _, kept in tight) <= most // 3
    for (row, logits, _), (same, others, _) in zip(free, tight, strict=True):
        assert (row.job, row.rendered.prompt.id) == (same.job, same.rendered.prompt.id)
        assert torch.equal(logits, others)


@pytest.mark.parametrize("length", [40, 300, 3000])
def test_a_forward_of_fixed_shape_is_bounded_in_rows_times_tokens(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()

    def look(self: SegmentRunner, segment: Segment) -> None:
        shapes.add((len(segment.tokens), segment.start + segment.length))
        raise StopIteration

    monkeypatch.setattr(SegmentRunner, "_forward", look)
    model = tiny_model("llama")
    decoder = decoder_of(model)
    with steered(decoder) as hooks:
        runner = SegmentRunner(model, decoder, hooks, CPU, Forwards(fixed=True))
        for rows in (1, 5):
            with pytest.raises(StopIteration):
                runner.run(Segment([tuple(range(length))] * min(rows, runner.most_rows(length + 16))))
    ((rows, tokens),) = shapes  # one shape, however many rows there are
    assert rows * tokens <= 4096
    assert rows == {40: 16, 300: 13, 3000: 1}[length]


def test_what_finds_no_room_is_not_kept_and_the_last_use_drops() -> None:
    shared: SharedPrefixes[str, int] = SharedPrefixes("aabbbc", limit=100)
    shared.keep({"a": 1, "c": 3}, [torch.zeros(20)])
    shared.keep({"b": 2}, [torch.zeros(20)])
    assert (shared.get("a"), shared.get("b"), shared.get("c")) == (1, None, None), "c is used once only, b finds no room"
    assert shared.nbytes == 80
    shared.used("a")
    shared.keep({"b": 2}, [torch.zeros(5)])
    assert shared.nbytes == 100
    shared.used("ab")
    assert (shared.get("a"), shared.get("b"), shared.nbytes) == (None, 2, 20)


def test_a_part_keeps_the_whole_in_memory() -> None:
    whole = torch.zeros(16, 8)
    assert storage_bytes([whole[:1], whole[3:4]]) == whole.nbytes
