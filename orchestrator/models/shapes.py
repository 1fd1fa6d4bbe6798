"""A decoder's sizes from its transformers config: what planning needs to know of a model, without torch or weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.catalogue import family_of
from orchestrator.errors import InputError

Config = Mapping[str, object]

MAX_LAYERS = 10_000
MAX_SIZE = 10**9
"""Beyond any model; a size that a stranger wrote must not fill the memory."""

_KEYS = {
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers"),
    "d_model": ("hidden_size", "n_embd", "d_model"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocab_size": ("vocab_size",),
}
_D_FF = ("intermediate_size", "n_inner", "ffn_dim")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder: ``n_layers`` blocks, residual width ``d_model``, feed-forward width ``d_ff``.

    ``model_type`` is transformers' name of the architecture, ``family`` the sweep's (qwen, gemma, ...). ``parameters`` counts all
    weights, of which ``embedding_parameters`` (input and, if not tied, output embedding) are never quantized.
    ``active_parameters`` work on one token (0: all of them; fewer in a mixture of experts); ``cache_layers`` keep keys and values
    (0: all of them; fewer where some blocks have linear attention).
    """

    n_layers: int
    d_model: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_ff: int
    vocab_size: int
    model_type: str
    family: str
    parameters: int
    embedding_parameters: int = 0
    active_parameters: int = 0
    cache_layers: int = 0

    @property
    def working(self) -> int:
        """Parameters that work on one token."""
        return self.active_parameters or self.parameters

    @property
    def caching(self) -> int:
        """Blocks that keep keys and values."""
        return self.cache_layers or self.n_layers


def shape_from_config(config: Config, family: str | None = None) -> ModelShape:
    """The shape that a transformers config describes (``text_config`` inside a multimodal one). Raises :class:`InputError`."""
    nested = config.get("text_config")
    text = {**config, **nested} if isinstance(nested, dict) else config
    sizes = {name: _size(text, keys) for name, keys in _KEYS.items()}
    if sizes["n_layers"] > MAX_LAYERS:
        raise InputError.because("the model's config has too many layers", value=sizes["n_layers"], allowed=f"1..{MAX_LAYERS}")
    model_type = str(text.get("model_type", "unknown"))
    listed = family_of(model_type)
    d_model, n_heads, n_layers = sizes["d_model"], sizes["n_heads"], sizes["n_layers"]
    n_kv_heads = _size(text, ("num_key_value_heads",), n_heads)
    head_dim = _size(text, ("head_dim",), max(1, d_model // n_heads))
    tied = bool(text.get("tie_word_embeddings", listed.tied))
    embedding = sizes["vocab_size"] * d_model * (1 if tied else 2)
    queries = n_heads * (2 if listed.hybrid else 1)
    attention = d_model * head_dim * (queries + n_heads + 2 * n_kv_heads)
    full = _full_attention_layers(text, listed.hybrid, n_layers)
    mixing = full * attention + (n_layers - full) * (_delta_net(text, d_model) if full < n_layers else 0)
    held, working = _feed_forward(text, sizes, listed.gated)
    rest = embedding + mixing + n_layers * 2 * d_model + d_model
    return ModelShape(
        **sizes,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        d_ff=_size(text, _D_FF, 4 * d_model),
        model_type=model_type,
        family=family or listed.called or model_type,
        parameters=rest + held,
        embedding_parameters=embedding,
        active_parameters=0 if working == held else rest + working,
        cache_layers=0 if full == n_layers else full,
    )


def _full_attention_layers(config: Config, hybrid: bool, n_layers: int) -> int:
    """How many blocks keep keys and values: all but those of linear attention."""
    kinds = config.get("layer_types")
    if isinstance(kinds, Sequence) and not isinstance(kinds, str) and len(kinds) == n_layers:
        return sum(kind != "linear_attention" for kind in kinds)
    return n_layers // _size(config, ("full_attention_interval",), 4) if hybrid else n_layers


def _delta_net(config: Config, d_model: int) -> int:
    """Parameters of a gated delta net: projections of queries, keys, values and their gate, two scalars per value head, a
    convolution, and the way back."""
    values = _size(config, ("linear_num_value_heads",), 32)
    d_key = _size(config, ("linear_num_key_heads",), 16) * _size(config, ("linear_key_head_dim",), 128)
    d_value = values * _size(config, ("linear_value_head_dim",), 128)
    mixed = 2 * d_key + d_value
    return d_model * (mixed + 2 * d_value + 2 * values) + mixed * _size(config, ("linear_conv_kernel_dim",), 4)


def _feed_forward(config: Config, sizes: Mapping[str, int], gated: bool) -> tuple[int, int]:
    """(parameters of all feed-forward blocks, those of them that work on one token)."""
    d_model, n_layers = sizes["d_model"], sizes["n_layers"]
    d_ff = _size(config, _D_FF, 4 * d_model)
    dense = (3 if gated else 2) * d_model * d_ff
    experts = next((config[key] for key in _EXPERTS if config.get(key)), None)
    if not isinstance(experts, int) or isinstance(experts, bool):
        return n_layers * dense, n_layers * dense
    one = 3 * d_model * _size(config, ("moe_intermediate_size",), d_ff)
    always = experts * d_model + _shared_expert(config, d_model, one)  # the router, and what every token passes
    chosen = _size(config, ("num_experts_per_tok",), 2)
    n_dense = _dense_layers(config, n_layers)
    sparse = n_layers - n_dense
    return n_dense * dense + sparse * (experts * one + always), n_dense * dense + sparse * (chosen * one + always)


def _shared_expert(config: Config, d_model: int, one: int) -> int:
    if config.get("shared_expert_intermediate_size"):
        return 3 * d_model * _size(config, ("shared_expert_intermediate_size",)) + d_model
    return one * _size(config, ("n_shared_experts",)) if config.get("n_shared_experts") else 0


def _dense_layers(config: Config, n_layers: int) -> int:
    """Blocks of a mixture of experts that are dense after all."""
    if config.get("first_k_dense_replace"):
        return min(n_layers, _size(config, ("first_k_dense_replace",)))
    listed = config.get("mlp_only_layers")
    only = {layer for layer in listed if isinstance(layer, int)} if isinstance(listed, Sequence) else set()
    step = _size(config, ("decoder_sparse_step",), 1)
    return sum(layer in only or (layer + 1) % step != 0 for layer in range(n_layers))


def _size(config: Config, keys: tuple[str, ...], default: int | None = None) -> int:
    value = next((config[key] for key in keys if config.get(key) is not None), default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SIZE:
        allowed = f"a whole number from 1 to {MAX_SIZE}"
        raise InputError.because(f"the model's config gives no usable {keys[0]}", value=value, allowed=allowed)
    return value
