"""Keys and values: of one prompt segment while it runs, and of every slot while it decodes.

Both are ``Cache`` subclasses handed to unchanged Hugging Face modules, so every family and quantization works.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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


class SlotCache:
    """Preallocated keys and values of ``slots`` rows of at most ``capacity`` tokens, each row at its own position.

    One spare position per row takes the writes of padding, so that a write needs no branch.
    """

    def __init__(self, n_layers: int, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self._store: list[KeyValue | None] = [None] * n_layers
        self._views: dict[tuple[int, int], tuple[tuple[int, int], KeyValue, KeyValue]] = {}

    def write(self, slots: Tensor, positions: Tensor, key_values: Sequence[KeyValue], layers: slice) -> None:
        """Store a segment, ``[R, K, T, e]`` a layer, into ``slots`` ``[R]`` at ``positions`` ``[R, T]`` (``capacity``: none), of
        some ``layers``."""
        places: dict[int, Tensor] = {}
        for layer in range(len(key_values))[layers]:
            new = key_values[layer]
            kept = self.of(layer, new)
            heads = new[0].shape[1]
            if heads not in places:
                of_head = self.first_places(slots, heads)[:, :, None]
                places[heads] = (of_head + positions[:, None, :]).flatten()
            _put(_flat(kept), places[heads], new)

    def at(self, span: slice, positions: Tensor, reach: int | None = None) -> StepCache:
        """For a forward of the slots ``span``, which write at ``positions`` ``[B]``; values end at ``reach``."""
        return StepCache(self, span, positions, self.capacity if reach is None else reach)

    def sample(self) -> Tensor:
        """One block's values, for their dtype and device; an empty tensor before anything was written."""
        return next((values for _, values in self._kept()), torch.empty(0))

    @property
    def paired(self) -> bool:
        """Whether keys and values are of one shape in every block: where they are not (latent attention), what is stored is
        something else, which the block expands to keys and values."""
        return all(keys.shape == values.shape for keys, values in self._kept())

    @property
    def token_bytes(self) -> int:
        """Bytes that a token of a slot takes in all blocks."""
        return sum(one.nbytes for one in self.kept()) // (self.slots * (self.capacity + 1))

    def kept(self) -> Iterator[Tensor]:
        """Keys, then values, of each block that keeps any: ``[slots, K, capacity + 1, e]``."""
        return (one for pair in self._kept() for one in pair)

    def views(self, layer: int, like: KeyValue, span: slice, reach: int) -> tuple[KeyValue, KeyValue]:
        """The keys and values of ``layer``, flattened ``[slots * K * (capacity + 1), e]``, and those of the slots
        ``span`` alone, ``[B, K, capacity, e]`` and ``[B, K, reach, e]``: the same tensors from step to step, as making them takes
        a while."""
        asked, made = (span.stop, reach), self._views.get((layer, span.start))
        if made is None or made[0] != asked:
            keys, values = self.of(layer, like)
            made = asked, _flat((keys, values)), (keys[span, :, : self.capacity], values[span, :, :reach])
            self._views[layer, span.start] = made
        return made[1:]

    def _kept(self) -> Iterator[KeyValue]:
        return (kept for kept in self._store if kept is not None and kept[0].shape[1])

    def move(self, source: Tensor, target: Tensor) -> None:
        """Copy whole slots ``source`` ``[n]`` to ``target`` ``[n]``."""
        for kept in self._store:
            if kept is not None:
                for tensor in kept:
                    tensor[target] = tensor[source]

    def clear(self, slot: int) -> None:
        """Forget what a slot holds."""
        for kept in self._store:
            if kept is not None:
                for tensor in kept:
                    tensor[slot] = 0.0

    def first_places(self, slots: Tensor, heads: int) -> Tensor:
        """Where the first tokens of ``slots`` ``[R]`` lie, ``[R, heads]``, as rows of the flattened store."""
        head = torch.arange(heads, device=slots.device)
        return (slots[:, None] * heads + head) * (self.capacity + 1)

    def of(self, layer: int, like: KeyValue) -> KeyValue:
        """The keys and values of ``layer``, ``[slots, K, capacity + 1, e]``; made on first use with the widths of ``like``."""
        kept = self._store[layer]
        if kept is None:
            # Zeros, not garbage: a masked key has weight 0, and 0 times NaN would still be NaN.
            kept = (_zeros(like[0], self.slots, self.capacity), _zeros(like[1], self.slots, self.capacity))
            self._store[layer] = kept
        return kept


class StepCache(Cache):
    """The slots ``span`` of a :class:`SlotCache` in one forward of one token per row."""

    def __init__(self, slots: SlotCache, span: slice, positions: Tensor, reach: int) -> None:
        super().__init__(layers=[])
        self._slots, self._span, self._positions, self._reach = slots, span, positions, reach
        self._places: dict[int, Tensor] = {}

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> KeyValue:
        """Write one token per row in place and return views of the slots: ``[B, K, capacity, e]``, ``[B, K, reach, e]``.

        Keys are not cut: MKL multiplies the whole, nearly contiguous view faster than a part of it.
        """
        flat, kept = self._slots.views(layer_idx, (key_states, value_states), self._span, self._reach)
        _put(flat, self._places_of(key_states.shape[1]), (key_states, value_states))
        return kept

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions are explicit; models ask only when they are not given."""
        return 0

    def _places_of(self, heads: int) -> Tensor:
        """Where the tokens of all rows and ``heads`` key-value heads go, ``[B * heads]``."""
        if heads not in self._places:
            rows = torch.arange(self._span.start, self._span.stop, device=self._positions.device)
            self._places[heads] = (self._slots.first_places(rows, heads) + self._positions[:, None]).flatten()
        return self._places[heads]


def nothing(rows: int, tokens: int, like: Tensor) -> KeyValue:
    """The keys and values of a block that keeps none and reads another's: of no head."""
    empty = like.new_empty(rows, 0, tokens, 1)
    return empty, empty


def borrows(key_values: Sequence[KeyValue | None]) -> bool:
    """Whether some block keeps no keys and values."""
    return any(kept is not None and not kept[0].shape[1] for kept in key_values)


def stack(parts: Iterable[KeyValue]) -> KeyValue:
    """Keys and values of consecutive rows as one."""
    keys, values = zip(*parts, strict=True)
    return torch.cat(keys), torch.cat(values)


def _flat(kept: KeyValue) -> KeyValue:
    keys, values = kept
    return keys.view(-1, keys.shape[-1]), values.view(-1, values.shape[-1])


def _put(flat: KeyValue, places: Tensor, new: KeyValue) -> None:
    """``new`` ``[R, K, T, e]`` into the rows ``places`` ``[R * K * T]`` of the flattened store."""
    for old, fresh in zip(flat, new, strict=True):
        old.index_copy_(0, places, fresh.reshape(-1, fresh.shape[-1]))


def _zeros(like: Tensor, slots: int, capacity: int) -> Tensor:
    _, heads, _, width = like.shape
    return torch.zeros(slots, heads, capacity + 1, width, dtype=like.dtype, device=like.device)
