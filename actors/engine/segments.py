"""One forward over a span of prompt tokens for several rows: the building block of prefill.

Rows are padded on the left to a multiple of the grain's tokens, so the last token of every row is the last column.
A segment may start above a block: blocks up to ``entry.layer`` are replaced by the stored, unsteered trunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from actors.engine.attention import masks_for
from actors.engine.cache import KeyValue, SegmentCache
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.families import Decoder
from actors.steering import SteeringHooks, SteeringTable, Witness


@dataclass(frozen=True)
class Entry:
    """Start above block ``layer``, whose unsteered output for these rows is ``hidden`` ``[R, T, d]``."""

    layer: int
    hidden: Tensor


@dataclass(frozen=True)
class Segment:
    """What to run: ``tokens`` per row, after ``start`` cached tokens whose keys and values are ``past``."""

    tokens: Sequence[Sequence[int]]
    start: int = 0
    past: Sequence[KeyValue | None] | None = None
    table: SteeringTable = field(default_factory=SteeringTable)
    entry: Entry | None = None
    capture: frozenset[int] = frozenset()
    grain: Grain = COARSE

    @property
    def length(self) -> int:
        """Padded length ``T``."""
        return rounded_up(max(len(row) for row in self.tokens), self.grain.tokens)


@dataclass(frozen=True)
class SegmentResult:
    """``logits`` ``[R, vocabulary]`` after the last token; ``key_values`` per block ``[R, K, T, e]`` (None below the entry).

    ``captured[l]``: unedited output of block l, ``[R, T, d]``. ``positions`` ``[R, T]``: token positions, -1 at padding.
    """

    logits: Tensor
    key_values: list[KeyValue | None]
    captured: dict[int, Tensor]
    positions: Tensor
    witness: Witness


class SegmentRunner:
    """Runs segments through a model whose hooks and attention are in place."""

    def __init__(
        self, model: Any, decoder: Decoder, hooks: SteeringHooks, device: torch.device, fixed_rows: int | None = None
    ) -> None:
        """``fixed_rows``: every forward has exactly this many rows (where a row's bits depend on how many there are)."""
        self._model, self._decoder, self._hooks, self._device = model, decoder, hooks, device
        self.fixed_rows = fixed_rows

    def run(self, segment: Segment) -> SegmentResult:
        """Run a segment of at most ``fixed_rows`` rows; results are those of its own rows."""
        rows = len(segment.tokens)
        if self.fixed_rows is None or rows == self.fixed_rows:
            return self._forward(segment)
        return _first(self._forward(_filled(segment, self.fixed_rows - rows)), rows)

    def _forward(self, segment: Segment) -> SegmentResult:
        """One forward; the hooks are set up for it and cleared after."""
        tokens, positions = self._padded(segment)
        cache = SegmentCache(self._decoder.n_layers, segment.past)
        hooks = self._hooks
        hooks.table, hooks.witness, hooks.capture, hooks.captured = segment.table, Witness(), segment.capture, {}
        try:
            with _entering(self._decoder.blocks, segment.entry):
                output = self._model(
                    input_ids=tokens,
                    position_ids=positions.clamp(min=0),
                    attention_mask=self._masks(segment, positions),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=segment.grain.head,
                )
            return SegmentResult(output.logits[:, -1], cache.new, hooks.captured, positions, hooks.witness)
        finally:
            hooks.table, hooks.witness, hooks.capture, hooks.captured = SteeringTable(), None, frozenset(), {}

    def _padded(self, segment: Segment) -> tuple[Tensor, Tensor]:
        """Token ids ``[R, T]`` (0 at padding) and positions ``[R, T]`` (-1 at padding)."""
        length = segment.length
        tokens = torch.zeros(len(segment.tokens), length, dtype=torch.long)
        positions = torch.full_like(tokens, -1)
        for row, ids in enumerate(segment.tokens):
            tokens[row, length - len(ids) :] = torch.tensor(ids)
            positions[row, length - len(ids) :] = torch.arange(segment.start, segment.start + len(ids))
        return tokens.to(self._device), positions.to(self._device)

    def _masks(self, segment: Segment, positions: Tensor) -> Tensor | dict[str, Tensor]:
        rows = len(segment.tokens)
        past = torch.arange(segment.start, device=self._device).expand(rows, -1)
        keys = torch.cat([past, positions], dim=1)
        allowed = (keys[:, None, :] >= 0) & (keys[:, None, :] <= positions[:, :, None])
        # A padding query attends to itself: a row without any key would be NaN, and NaN spreads through zero weights.
        itself = torch.arange(positions.shape[1], device=self._device)
        allowed[:, itself, segment.start + itself] = True
        return masks_for(self._decoder, allowed[:, None], positions, keys)


@contextmanager
def _entering(blocks: Sequence[nn.Module], entry: Entry | None) -> Iterator[None]:
    """Replace the blocks up to ``entry.layer``: they pass the stream on, the last of them returns the stored trunk."""
    if entry is None:
        yield
        return
    replaced = blocks[: entry.layer + 1]
    before = [block.__dict__.get("forward") for block in replaced]
    try:
        for block in replaced:
            block.forward = _pass_on
        replaced[-1].forward = lambda *_args, **_kwargs: entry.hidden
        yield
    finally:
        for block, forward in zip(replaced, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def _pass_on(hidden_states: Tensor, *_args: object, **_kwargs: object) -> Tensor:
    return hidden_states


def _filled(segment: Segment, extra: int) -> Segment:
    """``extra`` copies of the first row added, to keep the shape of a forward."""

    def more(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor[:1].expand(extra, *tensor.shape[1:])])

    return replace(
        segment,
        tokens=[*segment.tokens, *[segment.tokens[0]] * extra],
        past=segment.past and [kv and (more(kv[0]), more(kv[1])) for kv in segment.past],
        table=SteeringTable(
            *(
                {layer: more(edit) for layer, edit in edits.items()}
                for edits in (segment.table.shifts, segment.table.axes, segment.table.replaced)
            )
        ),
        entry=segment.entry and Entry(segment.entry.layer, more(segment.entry.hidden)),
    )


def _first(result: SegmentResult, rows: int) -> SegmentResult:
    """The results of the first ``rows`` rows."""
    return SegmentResult(
        result.logits[:rows],
        [kv and (kv[0][:rows], kv[1][:rows]) for kv in result.key_values],
        {layer: hidden[:rows] for layer, hidden in result.captured.items()},
        result.positions[:rows],
        Witness(
            *({layer: state[:rows] for layer, state in states.items()} for states in (result.witness.raw, result.witness.seen))
        ),
    )
