"""Shared prefix prefill: template prefixes run once per steering, unsteered trunks once per prompt, while memory allows.

A steering whose first edit is at block l's output leaves blocks 0..l as they are, for every cell alike. So each prompt runs once
unsteered (its *trunk*); each steered row starts above block l from the trunk and shares the trunk's keys and values up to l.
The template's own prefix (system prompt) is the same text for every prompt: it runs once per steering that edits it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from actors.cosines import cosines
from actors.engine.cache import KeyValue, borrows, stack
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.memory import TOKENS_PER_FORWARD
from actors.engine.rows import Row
from actors.engine.segments import Segment, SegmentRunner
from actors.engine.shared_prefixes import SharedPrefixes
from actors.positions import Spans
from actors.stacks import StackBank, Table
from actors.steering import ForwardStart, Witness
from actors.types import Condition

Tokens = tuple[int, ...]
Under = tuple[int, tuple[Spans, ...]]
"""The number of a steering, and where each part of it edits the tokens in question."""
UNSTEERED: Under = (0, ())
Sampled = tuple[Tokens, int, Under]
"""A text, where its answer begins if that matters, and what it runs under."""
Item = TypeVar("Item")
Span = tuple[Tensor, Sequence[KeyValue]]


@dataclass(frozen=True)
class Prefilled:
    """Rows that ran their last prompt token together, and what their slots must hold. ``tail`` ``[R, keep, vocabulary]``: logits
    after the last tokens; ``unsteered``: what each row's would be without its steering, ``[1, keep, vocabulary]``.

    ``spans``: (positions ``[R, T]`` with -1 at padding, keys and values per block), prefix first. ``ran``: all rows that ran
    since the last ones were given (none: these alone).
    """

    rows: Sequence[Row]
    tail: Tensor
    spans: Sequence[Span]
    witness: Witness
    unsteered: Sequence[Tensor] = ()
    ran: Sequence[Row] = ()

    @property
    def logits(self) -> Tensor:
        """``[R, vocabulary]`` after the last token."""
        return self.tail[:, -1]


@dataclass(frozen=True)
class _Prefix:
    """Keys and values ``[1, K, P, e]`` of a template prefix of ``length`` tokens under one steering."""

    length: int
    key_values: tuple[KeyValue, ...]


@dataclass(frozen=True)
class _Trunk:
    """One prompt's unsteered run (left padded): keys and values ``[1, K, T, e]``, captured block outputs ``[1, T, d]``,
    the logits after its last tokens ``[1, keep, vocabulary]`` and its positions ``[1, T]``."""

    key_values: tuple[KeyValue, ...]
    hidden: dict[int, Tensor]
    tail: Tensor
    positions: Tensor


@dataclass(frozen=True)
class _Suffix:
    """What rows' tokens after the template prefix gave, one or several rows: see ``Prefilled``; ``positions`` ``[R, T]``."""

    positions: Tensor
    key_values: tuple[KeyValue, ...]
    tail: Tensor
    witness: Witness
    unsteered: tuple[Tensor, ...]

    def take(self, places: Sequence[int]) -> _Suffix:
        """The rows at ``places``, any as often as it stands there."""
        picked = torch.tensor(places, device=self.tail.device)
        witness = self.witness.map(lambda state: state[picked])
        key_values = tuple((keys[picked], values[picked]) for keys, values in self.key_values)
        unsteered = tuple(self.unsteered[place] for place in places)
        return _Suffix(self.positions[picked], key_values, self.tail[picked], witness, unsteered)

    @property
    def tensors(self) -> list[Tensor]:
        """All that it holds."""
        measured = (state for kind in self.witness.kinds for state in kind.values())
        return [self.positions, self.tail, *self.unsteered, *measured, *(one for pair in self.key_values for one in pair)]


@dataclass(frozen=True)
class _PrefillGroup:
    """Rows with one template ``prefix``, after it one padded ``length`` and one entry ``layer``: they fit in one forward."""

    prefix: Tokens
    length: int
    layer: int | None
    rows: Sequence[Row]

    @property
    def tokens(self) -> int:
        """Of all rows, cached ones included."""
        return len(self.rows) * (len(self.prefix) + self.length)


@dataclass(frozen=True)
class _Begun:
    """Of a ``group`` the samples of what is ``ready``, and those of each prompt and steering that has to run (``fresh``), the
    first of them for all; ``past``: the keys and values of their prefixes."""

    group: _PrefillGroup
    ready: Sequence[tuple[list[Row], _Suffix]]
    fresh: Sequence[list[Row]]
    past: list[KeyValue] | None

    @property
    def rows(self) -> list[Row]:
        """Those that run."""
        return [same[0] for same in self.fresh]


_Prefixes = dict[tuple[Tokens, Under], _Prefix]
"""By a prefix's tokens and what it runs under."""


class Prefiller:
    """Prefills ``rows``, which :meth:`run` is given in any parts, keeping prefixes and trunks for those still to come, in
    ``limit`` bytes (None: any). The samples of a prompt under one steering are prefilled once. ``keep``: last positions whose
    logits are wanted."""

    def __init__(
        self,
        runner: SegmentRunner,
        bank: StackBank,
        rows: Sequence[Row],
        grain: Grain = COARSE,
        limit: int | None = None,
        keep: int = 1,
    ) -> None:
        self._runner, self._bank, self._device, self._grain, self._keep = runner, bank, runner.device, grain, keep
        self._capture = frozenset(layer for layer in _firsts(rows) if layer is not None and layer >= 0)
        self._conditions: dict[Tokens, dict[int, Condition]] = defaultdict(dict)
        for row in rows:
            if row.conditional and not row.rendered.given:
                self._conditions[row.rendered.token_ids] |= {id(condition): condition for condition in conditions_of(row)}
        self._cosines: dict[tuple[Tokens, int], float] = {}
        self._prefix_trunks: dict[Tokens, _Trunk] = {}
        share = None if limit is None else limit // (3 if any(row.sample for row in rows) else 2)
        self._prefixes: SharedPrefixes[tuple[Tokens, Under], _Prefix] = SharedPrefixes(map(_prefix_of, rows), share)
        self._trunks: SharedPrefixes[Tokens, _Trunk] = SharedPrefixes((row.rendered.token_ids for row in rows), share)
        self._sampled: SharedPrefixes[Sampled, _Suffix] = SharedPrefixes(map(_sampled_of, rows), share)

    def run(self, rows: Sequence[Row]) -> Iterator[Prefilled]:
        """Prefill ``rows``; those with equal padded length, prefix and entry layer run together, a wave of such groups side by
        side."""
        by_shape: dict[tuple[Tokens, int, int | None], list[Row]] = defaultdict(list)
        for row in rows:
            prefix, suffix = split(row)
            by_shape[prefix, self._padded(suffix), row.entry].append(row)
        groups = [
            _PrefillGroup(prefix, length, layer, chunk)
            for (prefix, length, layer), members in by_shape.items()
            for chunk in chunks(members, self._runner.most_rows(len(prefix) + length))
        ]
        for wave in self._waves(groups):
            ran = [row for group in wave for row in group.rows]
            for group, every in zip(wave, self._prefilled(wave), strict=True):
                for prefilled in every:
                    self._tell_again(prefilled.rows)
                    yield replace(prefilled, ran=ran)
                    ran = []
                self._prefixes.used(map(_prefix_of, group.rows))
                self._trunks.used(row.rendered.token_ids for row in group.rows)
                self._sampled.used(map(_sampled_of, group.rows))

    def _padded(self, tokens: Tokens) -> int:
        return rounded_up(len(tokens), self._grain.tokens)

    def _waves(self, groups: Sequence[_PrefillGroup]) -> Iterator[list[_PrefillGroup]]:
        """Consecutive groups that have together no more tokens than one forward may have; where that is of fixed shape, one."""
        wave, tokens = list[_PrefillGroup](), 0
        for group in groups:
            if wave and (self._runner.fixed or tokens + group.tokens > TOKENS_PER_FORWARD):
                yield wave
                wave, tokens = [], 0
            wave.append(group)
            tokens += group.tokens
        if wave:
            yield wave

    def _prefilled(self, wave: Sequence[_PrefillGroup]) -> Iterator[Iterator[Prefilled]]:
        """Of each group: samples of what was prefilled before, then the others, each prompt and steering once."""
        prefixes = self._prefixes_of(wave)
        every = [self._begin(group, prefixes) for group in wave]
        running = [one for one in every if one.fresh]
        found = iter(self._steered(running, self._trunks_of(running, prefixes)))
        for one in every:
            yield self._of_group(one, prefixes, next(found) if one.fresh else None)

    def _begin(self, group: _PrefillGroup, prefixes: _Prefixes) -> _Begun:
        samples: dict[Sampled, list[Row]] = defaultdict(list)
        for row in group.rows:
            samples[_sampled_of(row)].append(row)
        ready = [(same, kept) for key, same in samples.items() if (kept := self._sampled.get(key)) is not None]
        fresh = [same for key, same in samples.items() if self._sampled.get(key) is None]
        return _Begun(group, ready, fresh, self._past(prefixes, group, [same[0] for same in fresh]) if fresh else None)

    def _of_group(self, begun: _Begun, prefixes: _Prefixes, found: _Suffix | None) -> Iterator[Prefilled]:
        group, fresh, past = begun.group, begun.fresh, begun.past
        for same, kept in begun.ready:
            yield self._seatable(same, self._past(prefixes, group, same), kept.take([0] * len(same)))
        if found is None:
            return
        for at, (key, same) in enumerate((_sampled_of(same[0]), same) for same in fresh if group.layer is not None):
            if self._sampled.left(key) > len(same):
                one = found.take([at])
                self._sampled.keep({key: one}, one.tensors)
        rows = [row for same in fresh for row in same]
        if len(rows) > len(fresh):
            past = self._past(prefixes, group, rows)
            found = found.take([at for at, same in enumerate(fresh) for _ in same])
        yield self._seatable(rows, past, found)

    def _prefix_trunk(self, prefix: Tokens) -> _Trunk:
        """The template prefix, unsteered: one of the few that are always kept."""
        if prefix not in self._prefix_trunks:
            result = self._runner.run(Segment([prefix], capture=self._capture, grain=self._grain, keep=0))
            self._prefix_trunks[prefix] = _Trunk(complete(result.key_values), result.captured, result.tail, result.positions)
        return self._prefix_trunks[prefix]

    def _prefixes_of(self, wave: Sequence[_PrefillGroup]) -> _Prefixes:
        """The template prefixes of a wave under each steering of its rows, and under none."""
        found: _Prefixes = {}
        missing: dict[tuple[Tokens, int | None], dict[Under, None]] = defaultdict(dict)
        for group in wave:
            if not group.prefix:
                continue
            unsteered = self._prefix_trunk(group.prefix)
            found[group.prefix, UNSTEERED] = _Prefix(len(group.prefix), _unpadded(unsteered.key_values, len(group.prefix)))
            for row in group.rows:
                key = _prefix_of(row)
                if key not in found and (kept := self._prefixes.get(key)) is not None:
                    found[key] = kept
                elif key not in found:
                    missing[group.prefix, row.first_layer][key[1]] = None
        pieces = [
            (prefix, layer, chunk)
            for (prefix, layer), unders in missing.items()
            for chunk in chunks([*unders], self._runner.most_rows(self._padded(prefix)))
        ]
        results = self._runner.run_all([self._prefix_segment(*piece) for piece in pieces])
        for (prefix, _, unders), result in zip(pieces, results, strict=True):
            trunk = self._prefix_trunk(prefix)
            for at, under in enumerate(unders):
                own = [kv and (kv[0][at : at + 1].clone(), kv[1][at : at + 1].clone()) for kv in result.key_values]
                joined = tuple(shared if kv is None else kv for kv, shared in zip(own, trunk.key_values, strict=True))
                made = found[prefix, under] = _Prefix(len(prefix), _unpadded(joined, len(prefix)))
                self._prefixes.keep({(prefix, under): made}, (one for kv in made.key_values for one in kv))
        return found

    def _prefix_segment(self, prefix: Tokens, layer: int | None, steerings: Sequence[Under]) -> Segment:
        trunk = self._prefix_trunk(prefix)
        whole = layer is None or layer < 0 or borrows(trunk.key_values)
        entry = None if layer is None or whole else ForwardStart(layer, trunk.hidden[layer].expand(len(steerings), -1, -1))
        table = self._table(steerings, [len(prefix)] * len(steerings))
        return Segment([prefix] * len(steerings), table=table, entry=entry, grain=self._grain, keep=0)

    def _trunks_of(self, begun: Sequence[_Begun], prefixes: _Prefixes) -> dict[Tokens, _Trunk]:
        """The trunks of a wave's rows, by their texts."""
        found: dict[Tokens, _Trunk] = {}
        missing: dict[tuple[Tokens, int], dict[Tokens, None]] = defaultdict(dict)
        for group, rows in ((one.group, one.rows) for one in begun):
            for text in (row.rendered.token_ids for row in rows):
                if (kept := self._trunks.get(text)) is not None:
                    found[text] = kept
                else:
                    missing[group.prefix, group.length][text] = None
        pieces = [
            (prefix, chunk)
            for (prefix, length), texts in missing.items()
            for chunk in chunks([*texts], self._runner.most_rows(len(prefix) + length))
        ]
        segments = [
            Segment(
                [text[len(prefix) :] for text in texts],
                len(prefix),
                _joined([prefixes[prefix, UNSTEERED]] * len(texts)) if prefix else None,
                capture=self._capture,
                grain=self._grain,
                keep=self._keep,
            )
            for prefix, texts in pieces
        ]
        for (_, texts), result in zip(pieces, self._runner.run_all(segments), strict=True):
            self._measure_conditions(texts, result.witness)
            key_values_of = complete(result.key_values)
            made = {}
            for row, text in enumerate(texts):
                one = slice(row, row + 1)
                hidden = {layer: captured[one] for layer, captured in result.captured.items()}
                key_values = tuple((keys[one], values[one]) for keys, values in key_values_of)
                made[text] = _Trunk(key_values, hidden, result.tail[one], result.positions[one])
            held = (one for kv in key_values_of for one in kv)
            self._trunks.keep(made, (*held, *result.captured.values(), result.tail, result.positions))
            found |= made
        return found

    def _measure_conditions(self, texts: Sequence[Tokens], unsteered: Witness) -> None:
        """The cosines of the conditions of rows with these ``texts``, from the texts' own unsteered run."""
        asked = [
            (place, name, condition)
            for place, text in enumerate(texts)
            for name, condition in self._conditions.get(text, {}).items()
        ]
        if asked:
            states = torch.stack([unsteered.raw[condition.layer][place] for place, _, condition in asked])
            found = cosines_of(states, [condition for _, _, condition in asked])
            self._cosines |= {(texts[place], name): one for (place, name, _), one in zip(asked, found, strict=True)}

    def _tell_again(self, rows: Sequence[Row]) -> None:
        """Let conditional rows know what was measured where their own prompts ran."""
        for row in rows:
            if row.conditional:
                text, conditions = row.rendered.token_ids, [act.condition for act in row.acts]
                row.again = tuple(None if one is None else self._cosines.get((text, id(one))) for one in conditions)

    def _unsteered(self, trunks: Sequence[_Trunk], layers: Set[int | None]) -> _Suffix:
        """A row whose prompt is not steered is its trunk: nothing is left to compute. The witness says what the blocks
        ``layers`` put out, at which the rows' answers are first steered by any part, and by the first."""
        key_values = tuple(stack(trunk.key_values[block] for trunk in trunks) for block in range(len(trunks[0].key_values)))
        tails = tuple(trunk.tail for trunk in trunks)
        later = [layer for layer in layers if layer in trunks[0].hidden]
        witness = Witness({layer: torch.cat([trunk.hidden[layer][:, -1] for trunk in trunks]) for layer in later})
        return _Suffix(torch.cat([trunk.positions for trunk in trunks]), key_values, torch.cat(tails), witness, tails)

    def _steered(self, begun: Sequence[_Begun], trunks: Mapping[Tokens, _Trunk]) -> Iterator[_Suffix]:
        """What the rows of each group give, from their own trunks."""
        of_rows = [[trunks[row.rendered.token_ids] for row in one.rows] for one in begun]
        segments = [self._segment(one, own) for one, own in zip(begun, of_rows, strict=True) if one.group.layer is not None]
        results = iter(zip(segments, self._runner.run_all(segments), strict=True))
        for one, own in zip(begun, of_rows, strict=True):
            if one.group.layer is None:
                yield self._unsteered(own, _firsts(one.group.rows))
                continue
            segment, result = next(results)
            shared = [stack(trunk.key_values[block] for trunk in own) for block in range(segment.below)]
            key_values = complete([*shared, *result.key_values[segment.below :]])
            yield _Suffix(result.positions, key_values, result.tail, result.witness, tuple(trunk.tail for trunk in own))

    def _segment(self, begun: _Begun, trunks: Sequence[_Trunk]) -> Segment:
        """The rows of a group, from the first block on that is edited."""
        layer, rows = begun.group.layer, begun.rows
        # A block that reads another's keys and values needs that block to run.
        whole = layer is None or layer < 0 or borrows(trunks[0].key_values)
        return Segment(
            [split(row)[1] for row in rows],
            len(begun.group.prefix),
            begun.past,
            self._table([of_text(row) for row in rows], [len(row.rendered.token_ids) for row in rows], self._begun(rows)),
            None if layer is None or whole else ForwardStart(layer, torch.cat([trunk.hidden[layer] for trunk in trunks])),
            grain=self._grain,
            keep=self._keep,
        )

    def _seatable(self, rows: Sequence[Row], past: list[KeyValue] | None, found: _Suffix) -> Prefilled:
        spans: list[Span] = [(found.positions, found.key_values)]
        if past is not None:
            length = past[0][0].shape[2]
            spans.insert(0, (torch.arange(length, device=self._device).expand(len(rows), -1), past))
        return Prefilled(rows, found.tail, spans, found.witness, found.unsteered)

    def _begun(self, rows: Sequence[Row]) -> Tensor | None:
        """Tokens of the rows' prompts where some of their answers are read; None: those are all there is."""
        begun = any(row.rendered.given for row in rows)
        return torch.tensor([row.rendered.prompt_tokens for row in rows], device=self._device) if begun else None

    def _table(self, steerings: Sequence[Under], lengths: Sequence[int], prompts: Tensor | None = None) -> Table:
        """The edits of rows of so many tokens, so many of them a prompt's."""
        return self._bank.of_text([number for number, _ in steerings], [spans for _, spans in steerings], lengths, prompts)

    def _past(self, prefixes: _Prefixes, group: _PrefillGroup, rows: Sequence[Row]) -> list[KeyValue] | None:
        """Prefix keys and values of each row's steering, per block ``[R, K, P, e]``; None where there is no prefix."""
        return _joined([prefixes[_prefix_of(row)] for row in rows]) if group.prefix else None


def _joined(prefixes: Sequence[_Prefix]) -> list[KeyValue]:
    """Their keys and values, a row each, per block ``[R, K, P, e]``."""
    return [stack(one.key_values[block] for one in prefixes) for block in range(len(prefixes[0].key_values))]


def _under(row: Row) -> Under:
    """What a row's template prefix runs under."""
    spans = row.within(row.rendered.prefix)
    return (row.steering, spans) if row.steering and spans else UNSTEERED


def _firsts(rows: Sequence[Row]) -> set[int | None]:
    """Where rows are first steered by any part, and by the first."""
    return {point for row in rows for point in (row.first_layer, row.first_point)}


def of_text(row: Row) -> Under:
    """What all that is read of a row before its answer runs under."""
    return row.steering, row.within(len(row.rendered.token_ids))


def _prefix_of(row: Row) -> tuple[Tokens, Under]:
    """What names a row's template prefix: its tokens and the steering that it runs under."""
    return split(row)[0], _under(row)


def _sampled_of(row: Row) -> Sampled:
    """What names what the samples of a prompt under one steering share."""
    return row.rendered.token_ids, 0 if row.constant else row.rendered.prompt_tokens, of_text(row)


def split(row: Row) -> tuple[Tokens, Tokens]:
    """A row's tokens as (template prefix, the rest); the rest is never empty."""
    rendered = row.rendered
    return rendered.token_ids[: rendered.prefix], rendered.token_ids[rendered.prefix :]


def chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive pieces of at most ``size`` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def conditions_of(row: Row) -> list[Condition]:
    """Those of the parts that have one."""
    return [act.condition for act in row.acts if act.condition is not None]


def cosines_of(states: Tensor, conditions: Sequence[Condition]) -> list[float]:
    """Between each of ``states`` ``[n, d]`` and the vector of its condition."""
    vectors = np.stack([condition.vector for condition in conditions])
    found: list[float] = cosines(states.double().cpu().numpy(), vectors).tolist()
    return found


def complete(key_values: Sequence[KeyValue | None]) -> tuple[KeyValue, ...]:
    """Every block must have reported its keys and values."""
    complete = tuple(kv for kv in key_values if kv is not None)
    if len(complete) != len(key_values):
        missing = [block for block, kv in enumerate(key_values) if kv is None]
        raise RuntimeError(f"blocks {missing} wrote no keys and values: the model does not use the cache it is given")
    return complete


def _unpadded(key_values: Sequence[KeyValue], length: int) -> tuple[KeyValue, ...]:
    return tuple((keys[:, :, -length:], values[:, :, -length:]) for keys, values in key_values)
