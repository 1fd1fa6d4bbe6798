"""Keys and values: of one prompt segment while it runs, and of every slot while it decodes.

Both are ``Cache`` subclasses handed to unchanged Hugging Face modules, so every family and quantization works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

KeyValue = tuple[Tensor, Tensor]
"""Keys and values of one block, each ``[rows, key-value heads, tokens, head width]``."""


class SegmentCache(Cache):
    """Collects the keys and values of one forward; blocks attend to ``past`` followed by the segment itself."""

    def __init__(self, n_layers: int, past: Sequence[KeyValue | None] | None = None) -> None:
        super().__init__(layers=[])
        self.past = past
        self.new: list[KeyValue | None] = [None] * n_layers

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> KeyValue:
        """Record the segment's keys and values of a block and return what the block attends to."""
        self.new[layer_idx] = (key_states, value_states)
        past = self.past[layer_idx] if self.past is not None else None
        if past is None:
            return key_states, value_states
        return torch.cat([past[0], key_states], dim=2), torch.cat([past[1], value_states], dim=2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens already cached before this forward."""
        past = self.past[layer_idx] if self.past is not None else None
        return 0 if past is None else past[0].shape[2]


class SlotCache(Cache):
    """Preallocated keys and values of ``slots`` rows of at most ``capacity`` tokens, each row at its own position.

    One spare position per row takes the writes of padding, so that a write needs no branch.
    """

    def __init__(self, n_layers: int, slots: int, capacity: int) -> None:
        super().__init__(layers=[])
        self.slots, self.capacity = slots, capacity
        self._store: list[KeyValue | None] = [None] * n_layers
        self._batch, self._reach = 0, capacity
        self._positions = torch.empty(0, dtype=torch.long)
        self._places: dict[int, Tensor] = {}

    def write(self, layer: int, slots: Tensor, positions: Tensor, new: KeyValue) -> None:
        """Store a segment ``new`` ``[R, K, T, e]`` into ``slots`` ``[R]`` at ``positions`` ``[R, T]`` (``capacity``: discard)."""
        for kept, fresh in zip(self._of(layer, new), new, strict=True):
            kept[slots[:, None], :, positions] = fresh.transpose(1, 2)

    def at(self, positions: Tensor, reach: int | None = None) -> SlotCache:
        """Aim the next forward: row r of the batch is slot r, and writes at ``positions[r]``; values end at ``reach``."""
        self._batch, self._positions = len(positions), positions
        self._reach = self.capacity if reach is None else reach
        self._places.clear()
        return self

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> KeyValue:
        """Write one token per row in place and return views of the first B slots: ``[B, K, capacity, e]``, ``[B, K, reach, e]``.

        Keys are not cut: MKL multiplies the whole, nearly contiguous view faster than a part of it.
        """
        kept_keys, kept_values = self._of(layer_idx, (key_states, value_states))
        places = self._places_of(kept_keys.shape[1])
        for kept, new in ((kept_keys, key_states), (kept_values, value_states)):
            kept.view(-1, kept.shape[-1]).index_copy_(0, places, new.reshape(-1, new.shape[-1]))
        return kept_keys[: self._batch, :, : self.capacity], kept_values[: self._batch, :, : self._reach]

    def sample(self) -> Tensor:
        """One block's values, for their dtype and device; an empty tensor before anything was written."""
        first = next((kept for kept in self._store if kept is not None), None)
        return torch.empty(0) if first is None else first[1]

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy whole slots ``source`` ``[n]`` to ``target`` ``[n]``."""
        for kept in self._store:
            if kept is not None:
                for tensor in kept:
                    tensor[target] = tensor[source]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are explicit; models ask only when they are not given."""
        return 0

    def _places_of(self, heads: int) -> Tensor:
        """Where the tokens of all rows and ``heads`` key-value heads go, as rows of the flattened store ``[B * heads]``."""
        if heads not in self._places:
            first = torch.arange(self._batch * heads, device=self._positions.device) * (self.capacity + 1)
            self._places[heads] = first + self._positions.repeat_interleave(heads)
        return self._places[heads]

    def _of(self, layer: int, like: KeyValue) -> KeyValue:
        kept = self._store[layer]
        if kept is None:
            # Zeros, not garbage: a masked key has weight 0, and 0 times NaN would still be NaN.
            kept = (_zeros(like[0], self.slots, self.capacity), _zeros(like[1], self.slots, self.capacity))
            self._store[layer] = kept
        return kept


def _zeros(like: Tensor, slots: int, capacity: int) -> Tensor:
    _, heads, _, width = like.shape
    return torch.zeros(slots, heads, capacity + 1, width, dtype=like.dtype, device=like.device)
