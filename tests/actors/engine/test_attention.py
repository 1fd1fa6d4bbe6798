"""The engine's attention: the right numbers, and the same bits whatever shares the batch or follows in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actors.engine import attention
from actors.engine.attention import attention_keeps_bits, slot_attention, slot_attention_in
from actors.engine.cache import SlotCache
from actors.engine.engine import batch_dependence
from actors.engine.packing import Packing
from tests.threads import on_threads
from tests.tiny import tiny_model

MODULE = nn.Identity()


@pytest.fixture
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    yield from on_threads(request.param)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """The engine's attention, output only."""
    return slot_attention(MODULE, query, key, value, mask, **options)[0]


def decoding(rows: int, heads: tuple[int, int], capacity: int, width: int = 16, seed: int = 0) -> tuple[Tensor, ...]:
    """Query, views of a slot store with a spare position, and a mask that hides what a row has not reached."""
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(rows, heads[0], 1, width, generator=generator)
    key, value = (torch.randn(rows, heads[1], capacity + 1, width, generator=generator)[:, :, :capacity] for _ in range(2))
    reached = torch.randint(3, capacity, (rows,), generator=generator)
    mask = torch.zeros(rows, 1, 1, capacity).masked_fill(torch.arange(capacity) > reached[:, None, None, None], -torch.inf)
    return query, key, value, mask


@pytest.mark.parametrize("heads", [(4, 4), (6, 2), (9, 3), (24, 2)])
def test_decoding_equals_float64_attention(heads: tuple[int, int]) -> None:
    query, key, value, mask = decoding(7, heads, 40)
    groups = heads[0] // heads[1]
    keys, values = (tensor.double().repeat_interleave(groups, dim=1) for tensor in (key, value))
    scores = query.double() @ keys.transpose(-1, -2) * 16**-0.5 + mask.double()
    exact = (torch.softmax(scores, dim=-1) @ values).transpose(1, 2)
    assert torch.allclose(attend(query, key, value, mask).double(), exact, atol=1e-5)


@pytest.mark.parametrize(
    ("heads", "width", "capacity"), [((6, 2), 20, 60), ((9, 3), 64, 256), ((24, 2), 128, 100), ((9, 3), 16, 300)]
)
@pytest.mark.parametrize("n_threads", [1, 3], indirect=True)
@pytest.mark.usefixtures("n_threads")
def test_a_token_has_its_bits_alone_and_however_far_values_are_read(heads: tuple[int, int], width: int, capacity: int) -> None:
    query, key, value, mask = decoding(33, heads, capacity, width)
    among = attend(query, key, value, mask)
    for row in range(0, 33, 8):
        own = slice(row, row + 1)
        needed = int((mask[row] == 0).sum())
        for reach in {min(capacity, -(-needed // 16) * 16), capacity}:
            alone = attend(query[own], key[own], value[own, :, :reach], mask[own, ..., :reach])
            assert torch.equal(alone, among[own])


@pytest.mark.parametrize("softcap", [None, 50.0])
@pytest.mark.parametrize("bias", [0.0, 10.0, 80.0])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_large_scores_lose_no_more_than_in_pytorchs_own_attention(dtype: torch.dtype, bias: float, softcap: float | None) -> None:
    """Biases on queries and keys, as Qwen2's: at 80 the products are about 1e5, past what float16 holds."""
    query, key, value, mask = decoding(16, (8, 2), 64)
    query, key, value = (query + bias).to(dtype), (key + bias).to(dtype), value.to(dtype)
    scores = query.double() @ key.double().repeat_interleave(4, dim=1).transpose(-1, -2) * 16**-0.5
    scores = scores if softcap is None else torch.tanh(scores / softcap) * softcap
    exact = torch.softmax(scores + mask.double(), dim=-1) @ value.double().repeat_interleave(4, dim=1)
    pytorchs = nn.functional.scaled_dot_product_attention(query, key, value, mask.to(dtype), enable_gqa=True).double()
    plain = nn.functional.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), mask.double(), enable_gqa=True
    )
    rounding = float((pytorchs - plain).norm() / plain.norm())
    ours = attend(query, key, value, mask, softcap=softcap).transpose(1, 2).double()
    assert float((ours - exact).norm() / exact.norm()) <= (2 * rounding if softcap is None else torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_qwen2_with_large_biases_stays_as_near_to_float32_as_with_pytorchs_attention(dtype: torch.dtype) -> None:
    model = tiny_model("qwen2")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("q_proj.bias", "k_proj.bias")):
                parameter.fill_(30.0)
    tokens = torch.randint(6, 200, (1, 40), generator=torch.Generator().manual_seed(1))
    mask = torch.full((40, 40), -torch.inf).triu(1)[None, None]

    def log_probabilities(attention: AbstractContextManager[None], masks: Any) -> Tensor:
        with torch.no_grad(), attention:
            logits: Tensor = model(input_ids=tokens, attention_mask=masks, use_cache=False).logits
            return logits.double().log_softmax(-1)

    exact = log_probabilities(nullcontext(), None)
    model.to(dtype)
    pytorchs = log_probabilities(nullcontext(), None)
    ours = log_probabilities(slot_attention_in(model), {"full_attention": mask})
    divergence = [float((exact.exp() * (exact - one)).sum(-1).mean()) for one in (ours, pytorchs)]
    assert divergence[0] <= 2 * divergence[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("heads", [(4, 4), (9, 3), (24, 2)])
def test_a_rows_bits_depend_on_the_row_alone(heads: tuple[int, int], dtype: torch.dtype) -> None:
    query, key, value, mask = decoding(33, heads, 64)
    query, key, value = (tensor.to(dtype) for tensor in (query, key, value))
    whole = attend(query, key, value, mask)
    for rows in (1, 2, 5, 16, 32):
        for start in (0, 1):
            part = slice(start, start + rows)
            assert torch.equal(attend(query[part], key[part], value[part], mask[part]), whole[part]), (rows, start)
    order = torch.randperm(33, generator=torch.Generator().manual_seed(1))
    assert torch.equal(attend(query[order], key[order], value[order], mask[order]), whole[order])


@pytest.mark.parametrize("tokens", [2, 6, 8, 16, 40])
@pytest.mark.parametrize(("heads", "width"), [((4, 4), 16), ((4, 2), 16), ((9, 3), 64), ((24, 2), 16)])
def test_a_prompts_bits_depend_on_the_row_alone(heads: tuple[int, int], width: int, tokens: int) -> None:
    """A block gives states token by token, so that a head's are spread over memory."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(7, tokens, number, width, generator=generator).transpose(1, 2) for number in (heads[0], heads[1], heads[1])
    )
    mask = torch.full((tokens, tokens), -torch.inf).triu(1).expand(7, 1, tokens, tokens)
    whole = attend(query, key, value, mask)
    for rows in (1, 2, 5):
        for part in (slice(0, rows), slice(1, 1 + rows)):
            assert torch.equal(attend(query[part], key[part], value[part], mask[part]), whole[part]), (rows, part)
    reference = nn.functional.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), mask.double(), enable_gqa=True
    )
    torch.testing.assert_close(whole.double(), reference.transpose(1, 2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("heads", "groups", "width"), [(4, 2, 16), (9, 3, 64), (14, 2, 64), (12, 12, 64), (8, 1, 256)])
def test_a_prompts_bits_are_measured_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, heads: int, groups: int, width: int
) -> None:
    assert attention_keeps_bits(heads, groups, width)
    own = attention._weighted_values

    def of_their_number(weights: Tensor, value: Tensor) -> Tensor:
        return own(weights, value) * (1 + 1e-6 * len(value))

    monkeypatch.setattr(attention, "_weighted_values", of_their_number)
    assert not attention_keeps_bits(heads, groups, width)
    assert "attention depends on the number of rows" in str(batch_dependence(tiny_model("llama"), Packing(reason="none")))


def test_hidden_keys_change_no_bit() -> None:
    query, key, value, mask = decoding(9, (9, 3), 64)
    before = attend(query, key, value, mask)
    hidden = torch.isinf(mask[:, 0, 0])[:, None, :, None]
    noise = torch.randn(key.shape, generator=torch.Generator().manual_seed(5)) * 100
    assert torch.equal(attend(query, torch.where(hidden, noise, key), torch.where(hidden, noise, value), mask), before)


def test_softcap_and_sinks_are_honoured() -> None:
    query, key, value, mask = decoding(3, (4, 2), 32)
    plain, capped = attend(query, key, value, mask), attend(query, key, value, mask, softcap=0.5)
    assert not torch.allclose(plain, capped)
    sinks = torch.tensor([-2.0, 0.5, 3.0, 0.0])
    keys, values = (one.repeat_interleave(2, dim=1) for one in (key, value))
    scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5 + mask
    column = sinks.view(1, 4, 1, 1).expand(len(query), -1, 1, 1)  # as gpt-oss's own eager attention: a column without a value
    weights = torch.softmax(torch.cat([scores, column], dim=-1), dim=-1)[..., :-1]
    expected = (weights @ values).transpose(1, 2)
    torch.testing.assert_close(attend(query, key, value, mask, s_aux=sinks), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("heads", [(4, 2), (6, 3)])
def test_a_row_with_sinks_has_its_bits_among_any_number_of_others(heads: tuple[int, int]) -> None:
    """A row has as many shares as heads, which fill no register."""
    query, key, value, mask = decoding(260, heads, 40)
    sinks = torch.randn(heads[0], generator=torch.Generator().manual_seed(1))
    together = attend(query, key, value, mask, s_aux=sinks)
    for row in range(260):
        one = slice(row, row + 1)
        assert torch.equal(attend(query[one], key[one], value[one], mask[one], s_aux=sinks), together[one])


def test_the_cache_keeps_each_row_at_its_own_position() -> None:
    cache = SlotCache(n_layers=1, slots=5, capacity=8)
    expected = torch.zeros(5, 2, 8, 4)
    for step in range(6):
        positions = torch.tensor([0, 3, 7, 2, 8])[:4] + torch.tensor([step, 0, 0, step])
        positions = positions.clamp(max=8)
        new = torch.randn(4, 2, 1, 4, generator=torch.Generator().manual_seed(step))
        keys, values = cache.at(slice(0, len(positions)), positions).update(new, new + 1, 0)
        for row, position in enumerate(positions.tolist()):
            if position < 8:
                expected[row, :, position] = new[row, :, 0]
        assert torch.equal(keys, expected[:4])
        assert torch.equal(values, torch.where(expected[:4] == 0, 0.0, expected[:4] + 1))


@pytest.mark.parametrize("heads", [(4, 4), (9, 3), (24, 3)])
def test_values_may_end_at_the_furthest_row(heads: tuple[int, int]) -> None:
    """Leaving out what no row has reached changes no bit, in steps of sixteen tokens."""
    query, key, value, mask = decoding(12, heads, 128)
    hidden = torch.arange(128) > 29
    mask = mask.masked_fill(hidden, -torch.inf)
    whole = attend(query, key, value, mask)
    for reach in range(32, 128, 16):
        assert torch.equal(attend(query, key, value[:, :, :reach], mask[..., :reach]), whole), reach
