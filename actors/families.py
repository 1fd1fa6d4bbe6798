"""The decoder blocks and the final norm of a loaded model: where the catalogue says they are, or found by structure.

A model that is not listed works by its structure when that is unambiguous, else it is refused with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from actors.catalogue import Family, MaskForm, family_of
from actors.errors import UnsupportedModelError

_NORM_NAMES = ("norm", "ln_f", "final_layer_norm", "final_layernorm")


@dataclass(frozen=True)
class Decoder:
    """The parts of a loaded model that steering and extraction touch.

    ``blocks``: the ``L`` decoder blocks in order; block ``l``'s output is layer ``l``. ``final_norm`` reads the last
    block's output (None: found when the model is checked). ``reads_last``: what was measured to read it first, and by which
    argument, by its place or its name (None: ``final_norm`` by its first). ``layer_types[l]``: "full_attention",
    "sliding_attention", or another kind of the model's own; ``window``: sliding width in tokens. ``spread``: the blocks lie on
    several devices. ``alone``: why rows share no batch, as it was measured when the model was loaded; empty where they may.
    ``borrows``: some block keeps no keys and values and reads another's.
    """

    blocks: tuple[nn.Module, ...]
    blocks_path: str
    final_norm: nn.Module | None
    masks: MaskForm
    layer_types: tuple[str, ...]
    window: int | None
    spread: bool = False
    alone: str = ""
    borrows: bool = False
    reads_last: tuple[nn.Module, int | str] | None = None

    @property
    def last_reader(self) -> tuple[nn.Module | None, int | str]:
        """The module that reads the last block's output, and by which argument."""
        return self.reads_last or (self.final_norm, 0)

    @property
    def n_layers(self) -> int:
        """Number of blocks ``L``."""
        return len(self.blocks)

    @property
    def runs_alone(self) -> bool:
        """Whether rows share no batch: see :attr:`why_alone`."""
        return bool(self.why_alone)

    @property
    def why_alone(self) -> str:
        """Why rows share no batch, empty where they may: some block keeps more than keys and values (linear attention, ...), the
        blocks lie on several devices, which the batch of slots does not, or a batch was measured to give other answers."""
        if self.spread:
            return "spread over several devices"
        others = sorted(set(self.layer_types) - {"full_attention", "sliding_attention"})
        return f"blocks of kind {', '.join(others)}, which may keep a state of their own" if others else self.alone


def decoder_of(model: nn.Module) -> Decoder:
    """Find the decoder blocks and the final norm of a causal LM; raises ``UnsupportedModelError`` with the reason."""
    config: Any = model.config
    text: Any = config.get_text_config(decoder=True)
    family = family_of(str(config.model_type))
    if not family.blocks:
        family = _by_structure(model, text, family)
    blocks = tuple(_child(model, family.blocks, config))
    if len(blocks) != _depth(text):
        raise UnsupportedModelError(
            f"model_type {config.model_type!r}: {family.blocks} holds {len(blocks)} blocks, the config says {_depth(text)}"
        )
    types, window = _attention_layout(text, len(blocks))
    norm = None if family.final_norm is None else _child(model, family.final_norm, config)
    return Decoder(blocks, family.blocks, norm, family.masks, types, window)


def context_limit(config: Any) -> int | None:
    """Tokens that a model's positions reach, prompt and answer together; None where its config sets no end to them."""
    text: Any = config.get_text_config(decoder=True)
    named = (getattr(text, name, None) for name in ("max_position_embeddings", "n_positions", "max_seq_len"))
    return next((int(limit) for limit in named if isinstance(limit, int) and limit > 0), None)


def _child(model: nn.Module, path: str, config: Any) -> Any:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise UnsupportedModelError(f"model_type {config.model_type!r} has no module {path!r}: {error}") from error


def _depth(text: Any) -> int:
    """Number of decoder blocks. The config of an encoder with a decoder counts both, and ``num_hidden_layers`` is then the
    encoder's."""
    depth = getattr(text, "decoder_layers", None) or getattr(text, "num_hidden_layers", None)
    if not isinstance(depth, int):
        raise UnsupportedModelError(f"model_type {text.model_type!r}: its config does not say how many blocks there are")
    return depth


def _attention_layout(text: Any, n_layers: int) -> tuple[tuple[str, ...], int | None]:
    """Per-block attention kind and window. A config without ``layer_types`` uses its window, if any, in every block."""
    window = getattr(text, "sliding_window", None)
    types = getattr(text, "layer_types", None)
    if types is None:
        types = ["sliding_attention" if window else "full_attention"] * n_layers
    return tuple(types), int(window) if window else None


def _by_structure(model: nn.Module, text: Any, family: Family) -> Family:
    """``family`` with the places that the catalogue does not say: the one ModuleList of as many modules as there are blocks,
    outside a vision tower and outside such blocks themselves, and the norm beside it, if it has a usual name."""
    lists = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == _depth(text) and "vision" not in name
    ]
    lists = [name for name in lists if not any(name.startswith(f"{outer}.") for outer in lists)]  # a norm per head is no block
    kind = model.config.model_type  # type: ignore[union-attr]
    if len(lists) != 1:
        raise UnsupportedModelError(
            f"model_type {kind!r} is not a known family and its structure is ambiguous: "
            f"{len(lists)} lists of {_depth(text)} blocks ({', '.join(lists) or 'none'})"
        )
    parent = lists[0].rpartition(".")[0]
    siblings = dict(model.get_submodule(parent).named_children())
    norm = next((name for name in _NORM_NAMES if name in siblings), None)
    mixed = len(set(getattr(text, "layer_types", None) or ["full_attention"])) > 1
    masks: MaskForm = "by_layer_type" if mixed else "tensor"
    return replace(family, blocks=lists[0], final_norm=norm and f"{parent}.{norm}", masks=masks)
