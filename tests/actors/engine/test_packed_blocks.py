"""Blocks in one piece: the bits of the model's own blocks, hooks inside them seen, and every other block left as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.models.llama import modeling_llama

from actors.engine import packed_blocks, packing
from actors.engine.attention import masks_for, slot_attention_in
from actors.engine.cache import SlotCache
from actors.engine.packed_blocks import PackedBlock, with_blocks
from actors.engine.packing import Packing, pack
from actors.families import decoder_of
from actors.types import CellResult, Decoding, GenerationJob, Prompt
from actors.worker import ModelWorker
from tests.tiny import tiny_model

CPU = torch.device("cpu")
USUAL = ("llama", "llama_rope", "qwen2", "qwen3", "mistral")


def packings(model: Any) -> tuple[Packing, Packing]:
    """Without and with blocks in one piece."""
    without = pack(model, CPU)
    return without, with_blocks(model, decoder_of(model), without)


@torch.inference_mode()
def decoded(model: Any, packing: Packing, rows: int, capacity: int) -> list[Tensor]:
    """The logits of four steps of ``rows`` rows at different positions, and what is kept of them."""
    decoder, cache = decoder_of(model), SlotCache(5, rows, capacity)
    keys, logits = torch.arange(capacity).expand(rows, -1), []
    with slot_attention_in(model), packing.applied():
        for step in range(4):
            positions = torch.arange(rows) % 11 + step
            allowed = keys <= positions[:, None]
            output = model(
                input_ids=(torch.arange(rows)[:, None] * 5 + step) % 200,
                position_ids=positions[:, None],
                attention_mask=masks_for(decoder, allowed[:, None, None], positions[:, None], keys),
                past_key_values=cache.at(slice(0, rows), positions),
                use_cache=True,
            )
            logits.append(output.logits)
    return [*logits, *cache.kept()]


@pytest.mark.parametrize("family", USUAL)
def test_every_block_is_one_piece_and_has_the_bits_of_its_parts(family: str) -> None:
    model = tiny_model(family, seed=3)
    without, whole = packings(model)
    assert len(whole.blocks) == 5
    for rows, capacity in ((1, 64), (2, 48), (40, 64), (7, 300)):
        expected, found = (decoded(model, packing, rows, capacity) for packing in (without, whole))
        assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert not any("forward" in module.__dict__ for module in model.modules())


@pytest.mark.parametrize("family", ["gemma2", "phi3", "gpt2", "mixtral", "qwen3_5"])
def test_a_model_of_other_blocks_is_as_it_was(family: str) -> None:
    without, whole = packings(tiny_model(family))
    assert whole is without


def test_parts_of_the_usual_names_that_compute_something_else_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As families do that take their rotary halves in turn, or weigh the residual stream."""
    own = modeling_llama.apply_rotary_pos_emb

    def backwards(query: Tensor, key: Tensor, cos: Tensor, sin: Tensor, **options: Any) -> Any:
        return own(query, key, cos, -sin, **options)

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", backwards)
    without, whole = packings(tiny_model("llama"))
    assert whole is without


def test_where_a_rows_bits_would_depend_on_their_number_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    packed = pack(model, CPU)
    monkeypatch.setattr(packing, "keeps_bits", lambda _product: False)
    assert with_blocks(model, decoder_of(model), packed) is packed


def test_memory_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_blocks, "free_bytes", lambda _device: 2**10)
    without, whole = packings(tiny_model("llama"))
    assert whole is without


def test_a_hook_inside_a_block_is_called() -> None:
    model = tiny_model("llama")
    without, whole = packings(model)
    plain = decoded(model, whole, 3, 64)
    seen = list[int]()

    def doubled(_module: Any, _args: Any, output: Tensor) -> Tensor:
        seen.append(1)
        return output * 2

    handle = model.model.layers[2].self_attn.o_proj.register_forward_hook(doubled)
    try:
        expected, found = (decoded(model, packing, 3, 64) for packing in (without, whole))
    finally:
        handle.remove()
    assert len(seen) == 8
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert not torch.equal(found[0], plain[0])


def test_a_forward_without_slots_is_the_blocks_own() -> None:
    model = tiny_model("llama")
    ids = torch.arange(7)[None]
    without, whole = packings(model)
    with torch.inference_mode(), without.applied():
        expected = model(input_ids=ids).logits
    with torch.inference_mode(), whole.applied():
        assert torch.equal(model(input_ids=ids).logits, expected)


def test_a_worker_decodes_through_them(tiny_worker: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only where they are tried: every block at every token but the first, which is the prompt's."""
    worker, own, ran = tiny_worker("llama"), PackedBlock.__call__, list[int]()

    def counted(self: PackedBlock, hidden_states: Tensor, **options: Any) -> Any:
        ran.append(hidden_states.shape[1])
        return own(self, hidden_states, **options)

    monkeypatch.setattr(PackedBlock, "__call__", counted)
    job = GenerationJob("cell", (Prompt("P1", "Name three colours."),), Decoding(6))
    (result,) = worker.generate([job])
    assert isinstance(result, CellResult)
    tokens = len(result.responses[0].token_ids)
    assert ran.count(1) in (5 * (tokens - 1), 5 * tokens), "the second where the answer ends by itself"
