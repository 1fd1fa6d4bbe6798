"""Shared prefix prefill: template prefixes run once per steering, unsteered trunks once per prompt, while memory allows.

A steering whose first edit is at block l's output leaves blocks 0..l as they are, for every cell alike. So each prompt runs once
unsteered (its *trunk*); each steered row starts above block l from the trunk and shares the trunk's keys and values up to l.
The template's own prefix (system prompt) is the same text for every prompt: it runs once per steering that edits it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from actors.cosines import cosines
from actors.engine.cache import KeyValue, borrows, stack
from actors.engine.grain import COARSE, Grain, rounded_up
from actors.engine.rows import Row
from actors.engine.segments import ForwardStart, Segment, SegmentRunner
from actors.engine.shared_prefixes import SharedPrefixes
from actors.positions import Spans
from actors.stacks import StackBank, Table
from actors.steering import Witness
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

    ``spans``: (positions ``[R, T]`` with -1 at padding, keys and values per block), prefix first.
    """

    rows: Sequence[Row]
    tail: Tensor
    spans: Sequence[Span]
    witness: Witness
    unsteered: Sequence[Tensor] = ()

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
        """Prefill ``rows``; rows with equal padded length, prefix and entry layer run together."""
        groups: dict[tuple[Tokens, int, int | None], list[Row]] = defaultdict(list)
        for row in rows:
            prefix, suffix = split(row)
            groups[prefix, rounded_up(len(suffix), self._grain.tokens), row.entry].append(row)
        for (prefix, length, layer), members in groups.items():
            for chunk in chunks(members, self._runner.most_rows(len(prefix) + length)):
                for prefilled in self._prefilled(prefix, layer, chunk):
                    self._tell_again(prefilled.rows)
                    yield prefilled
                self._prefixes.used(map(_prefix_of, chunk))
                self._trunks.used(row.rendered.token_ids for row in chunk)
                self._sampled.used(map(_sampled_of, chunk))

    def _prefilled(self, prefix: Tokens, layer: int | None, rows: Sequence[Row]) -> Iterator[Prefilled]:
        """Rows of one group: samples of what was prefilled before, then the others, each prompt and steering once."""
        samples: dict[Sampled, list[Row]] = defaultdict(list)
        for row in rows:
            samples[_sampled_of(row)].append(row)
        fresh: list[list[Row]] = []
        for key, same in samples.items():
            if (kept := self._sampled.get(key)) is None:
                fresh.append(same)
            else:
                past = self._past(self._prefixes_of(prefix, same), same)
                yield self._seatable(same, past, kept.take([0] * len(same)))
        if not fresh:
            return
        firsts, every = [same[0] for same in fresh], [row for same in fresh for row in same]
        prefixes, trunks = self._prefixes_of(prefix, firsts), self._trunks_of(prefix, firsts)
        past = self._past(prefixes, firsts)
        found = self._unsteered(trunks, _firsts(every)) if layer is None else self._steered(firsts, trunks, past, layer)
        for at, (key, same) in enumerate((_sampled_of(same[0]), same) for same in fresh if layer is not None):
            if self._sampled.left(key) > len(same):
                one = found.take([at])
                self._sampled.keep({key: one}, one.tensors)
        if len(every) > len(firsts):
            past = self._past(prefixes, every)
            found = found.take([at for at, same in enumerate(fresh) for _ in same])
        yield self._seatable(every, past, found)

    def _prefix_trunk(self, prefix: Tokens) -> _Trunk:
        """The template prefix, unsteered: one of the few that are always kept."""
        if prefix not in self._prefix_trunks:
            result = self._runner.run(Segment([prefix], capture=self._capture, grain=self._grain))
            self._prefix_trunks[prefix] = _Trunk(complete(result.key_values), result.captured, result.tail, result.positions)
        return self._prefix_trunks[prefix]

    def _prefixes_of(self, prefix: Tokens, rows: Sequence[Row]) -> dict[Under, _Prefix]:
        """The template prefix under each steering of ``rows``, all of which begin at one layer, and under none."""
        if not prefix:
            return {}
        found = {UNSTEERED: _Prefix(len(prefix), _unpadded(self._prefix_trunk(prefix).key_values, len(prefix)))}
        layers = {under: row.first_layer for row in rows if (under := _under(row)) != UNSTEERED}
        found |= {under: kept for under in layers if (kept := self._prefixes.get((prefix, under))) is not None}
        missing = [under for under in layers if under not in found]
        most = self._runner.most_rows(rounded_up(len(prefix), self._grain.tokens))
        for chunk in chunks(missing, most):
            for under, made in self._steered_prefixes(prefix, chunk, layers[chunk[0]]).items():
                found[under] = made
                self._prefixes.keep({(prefix, under): made}, (one for kv in made.key_values for one in kv))
        return found

    def _steered_prefixes(self, prefix: Tokens, steerings: Sequence[Under], layer: int | None) -> dict[Under, _Prefix]:
        trunk = self._prefix_trunk(prefix)
        whole = layer is None or layer < 0 or borrows(trunk.key_values)
        entry = None if layer is None or whole else ForwardStart(layer, trunk.hidden[layer].expand(len(steerings), -1, -1))
        table = self._table(steerings, [len(prefix)] * len(steerings))
        result = self._runner.run(Segment([prefix] * len(steerings), table=table, entry=entry, grain=self._grain))
        made = {}
        for row, steering in enumerate(steerings):
            own = [kv if kv is None else (kv[0][row : row + 1].clone(), kv[1][row : row + 1].clone()) for kv in result.key_values]
            joined = tuple(shared if kv is None else kv for kv, shared in zip(own, trunk.key_values, strict=True))
            made[steering] = _Prefix(len(prefix), _unpadded(joined, len(prefix)))
        return made

    def _trunks_of(self, prefix: Tokens, rows: Sequence[Row]) -> list[_Trunk]:
        """Each row's own trunk."""
        known = {row.rendered.token_ids: self._trunks.get(row.rendered.token_ids) for row in rows}
        missing = [tokens for tokens, trunk in known.items() if trunk is None]
        if missing:
            suffixes = [tokens[len(prefix) :] for tokens in missing]
            past = self._past(self._prefixes_of(prefix, ()), [None] * len(missing))
            result = self._runner.run(
                Segment(suffixes, len(prefix), past, capture=self._capture, grain=self._grain, keep=self._keep)
            )
            self._measure_conditions(missing, result.witness)
            key_values_of = complete(result.key_values)
            made = {}
            for row, tokens in enumerate(missing):
                one = slice(row, row + 1)
                hidden = {layer: captured[one] for layer, captured in result.captured.items()}
                key_values = tuple((keys[one], values[one]) for keys, values in key_values_of)
                made[tokens] = _Trunk(key_values, hidden, result.tail[one], result.positions[one])
            held = (one for kv in key_values_of for one in kv)
            self._trunks.keep(made, (*held, *result.captured.values(), result.tail, result.positions))
            known |= made
        return [trunk for row in rows if (trunk := known[row.rendered.token_ids]) is not None]

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

    def _steered(self, rows: Sequence[Row], trunks: Sequence[_Trunk], past: list[KeyValue] | None, layer: int) -> _Suffix:
        # A block that reads another's keys and values needs that block to run.
        whole = layer < 0 or borrows(trunks[0].key_values)
        segment = Segment(
            [split(row)[1] for row in rows],
            len(split(rows[0])[0]),
            past,
            self._table([of_text(row) for row in rows], [len(row.rendered.token_ids) for row in rows], self._begun(rows)),
            None if whole else ForwardStart(layer, torch.cat([trunk.hidden[layer] for trunk in trunks])),
            grain=self._grain,
            keep=self._keep,
        )
        result = self._runner.run(segment)
        below = 0 if whole else layer + 1
        shared = [stack(trunk.key_values[block] for trunk in trunks) for block in range(below)]
        key_values = complete([*shared, *result.key_values[below:]])
        unsteered = tuple(trunk.tail for trunk in trunks)
        return _Suffix(result.positions, key_values, result.tail, result.witness, unsteered)

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

    def _past(self, prefixes: Mapping[Under, _Prefix], rows: Sequence[Row | None]) -> list[KeyValue] | None:
        """Prefix keys and values of each row's steering (None: unsteered), per block ``[R, K, P, e]``; None where there is no
        prefix."""
        if not prefixes:
            return None
        kept = [prefixes[UNSTEERED if row is None else _under(row)] for row in rows]
        return [stack(one.key_values[block] for one in kept) for block in range(len(kept[0].key_values))]


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
