"""Did the steering fire? Compare what each block put out with what the next module received, against what was asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import isnan

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.positions import ALL
from actors.schedules import Schedule
from actors.stacks import StackBank
from actors.steering import SMALLEST, Witness
from actors.types import FiredCheck

TOLERANCE = 0.1
"""A row fired when its measured shift along the asked one lies within this share of it, at every steered layer.

Float32 is exact to 1e-4; in bfloat16 a shift far below the stream's own rounding step can vanish, and that must show. What an
ablation or a turn asks for may be as small, where there is nothing to take away: that is no mistake, and is left out.
"""

HELD = 1 / 8
"""Where a schedule leaves less than this share of the strength rounding may swallow it, and it is not held against a row."""


MARGIN = 0.02
"""Cosines of one prompt, measured in two forwards, differ by less than this whatever the model's dtype."""


def record_firing(prefilled: Prefilled, bank: StackBank) -> None:
    """Write shift ratio, off-axis share and residual norm into rows whose prompts are all steered, or none of them; measured at
    the last prompt token, and where rows are steered at some tokens only at all that ran; read from the device once."""
    rows, witness = prefilled.rows, prefilled.witness
    first = rows[0].entry
    if first is None:
        for row, norm in zip(rows, _norms(rows, witness).tolist(), strict=True):
            row.residual_norm = None if isnan(norm) else norm
        return
    places = [row.rendered.prompt_tokens - 1 for row in rows]
    for row, norm in zip(rows, _record(rows, places, witness, bank, _norms(rows, witness)), strict=True):
        row.residual_norm = None if isnan(norm) else norm
    if any(act.positions != ALL for row in rows for act in row.acts):
        _record_places(prefilled)


def _norms(rows: Sequence[Row], witness: Witness) -> Tensor:
    """The norm of what stands where the first part of each row's steering first acts, ``[rows]``; NaN of a row without one, and
    of one that is steered in its answer alone, at another site than a block's output."""
    places: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        point = row.first_layer if row.first_point is None else row.first_point
        places[-1 if point is None or point not in witness.raw else point].append(place)
    device = next(iter(witness.raw.values())).device if witness.raw else torch.device("cpu")
    found = torch.full((len(rows),), torch.nan, dtype=torch.float64, device=device)
    for point, some in places.items():
        if point >= 0:
            at = torch.tensor(some, device=device)
            found[at] = witness.raw[point].double().norm(dim=-1)[at]
    return found


def record_step(rows: Sequence[Row], places: Sequence[int], witness: Witness, bank: StackBank) -> None:
    """The same of rows that have read the token of their answer that stands at ``places``."""
    _record(rows, places, witness, bank)


def _record(
    rows: Sequence[Row], places: Sequence[int], witness: Witness, bank: StackBank, also: Tensor | None = None
) -> list[float]:
    """Of rows whose newest token stands at ``places``, part by part; ``also`` ``[rows]`` is read with it and given back."""
    numbers = np.array([bank.padded([row.steering] * len(row.acts)) for row in rows])
    left = [[left_at(row, place, part) for part in range(bank.depth)] for row, place in zip(rows, places, strict=True)]
    shares = torch.tensor(left, dtype=torch.float64, device=bank.device)
    ratios, off_axis, moves = _measure(witness, bank, numbers, shares)
    measured = torch.cat([_range(ratios), _most(moves)], dim=-1).flatten(1)  # [rows, 3 P]
    others = torch.zeros_like(off_axis[:, :1]) if also is None else also[:, None]
    told = torch.cat([measured, _most(off_axis), others], dim=-1).tolist()
    for row, (*found, off, _), share in zip(rows, told, left, strict=True):
        for part in range(len(row.acts)):
            lowest, highest, moved = found[3 * part : 3 * part + 3]
            if share[part] and any(point not in witness.raw for point in bank.points(row.steering, part)):
                _note(row, part, 0.0, 0.0, 1.0)  # what it is to act at was never reached
            elif share[part] >= HELD:
                _note(row, part, lowest, highest, off)
                if lowest > highest and row.acts[part].follows:
                    row.resting.add(part)
                    row.stray = max(row.stray or 0.0, moved)
            elif not share[part]:
                row.stray = max(row.stray or 0.0, moved)
    return [row[-1] for row in told]


def left_at(row: Row, place: int, part: int) -> float:
    """Which share of a part's strength is to act at ``place``: none where it is not asked."""
    if part >= len(row.acts) or not asked_at(row, place, part):
        return 0.0
    return Schedule.of(row.acts[part].schedule).share(place - row.rendered.prompt_tokens)


def asked_at(row: Row, place: int, part: int = 0) -> bool:
    """Whether the token at ``place`` is to be edited by a part of the row's steering, as its positions say it in words and its
    condition by what was measured where the row's own prompt ran: apart from the spans that the engine works with, so that a
    mistake there shows."""
    if not _held(row, part):
        return False
    token = place - row.rendered.prompt_tokens  # of the answer, from 0
    for words in row.acts[part].positions.split("+"):
        word, _, number = words.partition(":")
        asked = {
            "all": True,
            "prompt": token < 0,
            "template": -row.rendered.suffix <= token < 0,
            "last_prompt": token == -1,
            "generation": token >= 0,
            "first": 0 <= token < int(number or 0),
            "from": token >= int(number or 0),
        }
        if asked[word]:
            return True
    return False


def _held(row: Row, part: int) -> bool:
    """Whether a part's condition is to hold; where the prompt was not measured again, or so near the threshold that rounding
    decides, as it was decided."""
    condition, again = row.acts[part].condition, row.again[part] if row.again else None
    if condition is None or condition.threshold is None or again is None or abs(again - condition.threshold) <= MARGIN:
        return row.holds(part)
    return condition.holds(again)


def _mistaken(row: Row) -> bool:
    """Whether a cosine that was decided by is not that of the row's own prompt."""
    pairs = zip(row.cosines, row.again, strict=False)
    return any(one is not None and other is not None and abs(one - other) > MARGIN for one, other in pairs)


def _record_places(prefilled: Prefilled) -> None:
    """What arrived token by token, of the rows that are steered at some of them only."""
    if not prefilled.witness.arrived:
        return  # the same edit at every token, as measured at the last
    read = prefilled.spans[-1][0]
    arrived = torch.stack(
        [pad(one, (0, 0, 0, 0, read.shape[1] - one.shape[1], 0), value=torch.nan) for one in prefilled.witness.arrived.values()],
        dim=-1,
    )  # [R, T, P, 2, layers]
    ratios, moves = arrived[:, :, :, 0], arrived[:, :, :, 1]
    measured = torch.cat([_range(ratios), _most(moves)], dim=-1).tolist()
    for row, found, places in zip(prefilled.rows, measured, read.tolist(), strict=True):
        for part, act in enumerate(row.acts):
            if act.positions == ALL:
                continue
            for parts, place in zip(found, places, strict=True):
                lowest, highest, moved = parts[part]
                if place >= 0 and asked_at(row, place, part):
                    _note(row, part, lowest, highest, 0.0)
                elif place >= 0:
                    row.stray = max(row.stray or 0.0, moved)


def _note(row: Row, part: int, lowest: float, highest: float, off: float) -> None:
    """Of all that is measured of a part the worst counts; where nothing was asked the lowest ratio is above the highest."""
    if lowest <= highest:
        before = row.shift_ratio.get(part, (lowest, highest))
        row.shift_ratio[part] = min(lowest, before[0]), max(highest, before[1])
        row.off_axis = max(off, row.off_axis or 0.0)


def _range(ratios: Tensor) -> Tensor:
    """The lowest and the highest over the last dimension, NaN left out, ``[..., 2]``."""
    nothing = torch.isnan(ratios)
    low, high = ratios.masked_fill(nothing, torch.inf).amin(dim=-1), ratios.masked_fill(nothing, -torch.inf).amax(dim=-1)
    return torch.stack([low, high], dim=-1)


def _most(found: Tensor) -> Tensor:
    """The highest over the last dimension, ``[..., 1]``; 0 where there is only NaN."""
    return found.nan_to_num(0.0).amax(dim=-1, keepdim=True)


def _measure(witness: Witness, bank: StackBank, numbers: NDArray[np.int64], shares: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Ratios ``[rows, P, layers]``, off-axis shares ``[rows, layers]`` and moves ``[rows, P, layers]`` where ``shares``
    ``[rows, P]`` of the edits of the parts ``numbers`` ``[rows, P]`` are asked.

    The ratio of a part is taken along its own edit, once what the others are asked for is taken out of the move. The move, of a
    part of which nothing is asked, is what nobody asked for as a share of the part's whole edit; beside other edits along it, as
    what these are rounded to is no move. NaN where there is nothing to say."""
    told = [_nothing(shares)]
    # Not within a block that did not run, nor where none of the rows is edited.
    concerned = ((layer, bank.concerned(layer, numbers)) for layer in bank.layers if layer in witness.raw)
    places = {layer: some for layer, some in concerned if len(some)}
    of_rows, *somewhere = _moved([numbers, *places.values()], shares.device)
    for layer, there in zip(places, somewhere, strict=True):
        raw, seen = (kind[layer].index_select(0, there) for kind in (witness.raw, witness.seen))
        found = _nothing(shares)
        found[:, :, there] = _measure_layer(bank, layer, (raw, seen), (of_rows[there], shares[there]))
        told.append(found)
    ratios, moves, off_axis = torch.stack(told, dim=-1).transpose(1, 2)
    return ratios, off_axis[:, 0], moves


def _moved(arrays: Sequence[NDArray[np.int64]], device: torch.device) -> list[Tensor]:
    """All of ``arrays`` on the device, for which the host waits once."""
    flat = torch.from_numpy(np.concatenate([one.ravel() for one in arrays])).to(device)
    parts = torch.split(flat, [one.size for one in arrays])
    return [part.view(one.shape) for part, one in zip(parts, arrays, strict=True)]


def _nothing(shares: Tensor) -> Tensor:
    return torch.full((3, *shares.T.shape), torch.nan, dtype=torch.float64, device=shares.device)


def _measure_layer(bank: StackBank, layer: int, states: tuple[Tensor, Tensor], asked_of: tuple[Tensor, Tensor]) -> Tensor:
    """Ratios, moves and off-axis shares (for every part the same) at one layer, ``[3, P, rows]``; ``states``: what the layer put
    out and what was received; ``asked_of``: the numbers of the rows' parts and the shares of them."""
    numbers, shares = asked_of
    raw, asked = states[0].double(), shares > 0
    moved = states[1].double() - raw
    wholes, changes = bank.changes(layer, numbers, raw, asked, shares)
    sizes, lengths = changes.square().sum(-1), wholes.norm(dim=-1)  # [P, rows]
    left = moved - changes.sum(0)
    off = left.norm(dim=-1)
    along = ((left + changes) * changes).sum(-1) / sizes
    beside = sizes.sum(0) > 0
    strays = torch.where(beside, (left * wholes).sum(-1).abs() / lengths, off) / lengths
    whole, here = lengths == 0, asked.T
    unsaid, unmoved = whole | ~here, whole | here
    if bank.any_follows:
        resting = whole & here & ~beside
        strays = torch.where(resting, off / raw.norm(dim=-1).clamp(min=SMALLEST), strays)
        missed, step = (along - 1).abs(), torch.finfo(states[0].dtype).eps
        after = raw + changes.sum(0)
        likely = missed <= step * (changes * after).norm(dim=-1) / sizes  # as errors that know nothing of each other add up
        within = (left.abs() <= step * after.abs()).all(dim=-1)  # or no number is off by more than it is rounded
        unmoved = unmoved & ~resting
        unsaid = unsaid | (bank.follows(numbers) & (missed > TOLERANCE) & (likely | within))
    moves = strays.masked_fill(unmoved, torch.nan)
    off_axis = (off / sizes.sum(0).sqrt()).masked_fill(~beside, torch.nan)
    return torch.stack([along.masked_fill(unsaid, torch.nan), moves, off_axis.expand_as(along)])


def check_of(rows: list[Row]) -> FiredCheck:
    """The check of a whole cell from its rows; ``fired`` is None when nothing was asked."""
    due = [(row, part) for row in rows for part in range(len(row.acts)) if _due(row, part)]
    due = [(row, part) for row, part in due if part in row.shift_ratio or part not in row.resting]
    ratios = [row.shift_ratio[part] for row, part in due if part in row.shift_ratio]
    stray = max((row.stray for row in rows if row.stray is not None), default=None)
    wrong = (stray is not None and stray > TOLERANCE) or any(map(_mistaken, rows))
    missed = any(part not in row.shift_ratio for row, part in due if row.acts[part].condition is not None)
    if not ratios:
        return FiredCheck(fired=False if wrong or missed else None, stray_max=stray)
    low, high = min(ratio[0] for ratio in ratios), max(ratio[1] for ratio in ratios)
    fired = len(ratios) == len(due) and low >= 1 - TOLERANCE and high <= 1 + TOLERANCE and not wrong
    return FiredCheck(fired, low, high, max(row.off_axis or 0.0 for row, _ in due), stray)


def _due(row: Row, part: int) -> bool:
    """Whether the row has read a token at which a part's edit is held against it: the last one of an answer that was cut off is
    not read, and of a prompt that is edited the last one always is."""
    if row.acts[part].idle:
        return False
    prompt = row.rendered.prompt_tokens
    read = prompt + len(row.tokens) - (row.finish != "stop")
    places = (prompt - 1, *range(prompt, read))
    return any(left_at(row, place, part) >= HELD for place in places)
