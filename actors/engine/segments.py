"""One forward over a span of prompt tokens for several rows: the building block of prefill.

Rows are padded on the left to a multiple of the grain's tokens, so the last token of every row is the last column.
A segment may start above a block: blocks up to ``entry.layer`` are replaced by the stored, unsteered trunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from actors.engine.attention import in_two_pieces, masks_for
from actors.engine.cache import KeyValue, SegmentCache, nothing, stack
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.lanes import Lanes, Piece
from actors.engine.memory import prefill_rows
from actors.errors import UnsupportedModelError
from actors.families import Decoder
from actors.stacks import Table
from actors.steering import ForwardStart, SteeringHooks, SteeringTable, Witness


@dataclass(frozen=True)
class Segment:
    """What to run: ``tokens`` per row, after ``start`` cached tokens whose keys and values are ``past``.

    Rows are padded to ``shortest`` tokens at least. ``keep``: last positions whose logits are wanted. ``cut``: so many first
    tokens of each row are a piece of their own, as if they ran before the others and were their past (``start`` is 0 then).
    """

    tokens: Sequence[Sequence[int]]
    start: int = 0
    past: Sequence[KeyValue | None] | None = None
    table: Table = field(default_factory=SteeringTable)
    entry: ForwardStart | None = None
    capture: frozenset[int] = frozenset()
    grain: Grain = COARSE
    shortest: int = 0
    keep: int = 1
    cut: int = 0

    @property
    def first(self) -> int:
        """Padded length of the piece that is cut off."""
        return rounded_up(self.cut, self.grain.tokens)

    @property
    def below(self) -> int:
        """Blocks that do not run."""
        return 0 if self.entry is None else self.entry.layer + 1

    @property
    def length(self) -> int:
        """Padded length ``T``."""
        longest = max(len(row) for row in self.tokens) - self.cut
        return max(self.shortest, self.first + rounded_up(longest, self.grain.tokens))

    def take(self, rows: slice) -> Segment:
        """Only ``rows``, padded as they are among all of them."""
        return self._of(range(len(self.tokens))[rows], rows)

    def filled(self, n: int, device: torch.device) -> Segment:
        """``n`` rows: those that there are, and the first of them again and again."""
        numbers = [*range(len(self.tokens)), *[0] * (n - len(self.tokens))]
        return self._of(numbers, torch.tensor(numbers, device=device))

    def _of(self, numbers: Sequence[int], rows: slice | Tensor) -> Segment:
        return replace(
            self,
            tokens=[self.tokens[number] for number in numbers],
            past=self.past and _of_rows(self.past, rows),
            table=self.table.map(lambda edit: edit[rows]),
            entry=self.entry and ForwardStart(self.entry.layer, self.entry.hidden[rows]),
            shortest=self.length,
        )


@dataclass(frozen=True)
class SegmentResult:
    """``tail`` ``[R, keep, vocabulary]``: logits after the last tokens; ``key_values`` per block ``[R, K, T, e]`` (None below the
    entry).

    ``captured[l]``: unedited output of block l, ``[R, T, d]``. ``positions`` ``[R, T]``: token positions, -1 at padding.
    """

    tail: Tensor
    key_values: list[KeyValue | None]
    captured: dict[int, Tensor]
    positions: Tensor
    witness: Witness

    @property
    def logits(self) -> Tensor:
        """``[R, vocabulary]`` after the last token."""
        return self.tail[:, -1]

    def take(self, rows: slice) -> SegmentResult:
        """Those of ``rows``."""
        return SegmentResult(
            self.tail[rows],
            _of_rows(self.key_values, rows),
            {layer: hidden[rows] for layer, hidden in self.captured.items()},
            self.positions[rows],
            self.witness.map(lambda state: state[rows]),
        )

    @staticmethod
    def join(parts: Sequence[SegmentResult]) -> SegmentResult:
        """The results of consecutive rows as one."""
        if len(parts) == 1:
            return parts[0]
        blocks = zip(*(part.key_values for part in parts), strict=True)
        return SegmentResult(
            torch.cat([part.tail for part in parts]),
            [None if None in block else stack(block) for block in blocks],
            _joined([part.captured for part in parts]),
            torch.cat([part.positions for part in parts]),
            Witness(*(_joined(kinds) for kinds in zip(*(part.witness.kinds for part in parts), strict=True))),
        )


@dataclass(frozen=True)
class Forwards:
    """How segments run. ``fixed``: every forward of so many tokens has equally many rows (where a row's bits depend on how many
    there are). ``lanes``: what runs parts of the rows side by side."""

    fixed: bool = False
    lanes: Lanes = Lanes()  # noqa: RUF009 - one lane, without a thread


class SegmentRunner:
    """Runs segments through a model whose hooks and attention are in place."""

    def __init__(
        self, model: Any, decoder: Decoder, hooks: SteeringHooks, device: torch.device, shape: Forwards | None = None
    ) -> None:
        self._model, self._decoder, self._hooks, self._device = model, decoder, hooks, device
        self._shape = shape or Forwards()

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    @property
    def fixed(self) -> bool:
        """Whether every forward of so many tokens has equally many rows."""
        return self._shape.fixed

    def most_rows(self, tokens: int) -> int:
        """Rows of a forward of ``tokens`` each, cached ones included."""
        return prefill_rows(tokens, fixed=self._shape.fixed)

    def run(self, segment: Segment) -> SegmentResult:
        """Run a segment, of at most ``most_rows`` where these are fixed; results are those of its own rows."""
        return self.run_all([segment])[0]

    def run_all(self, segments: Sequence[Segment]) -> list[SegmentResult]:
        """Run several, side by side where there are lanes; their results in order."""
        if not segments:
            return []
        whole = [self._filled(segment) for segment in segments]
        pieces = [Piece(len(one.tokens), one.length, self._decoder.n_layers - one.below + 1) for one in whole]
        results: list[dict[int, SegmentResult]] = [{} for _ in whole]
        shares = self._shape.lanes.shares(pieces)
        with _entering(self._decoder.blocks, self._hooks, whole):
            self._shape.lanes.run([partial(self._forwards, whole, share, results) for share in shares])
        joined = (SegmentResult.join([parts[start] for start in sorted(parts)]) for parts in results)
        return [result.take(slice(0, len(segment.tokens))) for result, segment in zip(joined, segments, strict=True)]

    def _filled(self, segment: Segment) -> Segment:
        """With as many rows as a forward of its tokens always has, where these are fixed."""
        most = self.most_rows(segment.start + segment.length) if self._shape.fixed else 0
        return segment.filled(most, self._device) if len(segment.tokens) < most else segment

    def _forwards(
        self, segments: Sequence[Segment], share: Sequence[tuple[int, slice]], results: Sequence[dict[int, SegmentResult]]
    ) -> None:
        """A lane's share: rows of some segments, one forward each; results by segment and first row."""
        for number, rows in share:
            segment = segments[number]
            part = segment if rows == slice(0, len(segment.tokens)) else segment.take(rows)
            results[number][rows.start] = self._forward(part)

    def _forward(self, segment: Segment) -> SegmentResult:
        """One forward; the hooks are set up for it and cleared after."""
        tokens, positions = self._padded(segment)
        cache = SegmentCache(self._decoder.n_layers, segment.past)
        hooks = self._hooks
        hooks.table, hooks.witness, hooks.capture, hooks.captured = segment.table.at(positions), Witness(), segment.capture, {}
        hooks.start = segment.entry
        kept_positions = max(segment.grain.head, segment.keep) if segment.keep else 1  # some heads fail on no position
        try:
            with in_two_pieces(segment.first, segment.first - segment.cut, cache.new):
                output = self._model(
                    input_ids=tokens,
                    position_ids=positions.clamp(min=0),
                    attention_mask=self._masks(segment, positions),
                    past_key_values=cache,
                    use_cache=True,
                    # As a tensor: given a number, a model may leave all other positions out of its last blocks (Gemma 4).
                    logits_to_keep=torch.arange(max(0, tokens.shape[1] - kept_positions), tokens.shape[1], device=self._device),
                )
            kept = cache.new if segment.entry is not None else _whole(cache.new)
            return SegmentResult(
                output.logits[:, kept_positions - segment.keep :], kept, hooks.captured, positions, hooks.witness
            )
        finally:
            hooks.table, hooks.witness, hooks.capture, hooks.captured = SteeringTable(), None, frozenset(), {}
            hooks.start = None

    def _padded(self, segment: Segment) -> tuple[Tensor, Tensor]:
        """Token ids ``[R, T]`` (0 at padding) and positions ``[R, T]`` (-1 at padding)."""
        length, cut, begin = segment.length, segment.cut, segment.start
        tokens = torch.zeros(len(segment.tokens), length, dtype=torch.long)
        positions = torch.full_like(tokens, -1)
        for row, ids in enumerate(segment.tokens):
            for piece, end, start in ((ids[:cut], segment.first, begin), (ids[cut:], length, begin + cut)):
                tokens[row, end - len(piece) : end] = torch.tensor(piece, dtype=torch.long)
                positions[row, end - len(piece) : end] = torch.arange(start, start + len(piece))
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
def _entering(blocks: Sequence[nn.Module], hooks: SteeringHooks, segments: Sequence[Segment]) -> Iterator[None]:
    """Let forwards start where ``hooks.start`` says: the blocks up to it pass the stream on, the last of them returns what is
    stored of it."""
    replaced = blocks[: max(segment.below for segment in segments)]
    before = [block.__dict__.get("forward") for block in replaced]
    try:
        for layer, block in enumerate(replaced):
            block.forward = partial(_from_start, hooks, layer, block.forward)
        yield
    finally:
        for block, forward in zip(replaced, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward


def _from_start(
    hooks: SteeringHooks, layer: int, forward: Callable[..., Any], hidden_states: Tensor, *args: Any, **kwargs: Any
) -> Any:
    start = hooks.start
    if start is None or layer > start.layer:
        return forward(hidden_states, *args, **kwargs)
    return start.hidden if layer == start.layer else hidden_states


def _whole(new: list[KeyValue | None]) -> list[KeyValue | None]:
    """The keys and values of all blocks; those that wrote none read another block's."""
    like = next((kept[0] for kept in new if kept is not None), None)
    if like is None:
        raise UnsupportedModelError("no block wrote keys and values: the model does not use the cache it is given")
    return [nothing(like.shape[0], like.shape[2], like) if kept is None else kept for kept in new]


def _of_rows(key_values: Sequence[KeyValue | None], rows: slice | Tensor) -> list[KeyValue | None]:
    return [kv and (kv[0][rows], kv[1][rows]) for kv in key_values]


def _joined(parts: Sequence[dict[int, Tensor]]) -> dict[int, Tensor]:
    return {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}
