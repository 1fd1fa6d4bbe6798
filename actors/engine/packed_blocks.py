"""A block's decoding step in a dozen calls of PyTorch in place of some sixty, where that gives the very bits of the model's own.

The products of queries, keys and values are one, both are turned together, residual sums ride on the products, and nothing
is laid out anew between them. What a block looks like from inside is not known from its name: blocks of the usual parts are tried
with their own weights when a model is loaded, and are left as they are where a single bit differs. Measured for a model of
135 million parameters, 130 rows: decoding takes 0.95 of its time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from actors.engine.attention import MOST_KEYS_FUSED, masks_for, slot_attention, slot_attention_in
from actors.engine.cache import SlotCache, StepCache
from actors.engine.memory import free_bytes
from actors.engine.packing import MEMORY_SHARE, MeasuredShapes, PackedLinear, Packing
from actors.engine.rotary import Rotary
from actors.families import Decoder

PARTS = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
HEAD_NORMS = ("q_norm", "k_norm")
PROBES = ((64, 2), (MOST_KEYS_FUSED + 64, 1))
"""Capacities at which whole models are compared, one for each way in which values are attended to, and tokens read at each."""
PROBE_ROWS, APART = 3, 7
"""Rows of that comparison, and by how many positions each is ahead of the one before."""


class _Turn(threading.local):
    """The angles of the forward at hand, which are the same in every block."""

    told_of: Tensor | None = None
    cos = sin = torch.empty(0)

    def told(self, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 1, e]`` -> ``[B, 1, 1, e]``, the sine with the sign that the first half of a head is turned by."""
        if self.told_of is not sin:
            half = sin.shape[-1] // 2
            signed = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
            self.told_of, self.cos, self.sin = sin, cos.unsqueeze(1), signed.unsqueeze(1)
        return self.cos, self.sin


_TURN = _Turn()


class PackedBlock:
    """The forward of ``block``: one token a row of a batch of slots through the packed products, anything else as it was.
    ``states``: the product that gives queries, keys and values."""

    def __init__(self, block: Any, states: PackedLinear, packing: Packing) -> None:
        attention = block.self_attn
        self._forward: Callable[..., Any] = block.forward
        self._inner = tuple(module for module in block.modules() if module is not block)
        self._first, self._second = (packing.functions[norm] for norm in (block.input_layernorm, block.post_attention_layernorm))
        self._head_norms = [packing.functions[getattr(attention, name)] for name in HEAD_NORMS if hasattr(attention, name)]
        self._states = states
        self._out, self._gate = packing.products[attention.o_proj], packing.gates[block.mlp]
        self._attention, self._layer, self._width = attention, int(attention.layer_idx), int(attention.head_dim)
        self._heads, self._groups = (getattr(attention, name).out_features // self._width for name in PROJECTIONS[:2])

    def __call__(self, hidden_states: Tensor, *args: Any, **options: Any) -> Any:
        """What the block gives, whatever it is called with."""
        cache, turn, mask = (options.get(name) for name in ("past_key_values", "position_embeddings", "attention_mask"))
        plain = not args and isinstance(cache, StepCache) and isinstance(mask, Tensor) and isinstance(turn, tuple)
        if not plain or any(module._forward_hooks or module._forward_pre_hooks for module in self._inner):
            return self._forward(hidden_states, *args, **options)
        return self._step(hidden_states, cache, mask, *turn)  # type: ignore[arg-type, misc] # looked at above

    def _step(self, hidden: Tensor, cache: StepCache, mask: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``hidden`` ``[B, 1, d]``, ``cos`` and ``sin`` ``[B, 1, e]`` -> ``[B, 1, d]``."""
        rows, heads, groups = len(hidden), self._heads, self._groups
        states = self._states(self._first(hidden)).view(rows, heads + 2 * groups, 1, self._width)
        turned, values = torch.split(states, [heads + groups, groups], dim=1)
        if self._head_norms:
            parts = zip(self._head_norms, torch.split(turned, [heads, groups], dim=1), strict=True)
            turned = torch.cat([norm(part) for norm, part in parts], dim=1)
        cos, sin = _TURN.told(cos, sin)
        turned = turned * cos + turned.roll(self._width // 2, dims=-1) * sin
        queries, keys = torch.split(turned, [heads, groups], dim=1)
        kept = cache.update(keys, values, self._layer)
        mixed, _ = slot_attention(self._attention, queries, *kept, mask, self._attention.scaling)
        after = self._out.product(mixed.view(rows, 1, -1), plus=hidden)
        return self._gate(self._second(after), plus=after)


def _joined(layers: list[Any]) -> PackedLinear:
    """Several products of the same inputs as one."""
    biases = [layer.bias for layer in layers]
    return PackedLinear(torch.cat([layer.weight for layer in layers]), None if None in biases else torch.cat(biases))


@torch.inference_mode()
def with_blocks(model: Any, decoder: Decoder, packing: Packing) -> Packing:
    """``packing`` with all blocks of ``model`` that are of the usual parts; as it was where memory is short, where a row's bits
    would depend on how many there are, or where two tokens read by the whole model, with its blocks in one piece and without,
    are not the same to the last bit."""
    usual = [block for block in decoder.blocks if _is_usual(block, packing)]
    more = sum(getattr(block.self_attn, name).weight.nbytes for block in usual for name in PROJECTIONS)
    if not usual or more > free_bytes(torch.device("cpu")) * MEMORY_SHARE:
        return packing
    blocks: dict[nn.Module, Callable[..., Any]] = {}
    shapes = MeasuredShapes()
    for block in usual:
        states = _joined([getattr(block.self_attn, name) for name in PROJECTIONS])
        shapes.settle(states)
        blocks[block] = PackedBlock(block, states, packing)
    whole = replace(packing, blocks=blocks, megabytes=packing.megabytes + more // 2**20)
    return whole if all(shapes.kept.values()) and _same(model, decoder, packing, whole) else packing


def _is_usual(block: Any, packing: Packing) -> bool:
    """Whether ``block`` has the parts that a :class:`PackedBlock` needs, and no others."""
    if {name for name, _ in block.named_children()} != PARTS or block.mlp not in packing.gates:
        return False
    attention = block.self_attn
    named = dict(attention.named_children())
    layers = [named.get(name) for name in (*PROJECTIONS, "o_proj")]
    norms = [named.get(name) for name in HEAD_NORMS if name in named]
    known = set(named) <= {*PROJECTIONS, "o_proj", *HEAD_NORMS} and len(norms) in (0, len(HEAD_NORMS))
    packed = all(isinstance(layer, nn.Linear) and layer in packing.products for layer in layers)
    fused = all(norm in packing.functions for norm in (block.input_layernorm, block.post_attention_layernorm, *norms))
    return known and packed and fused and _is_even(attention)


def _is_even(attention: Any) -> bool:
    """Whether heads have one width, and projections a bias all or none."""
    width = getattr(attention, "head_dim", None)
    known = hasattr(attention, "layer_idx") and hasattr(attention, "scaling")
    layers = [getattr(attention, name) for name in PROJECTIONS]
    if not known or not isinstance(width, int) or len({layer.bias is None for layer in layers}) > 1:
        return False
    return layers[1].out_features == layers[2].out_features and not any(layer.out_features % width for layer in layers)


def _same(model: Any, decoder: Decoder, *packings: Packing) -> bool:
    try:
        states = [[one for probe in PROBES for one in _read(model, decoder, packing, *probe)] for packing in packings]
    except Exception:  # noqa: BLE001 - the model's own blocks are always right, and what they raise is told where they run
        return False
    return all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def _read(model: Any, decoder: Decoder, packing: Packing, capacity: int, tokens: int) -> list[Tensor]:
    """The logits of some tokens read one after the other, and all keys and values that are kept."""
    cache = SlotCache(decoder.n_layers, PROBE_ROWS, capacity)
    keys, span = torch.arange(capacity).expand(PROBE_ROWS, -1), slice(0, PROBE_ROWS)
    logits = []
    with slot_attention_in(model), Rotary.of(model).held(), packing.applied():
        for token in range(tokens):
            positions = torch.arange(PROBE_ROWS) * APART + token
            allowed = keys <= positions[:, None]
            output = model(
                input_ids=torch.arange(1, PROBE_ROWS + 1)[:, None] + token,
                position_ids=positions[:, None],
                attention_mask=masks_for(decoder, allowed[:, None, None], positions[:, None], keys),
                past_key_values=cache.at(span, positions),
                use_cache=True,
                logits_to_keep=1,
            )
            logits.append(output.logits)
    return [*logits, *cache.kept()]
