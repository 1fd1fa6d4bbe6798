"""Prefill with nothing computed twice: template prefixes once per steering, unsteered trunks once per prompt.

A steering whose first edit is at block l's output leaves blocks 0..l as they are, for every cell alike. So each prompt runs once
unsteered (its *trunk*); each steered row starts above block l from the trunk and shares the trunk's keys and values up to l.
The template's own prefix (system prompt) is the same text for every prompt: it runs once per steering.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from actors.engine.cache import KeyValue, borrows, stack
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.rows import Row
from actors.engine.segments import ForwardStart, Segment, SegmentRunner
from actors.steering import SteeringBank, Witness

Tokens = tuple[int, ...]
Item = TypeVar("Item")
Span = tuple[Tensor, Sequence[KeyValue]]
MAX_TOKENS = 4096
"""Padded tokens per forward: bounds the memory of a segment."""


@dataclass(frozen=True)
class Prefilled:
    """Rows that ran their last prompt token together: ``logits`` ``[R, vocabulary]``, and what their slots must hold.

    ``spans``: (positions ``[R, T]`` with -1 at padding, keys and values per block), prefix first.
    """

    rows: Sequence[Row]
    logits: Tensor
    spans: Sequence[Span]
    witness: Witness


@dataclass(frozen=True)
class _Prefix:
    """Keys and values ``[1, K, P, e]`` of a template prefix of ``length`` tokens under one steering."""

    length: int
    key_values: tuple[KeyValue, ...]


@dataclass(frozen=True)
class _Trunk:
    """One prompt's unsteered run (left padded): keys and values ``[1, K, T, e]``, captured block outputs ``[1, T, d]``,
    the logits after its last token ``[1, vocabulary]`` and its positions ``[1, T]``."""

    key_values: tuple[KeyValue, ...]
    hidden: dict[int, Tensor]
    logits: Tensor
    positions: Tensor


class Prefiller:
    """Prefills rows of one generate call, keeping prefixes and trunks for the rows that are still to come.

    ``capture``: the layers at which any steering begins. A forward takes at most ``MAX_TOKENS`` padded tokens.
    """

    def __init__(
        self, runner: SegmentRunner, bank: SteeringBank, capture: Iterable[int], device: torch.device, grain: Grain = COARSE
    ) -> None:
        self._runner, self._bank, self._device, self._grain = runner, bank, device, grain
        self._capture = frozenset(capture)
        self._prefixes: dict[tuple[Tokens, int], _Prefix] = {}
        self._prefix_trunks: dict[Tokens, _Trunk] = {}
        self._trunks: dict[Tokens, _Trunk] = {}

    def run(self, rows: Sequence[Row]) -> Iterator[Prefilled]:
        """Prefill ``rows``; rows with equal padded length, prefix and entry layer run together."""
        groups: dict[tuple[Tokens, int, int | None], list[Row]] = defaultdict(list)
        for row in rows:
            prefix, suffix = split(row)
            groups[prefix, rounded_up(len(suffix), self._grain.tokens), row.first_layer].append(row)
        for (prefix, length, layer), members in groups.items():
            for chunk in chunks(members, self._rows_per_forward(length)):
                self._need_prefixes(prefix, {row.steering: layer for row in chunk})
                self._need_trunks(prefix, chunk)
                yield self._unsteered(prefix, chunk) if layer is None else self._steered(prefix, chunk, layer)

    def _rows_per_forward(self, length: int) -> int:
        return self._runner.fixed_rows or max(1, MAX_TOKENS // length)

    def forget_steerings(self, alive: set[int]) -> None:
        """Drop the prefixes of steerings that no waiting row uses."""
        self._prefixes = {key: kept for key, kept in self._prefixes.items() if key[1] in alive or key[1] == 0}

    def _need_prefixes(self, prefix: Tokens, layers: dict[int, int | None]) -> None:
        if not prefix:
            return
        if prefix not in self._prefix_trunks:
            result = self._runner.run(Segment([prefix], capture=self._capture, grain=self._grain))
            trunk = _Trunk(_complete(result.key_values), result.captured, result.logits, result.positions)
            self._prefix_trunks[prefix] = trunk
            self._prefixes[prefix, 0] = _Prefix(len(prefix), _unpadded(trunk.key_values, len(prefix)))
        missing = [
            (steering, layer)
            for steering, layer in layers.items()
            if layer is not None and (prefix, steering) not in self._prefixes
        ]
        for chunk in chunks(missing, self._rows_per_forward(rounded_up(len(prefix), self._grain.tokens))):
            self._steer_prefixes(prefix, [steering for steering, _ in chunk], chunk[0][1])

    def _steer_prefixes(self, prefix: Tokens, steerings: list[int], layer: int | None) -> None:
        """All ``steerings`` begin at ``layer``: they come from one group of rows."""
        trunk = self._prefix_trunks[prefix]
        whole = layer is None or borrows(trunk.key_values)
        entry = None if layer is None or whole else ForwardStart(layer, trunk.hidden[layer].expand(len(steerings), -1, -1))
        table = self._bank.rows(torch.tensor(steerings, device=self._device))
        result = self._runner.run(Segment([prefix] * len(steerings), table=table, entry=entry, grain=self._grain))
        for row, steering in enumerate(steerings):
            own = [kv if kv is None else (kv[0][row : row + 1].clone(), kv[1][row : row + 1].clone()) for kv in result.key_values]
            joined = tuple(shared if kv is None else kv for kv, shared in zip(own, trunk.key_values, strict=True))
            self._prefixes[prefix, steering] = _Prefix(len(prefix), _unpadded(joined, len(prefix)))

    def _need_trunks(self, prefix: Tokens, rows: Sequence[Row]) -> None:
        missing = list(dict.fromkeys(row.rendered.token_ids for row in rows if row.rendered.token_ids not in self._trunks))
        if not missing:
            return
        suffixes = [tokens[len(prefix) :] for tokens in missing]
        past = self._past(prefix, [0] * len(missing))
        result = self._runner.run(Segment(suffixes, len(prefix), past, capture=self._capture, grain=self._grain))
        complete = _complete(result.key_values)
        for row, tokens in enumerate(missing):
            one = slice(row, row + 1)
            hidden = {layer: captured[one] for layer, captured in result.captured.items()}
            key_values = tuple((keys[one], values[one]) for keys, values in complete)
            self._trunks[tokens] = _Trunk(key_values, hidden, result.logits[one], result.positions[one])

    def _unsteered(self, prefix: Tokens, rows: Sequence[Row]) -> Prefilled:
        """An unsteered row is its trunk: nothing is left to compute."""
        trunks = [self._trunks[row.rendered.token_ids] for row in rows]
        key_values = [stack(trunk.key_values[block] for trunk in trunks) for block in range(len(trunks[0].key_values))]
        spans = self._spans(prefix, rows, torch.cat([trunk.positions for trunk in trunks]), key_values)
        return Prefilled(rows, torch.cat([trunk.logits for trunk in trunks]), spans, Witness())

    def _steered(self, prefix: Tokens, rows: Sequence[Row], layer: int) -> Prefilled:
        trunks = [self._trunks[row.rendered.token_ids] for row in rows]
        # A block that reads another's keys and values needs that block to run.
        whole = borrows(trunks[0].key_values)
        segment = Segment(
            [split(row)[1] for row in rows],
            len(prefix),
            self._past(prefix, [row.steering for row in rows]),
            self._bank.rows(torch.tensor([row.steering for row in rows], device=self._device)),
            None if whole else ForwardStart(layer, torch.cat([trunk.hidden[layer] for trunk in trunks])),
            grain=self._grain,
        )
        result = self._runner.run(segment)
        below = 0 if whole else layer + 1
        shared = [stack(trunk.key_values[block] for trunk in trunks) for block in range(below)]
        key_values = _complete([*shared, *result.key_values[below:]])
        return Prefilled(rows, result.logits, self._spans(prefix, rows, result.positions, key_values), result.witness)

    def _spans(self, prefix: Tokens, rows: Sequence[Row], positions: Tensor, suffix: Sequence[KeyValue]) -> list[Span]:
        past = self._past(prefix, [row.steering for row in rows])
        if past is None:
            return [(positions, suffix)]
        return [(torch.arange(len(prefix), device=self._device).expand(len(rows), -1), past), (positions, suffix)]

    def _past(self, prefix: Tokens, steerings: Sequence[int]) -> list[KeyValue] | None:
        """Prefix keys and values of each row's steering, per block ``[R, K, P, e]``."""
        if not prefix:
            return None
        kept = [self._prefixes[prefix, steering] for steering in steerings]
        return [stack(one.key_values[block] for one in kept) for block in range(len(kept[0].key_values))]


def split(row: Row) -> tuple[Tokens, Tokens]:
    """A row's tokens as (template prefix, the rest); the rest is never empty."""
    rendered = row.rendered
    return rendered.token_ids[: rendered.prefix], rendered.token_ids[rendered.prefix :]


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive pieces of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _complete(key_values: Sequence[KeyValue | None]) -> tuple[KeyValue, ...]:
    """Every block must have reported its keys and values."""
    complete = tuple(kv for kv in key_values if kv is not None)
    if len(complete) != len(key_values):
        missing = [block for block, kv in enumerate(key_values) if kv is None]
        raise RuntimeError(f"blocks {missing} wrote no keys and values: the model does not use the cache it is given")
    return complete


def _unpadded(key_values: Sequence[KeyValue], length: int) -> tuple[KeyValue, ...]:
    return tuple((keys[:, :, -length:], values[:, :, -length:]) for keys, values in key_values)
