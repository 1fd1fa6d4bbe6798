"""Did the steering fire? Compare what each block put out with what the next module received, against what was asked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.positions import ALL
from actors.schedules import Schedule
from actors.steering import SteeringBank, Witness
from actors.types import FiredCheck

TOLERANCE = 0.1
"""A row fired when its measured shift along the asked one lies within this share of it, at every steered layer.

Float32 is exact to 1e-4; in bfloat16 a shift far below the stream's own rounding step can vanish, and that must show.
"""

HELD = 1 / 8
"""Where a schedule leaves less than this share of the strength rounding may swallow it, and it is not held against a row."""


def record_firing(prefilled: Prefilled, bank: SteeringBank) -> None:
    """Write shift ratio, off-axis share and residual norm into rows whose prompts are all steered, or none of them; measured at
    the last prompt token, and where rows are steered at some tokens only at all that ran; read from the device once."""
    rows, witness = prefilled.rows, prefilled.witness
    first = rows[0].entry
    if first is None:
        steered = [(row, witness.raw[row.first_layer][place]) for place, row in enumerate(rows) if row.first_layer is not None]
        if steered:
            found = torch.stack([raw for _, raw in steered]).double().norm(dim=-1).tolist()
            for (row, _), norm in zip(steered, found, strict=True):
                row.residual_norm = norm
        return
    numbers = torch.tensor([row.steering for row in rows], device=prefilled.logits.device)
    ratios, off_axis, _ = _measure(witness, bank, numbers)
    norms = witness.raw[first].double().norm(dim=-1)
    measured = torch.cat([_range(ratios), _most(off_axis), norms[:, None]], dim=1)
    for row, (lowest, highest, off, norm) in zip(rows, measured.tolist(), strict=True):
        _note(row, lowest, highest, off)
        row.residual_norm = norm
    if any(row.positions != ALL for row in rows):
        _record_places(prefilled)


def record_step(rows: Sequence[Row], places: Sequence[int], witness: Witness, bank: SteeringBank) -> None:
    """The same of rows that have read the token of their answer that stands at ``places``."""
    numbers = torch.tensor([row.steering for row in rows], device=witness.raw[0].device)
    tokens = [place - row.rendered.prompt_tokens for row, place in zip(rows, places, strict=True)]
    shares = [[Schedule.of(row.schedule).share(token)] for row, token in zip(rows, tokens, strict=True)]
    part = torch.tensor(shares, dtype=torch.float64, device=numbers.device)
    ratios, off_axis, moves = _measure(witness, bank, numbers, part)
    measured = torch.cat([_range(ratios), _most(off_axis), _most(moves), part], dim=1).tolist()
    for row, place, (lowest, highest, off, moved, share) in zip(rows, places, measured, strict=True):
        asked = asked_at(row, place) and share > 0
        if asked and share >= HELD:
            _note(row, lowest, highest, off)
        elif not asked:
            row.stray = max(row.stray or 0.0, moved)


def asked_at(row: Row, place: int) -> bool:
    """Whether the token at ``place`` is to be edited, as its positions say it in words: apart from the spans that the engine
    works with, so that a mistake there shows."""
    token = place - row.rendered.prompt_tokens  # of the answer, from 0
    for part in row.positions.split("+"):
        word, _, number = part.partition(":")
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


def _record_places(prefilled: Prefilled) -> None:
    """What arrived token by token, of the rows that are steered at some of them only."""
    if not prefilled.witness.arrived:
        return  # the same edit at every token, as measured at the last
    arrived = torch.stack([*prefilled.witness.arrived.values()], dim=-1)  # [R, T, 2, layers]
    ratios, moves = arrived[:, :, 0], arrived[:, :, 1]
    measured = torch.cat([_range(ratios), _most(moves)], dim=2).tolist()
    for row, found, places in zip(prefilled.rows, measured, prefilled.spans[-1][0].tolist(), strict=True):
        if row.positions == ALL:
            continue
        for (lowest, highest, moved), place in zip(found, places, strict=True):
            if place >= 0 and asked_at(row, place):
                _note(row, lowest, highest, 0.0)
            elif place >= 0:
                row.stray = max(row.stray or 0.0, moved)


def _note(row: Row, lowest: float, highest: float, off: float) -> None:
    """Of all that is measured of a row the worst counts; where nothing was asked the lowest ratio is above the highest."""
    if lowest <= highest:
        before = row.shift_ratio or (lowest, highest)
        row.shift_ratio = min(lowest, before[0]), max(highest, before[1])
        row.off_axis = max(off, row.off_axis or 0.0)


def _range(ratios: Tensor) -> Tensor:
    """The lowest and the highest over the last dimension, NaN left out, ``[..., 2]``."""
    nothing = torch.isnan(ratios)
    low, high = ratios.masked_fill(nothing, torch.inf).amin(dim=-1), ratios.masked_fill(nothing, -torch.inf).amax(dim=-1)
    return torch.stack([low, high], dim=-1)


def _most(found: Tensor) -> Tensor:
    """The highest over the last dimension, ``[..., 1]``; 0 where there is only NaN."""
    return found.nan_to_num(0.0).amax(dim=-1, keepdim=True)


def _measure(
    witness: Witness, bank: SteeringBank, numbers: Tensor, shares: Tensor | float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Ratio and off-axis share where ``shares`` ``[rows, 1]`` of the edits are asked, and the size of the move as a share of the
    whole one, ``[rows, layers]``; NaN where a row asks for nothing at a layer."""
    found = []
    for layer in bank.layers:
        raw = witness.raw[layer].double()
        asked, length = bank.asked(layer, numbers, raw, shares), bank.asked(layer, numbers, raw).norm(dim=-1)
        size = asked.pow(2).sum(-1)
        moved = witness.seen[layer].double() - raw
        along = [(moved * asked).sum(-1) / size, (moved - asked).norm(dim=-1) / size.sqrt()]
        found.append(torch.stack([*along, moved.norm(dim=-1) / length]).masked_fill(length == 0, torch.nan))
    if not found:  # no multiplier but 0
        found = [torch.full((3, len(numbers)), torch.nan, dtype=torch.float64, device=numbers.device)]
    ratios, off_axis, moves = torch.stack(found, dim=-1)
    return ratios, off_axis, moves


def check_of(rows: list[Row]) -> FiredCheck:
    """The check of a whole cell from its rows; ``fired`` is None when nothing was asked."""
    due = [row for row in rows if _due(row)]
    ratios = [row.shift_ratio for row in due if row.shift_ratio is not None]
    stray = max((row.stray for row in rows if row.stray is not None), default=None)
    strayed = stray is not None and stray > TOLERANCE
    if not ratios:
        return FiredCheck(fired=False if strayed else None, stray_max=stray)
    low, high = min(ratio[0] for ratio in ratios), max(ratio[1] for ratio in ratios)
    fired = len(ratios) == len(due) and low >= 1 - TOLERANCE and high <= 1 + TOLERANCE and not strayed
    return FiredCheck(fired, low, high, max(row.off_axis or 0.0 for row in due), stray)


def _due(row: Row) -> bool:
    """Whether the row has read a token at which an edit is held against it: the last one of an answer that was cut off is not
    read, and of a prompt that is edited the last one always is."""
    prompt, fade = row.rendered.prompt_tokens, Schedule.of(row.schedule)
    read = prompt + len(row.tokens) - (row.finish != "stop")
    places = (prompt - 1, *range(prompt, read))
    return row.positions == ALL or any(asked_at(row, place) and fade.share(place - prompt) >= HELD for place in places)
