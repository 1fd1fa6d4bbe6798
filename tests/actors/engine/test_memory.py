"""How many slots fit: the arithmetic against what is really allocated, and against the sizes that users have."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from transformers import Qwen2Config

from actors.engine import memory
from actors.engine.cache import SlotCache
from tests.architectures import tiny_architecture
from tests.tiny import CONFIGS, tiny_model

QWEN_32B = Qwen2Config(
    vocab_size=152064,
    hidden_size=5120,
    intermediate_size=27648,
    num_hidden_layers=64,
    num_attention_heads=40,
    num_key_value_heads=8,
)
A100_80GB = 80 * 2**30
CUDA = torch.device("cuda")


def weight_bytes(config: Qwen2Config, itemsize: int) -> int:
    """Parameters counted on the meta device: nothing is allocated."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters()) * itemsize


def test_heads_are_read_block_by_block_where_blocks_differ() -> None:
    text = tiny_architecture("gemma4_two_widths").config.get_text_config(decoder=True)
    found = memory.heads_of(text)
    assert len(found) == text.num_hidden_layers
    assert found == [(one.num_attention_heads, one.num_key_value_heads, one.head_dim) for one in text.per_layer_config]
    assert len(set(found)) == 2
    assert memory.heads_of(QWEN_32B) == [(40, 8, 128)] * 64


def test_a_32b_model_leaves_room_for_256_slots_on_80_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weight_bytes(QWEN_32B, 2)
    assert weights == pytest.approx(65.5e9, rel=0.01)
    Card(A100_80GB, elsewhere=2 * 2**30, allocated=weights, reserved=weights).stands_in(monkeypatch)  # the CUDA context
    assert memory.slots_that_fit(QWEN_32B, 160, torch.bfloat16, CUDA) == 256


@dataclass
class Card:
    """A stand-in for a CUDA device and PyTorch's allocator on it, in bytes. ``elsewhere``: taken by others and the context;
    ``pools``: of recorded graphs, what each has reserved and what of it holds tensors, in the sums too."""

    total: int
    elsewhere: int = 0
    allocated: int = 0
    reserved: int = 0
    share: float = 1.0
    pools: Sequence[tuple[int, int]] = ()

    def stands_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the engine asks of ``torch.cuda`` is answered from here."""
        unused = self.total - self.elsewhere - self.reserved
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (unused, self.total))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _device: self.reserved)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _device: self.allocated)
        own = {"device": 0, "segment_pool_id": (0, 0), "total_size": self.reserved, "allocated_size": self.allocated}
        of_graphs = [own | {"segment_pool_id": (0, 1), "total_size": one, "allocated_size": held} for one, held in self.pools]
        monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: [own, *of_graphs, own | {"device": 1}])
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: self.share)
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: setattr(self, "share", share))


def test_what_the_allocator_keeps_in_reserve_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same card after other work: the slots of a resume are those of the first run."""
    weights = weight_bytes(QWEN_32B, 2)
    found = set()
    for cached in range(0, 16 * 2**30, 2**30):
        Card(A100_80GB, 2 * 2**30, weights, weights + cached).stands_in(monkeypatch)
        found.add(memory.slots_that_fit(QWEN_32B, 160, torch.bfloat16, CUDA))
    assert found == {256}


def test_the_pool_of_a_recorded_graph_is_not_free_until_the_graph_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slots of a resume are those of the first run, whatever was recorded since."""
    weights = weight_bytes(QWEN_32B, 2)
    Card(A100_80GB, 2 * 2**30, weights, weights).stands_in(monkeypatch)
    before, slots = memory.free_bytes(CUDA), memory.slots_that_fit(QWEN_32B, 160, torch.bfloat16, CUDA)
    assert memory.recorded_bytes(CUDA) == 0
    for of_graphs in (2, 5):
        pools = [(of_graphs * 2**30, 2**28)]
        Card(A100_80GB, 2 * 2**30, weights + 2**28, weights + 6 * 2**30, pools=pools).stands_in(monkeypatch)
        assert memory.free_bytes(CUDA) == before - of_graphs * 2**30
        assert memory.recorded_bytes(CUDA) == of_graphs * 2**30
        assert memory.slots_that_fit(QWEN_32B, 160, torch.bfloat16, CUDA, kept=memory.recorded_bytes(CUDA)) == slots


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_fraction_of_a_card_takes_its_share_and_no_more(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(A100_80GB, 2**30, 15 * 2**30, 17 * 2**30)
    card.stands_in(monkeypatch)
    whole = memory.free_bytes(CUDA)
    assert whole == A100_80GB - 16 * 2**30
    memory.take_share(share)
    assert memory.free_bytes(CUDA) == int(share * A100_80GB) - 15 * 2**30
    card.elsewhere = A100_80GB - card.reserved  # the others took more than theirs
    card.stands_in(monkeypatch)
    assert memory.free_bytes(CUDA) == card.reserved - card.allocated


def test_slots_prefill_and_shared_prefixes_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is planned with stays below what is free, whatever the card and the length."""
    for free in (2**30, 4 * 2**30, 13 * 2**30, 60 * 2**30):
        for capacity in (96, 160, 512, 2048):
            Card(A100_80GB, A100_80GB - free).stands_in(monkeypatch)
            slots = memory.slots_that_fit(QWEN_32B, capacity, torch.bfloat16, CUDA)
            assert slots in (16, 32, 64, 128, 256, 512)
            prefill = memory.prefill_bytes(QWEN_32B, capacity, 2)
            taken = slots * memory.slot_bytes(QWEN_32B, capacity, 2) + prefill + memory.SHARED_PREFIX_SHARE * free
            assert taken <= memory.CUDA_SHARE * free or slots == 16


def test_the_ladder() -> None:
    assert [memory.rung_up(rows) for rows in (1, 16, 17, 25, 33, 300, 1000)] == [16, 16, 32, 32, 64, 512, 1024]
    assert [memory.rung_down(slots) for slots in (-400, 0, 31, 32, 224, 272, 320, 352)] == [16, 16, 16, 32, 128, 256, 256, 256]


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries cannot be told to")
def test_freed_memory_is_kept_until_it_is_returned() -> None:
    """In a process of its own: many small blocks below one that stays, as after a model was dropped."""
    program = """
import ctypes, psutil
from actors.engine.memory import keep_freed_memory, return_freed_memory
assert keep_freed_memory()
held = lambda: psutil.Process().memory_info().rss
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
blocks = [libc.malloc(ctypes.c_size_t(2**20)) for _ in range(200)]
for block in blocks:
    ctypes.memset(block, 1, 2**20)
full = held()
for block in blocks[:-1]:
    libc.free(ctypes.c_void_p(block))
kept = held()
return_freed_memory()
print((full - kept) >> 20, (full - held()) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    after_free, after_return = map(int, done.stdout.split())
    assert after_free < 20
    assert after_return > 150


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3", "gpt2"])
def test_slot_bytes_cover_what_a_slot_allocates(family: str) -> None:
    config, slots, capacity = CONFIGS[family], 16, 96
    model = tiny_model(family)
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    cache = SlotCache(text.num_hidden_layers, slots, capacity)
    one = torch.zeros(slots, heads, 1, width)
    step = cache.at(slice(0, slots), torch.zeros(slots, dtype=torch.long))
    for layer in range(text.num_hidden_layers):
        step.update(one, one, layer)
    allocated = sum(tensor.nbytes for kept in cache._store if kept is not None for tensor in kept)
    stated = memory.slot_bytes(model.config, capacity, 4) * slots
    assert allocated <= stated <= 3 * allocated


def test_there_is_always_one_step_of_slots_and_never_more_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 0)
    assert memory.slots_that_fit(CONFIGS["llama"], 96, torch.float32, cpu) == memory.SLOT_STEP
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 2**50)
    assert memory.slots_that_fit(CONFIGS["llama"], 96, torch.float32, cpu) == memory.MAX_SLOTS["cpu"]
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 40 * 2**20)
    middle = memory.slots_that_fit(CONFIGS["llama"], 96, torch.float32, cpu)
    assert middle % memory.SLOT_STEP == 0
    assert memory.free_bytes(cpu) > 0


def test_measured_memory_is_plausible() -> None:
    assert memory.free_bytes(torch.device("cpu")) > 2**20
    assert memory.peak_bytes(torch.device("cpu")) > 50 * 2**20
