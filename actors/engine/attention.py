"""Grouped-query attention whose result for a row depends on nothing but that row.

PyTorch's fused CPU kernel splits work by batch and cache length, so a row's bits change with its neighbours, but in the one case
that :func:`_fuses` lets through. Plain batched matrix products do not: trailing masked keys add exact zeros and each row's
product is computed alone (checked by ``tests/actors/engine/test_attention.py``). Keys and values are never expanded to the query
heads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from actors.engine.cache import KeyValue
from actors.engine.elementwise import Elementwise
from actors.errors import UnsupportedModelError
from actors.families import Decoder

NAME = "slot_attention"
MOST_KEYS_FUSED = 256
"""Keys up to which one token's attention is a single kernel: of more the sum over values is made in blocks that depend on their
number."""
MOST_QUERIES_BY_TABLE = 8
"""Queries per key-value head up to which values are summed as table rows."""
PROBE_ROWS, PROBE_TOKENS = 7, (2, 6, 8, 24, 40)
"""Rows among which, and lengths at which, a row's attention is looked at."""
_SIGMOID = Elementwise(torch.sigmoid)


class _Cut(threading.local):
    """``first``: tokens of the first of two pieces in the forward at hand (0: one piece), of which ``padding`` are none;
    ``kept``: the keys and values that its cache has been given so far."""

    first = padding = 0
    kept: Sequence[KeyValue | None] = ()


_CUT = _Cut()


@contextmanager
def in_two_pieces(first: int, padding: int, kept: Sequence[KeyValue | None]) -> Iterator[None]:
    """In the ``with`` block the first ``first`` tokens of each row, ``padding`` of them padding, attend to themselves alone, and
    the others to all but the padding: number by number what two forwards compute, the second of which has the first one's keys
    and values for its past. 0: one piece, as usual. ``kept``: what the forward's cache holds of each block, as it fills."""
    _CUT.first, _CUT.padding, _CUT.kept = first, padding, kept
    try:
        yield
    finally:
        _CUT.first, _CUT.padding, _CUT.kept = 0, 0, ()


def slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """:func:`_attention`, in two pieces where :func:`in_two_pieces` says so."""
    first, padding = _CUT.first, _CUT.padding
    if not first:
        return _attention(query, key, value, attention_mask, scaling, **options), None
    before = _attention(
        query[:, :, :first], key[:, :, :first], value[:, :, :first], attention_mask[:, :, :first, :first], scaling, **options
    )
    keys, values = key[:, :, padding:].contiguous(), _after_the_past(value)[:, :, padding:]
    after = _attention(query[:, :, first:], keys, values, attention_mask[:, :, first:, padding:], scaling, **options)
    return torch.cat([before, after], dim=1), None


def _after_the_past(value: Tensor) -> Tensor:
    """``value`` laid out in memory as in a forward that has a past, which decides how it is summed: what a cache keeps was joined
    to the past there; a block that makes its values of something else (latent attention) lays them out alike in any forward."""
    kept = any(pair is not None and pair[1] is value for pair in _CUT.kept)
    return value.clone(memory_format=torch.contiguous_format) if kept else value


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float | None = None, **options: Any
) -> Tensor:
    """Attention of ``query`` ``[B, H, T, e]`` over ``key``, ``value`` ``[B, K, S, e]``, additive float mask ``[B, 1, T, S]``.

    Returns ``[B, T, H, e]``. A mask and values that end before the keys do cut the keys short (see :func:`sums_by_table`).
    Scores, their products included, and softmax are float32 (see :func:`_float32_products`). ``softcap`` (Gemma 2) is honoured,
    and so are sinks (``s_aux`` ``[H]``, gpt-oss): one more score per head that takes its share of the weights and no value. A
    mask may also have a row per head.
    """
    batch, heads, length, width = query.shape
    groups = key.shape[1]
    grouped = query.reshape(batch, groups, heads // groups * length, width)
    if length == 1 and _fuses((query, key, value), attention_mask, options):
        reach = attention_mask.shape[-1]
        mask = attention_mask.expand(-1, -1, heads // groups, -1)
        with _one_thread():
            mixed = nn.functional.scaled_dot_product_attention(grouped, key[:, :, :reach], value, attn_mask=mask, scale=scaling)
        return mixed.view(batch, 1, heads, -1)
    scores = _float32_products(grouped, key)[..., : attention_mask.shape[-1]]
    scores = scores * (scaling if scaling is not None else width**-0.5)
    softcap = options.get("softcap")
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    of_head = attention_mask.shape[1] > 1
    mask = (
        attention_mask.reshape(len(attention_mask), groups, -1, *attention_mask.shape[2:])
        if of_head
        else attention_mask.unsqueeze(2)
    )
    scores = scores.view(batch, groups, heads // groups, length, -1) + mask
    weights = torch.softmax(scores, dim=-1)
    sinks = options.get("s_aux")
    if sinks is not None:
        # A column more would change the order in which the softmax adds its terms; their share left is the same number.
        sink = sinks.float().view(groups, heads // groups, 1, 1)
        weights = weights * _SIGMOID(torch.logsumexp(scores, dim=-1, keepdim=True) - sink)
    weights = weights.to(value.dtype).view(batch, groups, heads // groups * length, -1)
    mixed = _weighted_values(weights, value).view(batch, heads, length, -1)
    return mixed.transpose(1, 2).contiguous()


def _fuses(states: tuple[Tensor, Tensor, Tensor], mask: Tensor, options: Mapping[str, Any]) -> bool:
    """Whether the attention of one token a row may be PyTorch's fused kernel for the CPU, a single call in place of a dozen.

    That takes the queries that share keys for a text of their own. On one thread its bits depend on nothing else, and up to
    ``MOST_KEYS_FUSED`` keys not on how many masked ones come behind a row's own; there are as many keys as the cache's capacity,
    which follows from the row alone.
    """
    query, key, value = states
    plain = options.get("softcap") is None and options.get("s_aux") is None and mask.shape[1] == 1
    alike = query.dtype == torch.float32 and query.device.type == "cpu" and value.shape[-1] == key.shape[-1]
    return plain and alike and query.shape[1] > key.shape[1] and key.shape[2] <= MOST_KEYS_FUSED


@contextmanager
def _one_thread() -> Iterator[None]:
    """In the ``with`` block PyTorch uses no thread but this one: each thread of the fused kernel has memory of its own, whose
    alignment decides how some sums are made."""
    before = torch.get_num_threads()
    if before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before > 1:
            torch.set_num_threads(before)


def _float32_products(query: Tensor, key: Tensor) -> Tensor:
    """``query`` ``[B, K, G, e]`` times ``key`` ``[B, K, S, e]`` as float32 ``[B, K, G, S]``, whatever the dtype of both.

    Keys with large biases (Qwen2) give scores of hundreds that differ by little: rounded to bfloat16 the answer is lost, and
    float16 overflows. Products of 16-bit numbers are exact in float32, so nothing but the sum is rounded, as in PyTorch's own
    attention.
    """
    if query.dtype == torch.float32 or not query.is_cuda:
        return torch.matmul(query.float(), _by_head(key.float()).transpose(-1, -2))
    flat_query, flat_key = query.flatten(0, 1), key.flatten(0, 1)
    return torch.bmm(flat_query, flat_key.transpose(-1, -2), out_dtype=torch.float32).view(*query.shape[:3], -1)


def _weighted_values(weights: Tensor, value: Tensor) -> Tensor:
    """``weights`` ``[B, K, G, S]`` times ``value`` ``[B, K, S, e]``, as a weighted sum of table rows where that is faster."""
    batch, groups, queries, length = weights.shape
    width = value.shape[-1]
    between, of_token, last = value.stride()[1:]
    strided = (of_token, last) != (width, 1) or between % width or value.stride(0) != groups * between
    if strided or not sums_by_table(value, queries):
        return torch.matmul(weights, _by_head(value))
    spacing = between // width
    table = value.as_strided(((batch * groups - 1) * spacing + length, width), (width, 1))
    rows = _table_rows(batch * groups, queries, length, spacing)
    return torch.nn.functional.embedding_bag(rows, table, per_sample_weights=weights.reshape(-1, length), mode="sum")


@torch.inference_mode()
def attention_keeps_bits(heads: int, groups: int, width: int) -> bool:
    """Whether a prompt's attention has the same bits alone and among others on this CPU, for ``heads`` queries of ``width`` over
    ``groups`` of keys and values: measured at some lengths, in float32, with states laid out as blocks give them."""
    generator = torch.Generator().manual_seed(0)
    for tokens in PROBE_TOKENS:
        query, key, value = (
            torch.randn(PROBE_ROWS, tokens, number, width, generator=generator).transpose(1, 2)
            for number in (heads, groups, groups)
        )
        mask = torch.full((tokens, tokens), -torch.inf).triu(1).expand(PROBE_ROWS, 1, tokens, tokens)
        whole = _attention(query, key, value, mask)
        parts = (slice(0, 1), slice(1, 3), slice(0, PROBE_ROWS - 1))
        if not all(torch.equal(_attention(query[part], key[part], value[part], mask[part]), whole[part]) for part in parts):
            return False
    return True


def _by_head(states: Tensor) -> Tensor:
    """``states`` ``[B, K, S, e]`` with the tokens of a head side by side in memory, for any number of rows.

    On some CPUs that decides how a product is summed, and a batched product takes a view of one row as it is where it copies one
    of several rows.
    """
    return states if states.stride()[2:] == (states.shape[-1], 1) else states.contiguous()


def sums_by_table(value: Tensor, queries: int) -> bool:
    """Whether values are summed as table rows for ``queries`` per key-value head: few of them, float32, on a CPU.

    That is twice as fast as MKL's batched product, and adds a row's values alone and in order: those beyond the row's own
    length, which have weight 0, may then be left out without changing a bit.
    """
    return value.dtype == torch.float32 and queries <= MOST_QUERIES_BY_TABLE and value.device.type == "cpu"


@lru_cache(maxsize=8)
def _table_rows(heads: int, queries: int, length: int, spacing: int) -> Tensor:
    """Rows of the table of values that each query sums: ``[heads * queries, length]`` int32."""
    with torch.inference_mode():
        first = torch.arange(heads, dtype=torch.int32).repeat_interleave(queries) * spacing
        return (first[:, None] + torch.arange(length, dtype=torch.int32)).contiguous()


AttentionInterface.register(NAME, slot_attention)


@contextmanager
def slot_attention_in(model: Any) -> Iterator[None]:
    """Make ``model`` attend through :func:`slot_attention` for the duration of the ``with`` block."""
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(NAME)
        if model.config._attn_implementation != NAME:
            raise UnsupportedModelError(f"{type(model).__name__} does not let its attention be replaced")
        yield
    finally:
        model.set_attn_implementation(before)


def masks_for(decoder: Decoder, allowed: Tensor, query_positions: Tensor, key_positions: Tensor) -> Tensor | dict[str, Tensor]:
    """Additive float32 masks in the form that the family's forward takes (one tensor, or one per attention kind).

    ``allowed`` bool ``[B, 1, T, S]``; ``query_positions`` ``[B, T]``; ``key_positions`` ``[B, S]``. Sliding blocks also
    hide keys that lie ``window`` or more tokens back.
    """
    kinds = set(decoder.layer_types)
    masks = {"full_attention": _additive(allowed)} if "full_attention" in kinds or decoder.masks == "by_layer_type" else {}
    if "sliding_attention" in kinds and decoder.window is not None:
        distance = query_positions[:, None, :, None] - key_positions[:, None, None, :]
        masks["sliding_attention"] = _additive(allowed & (distance < decoder.window))
    if decoder.masks == "by_layer_type":
        return masks
    if len(masks) != 1:
        raise UnsupportedModelError("blocks mix attention kinds but the family takes a single mask")
    return next(iter(masks.values()))


def _additive(allowed: Tensor) -> Tensor:
    return torch.zeros(allowed.shape, dtype=torch.float32, device=allowed.device).masked_fill_(~allowed, -torch.inf)
