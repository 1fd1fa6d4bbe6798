"""Did the steering fire? Compare what each block put out with what the next module received, against what was asked."""

from __future__ import annotations

import torch
from torch import Tensor

from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.steering import SteeringBank, Witness
from actors.types import FiredCheck

TOLERANCE = 0.1
"""A row fired when its measured shift along the asked one lies within this share of it, at every steered layer.

Float32 is exact to 1e-4; in bfloat16 a shift far below the stream's own rounding step can vanish, and that must show.
"""


def record_firing(prefilled: Prefilled, bank: SteeringBank) -> None:
    """Write shift ratio, off-axis share and residual norm into every steered row, measured at the last prompt token."""
    steered = [index for index, row in enumerate(prefilled.rows) if row.steering]
    if not steered:
        return
    rows = [prefilled.rows[index] for index in steered]
    numbers = torch.tensor([row.steering for row in rows], device=prefilled.logits.device)
    ratios, off_axis = _measure(prefilled.witness, bank, numbers, steered)
    for place, row in enumerate(rows):
        own = ratios[place][~torch.isnan(ratios[place])]
        if len(own):
            row.shift_ratio = (float(own.min()), float(own.max()))
            row.off_axis = float(off_axis[place].nan_to_num(0.0).max())
        row.residual_norm = _residual_norm(prefilled.witness, row, steered[place])


def _measure(witness: Witness, bank: SteeringBank, numbers: Tensor, places: list[int]) -> tuple[Tensor, Tensor]:
    """Ratio and off-axis share ``[rows, layers]``, NaN where a row asks for nothing at a layer."""
    ratios, off_axis = [], []
    for layer in bank.layers:
        raw = witness.raw[layer][places].double()
        seen = witness.seen[layer][places].double()
        asked = bank.asked(layer, numbers, raw)
        size = asked.pow(2).sum(-1)
        moved = seen - raw
        none = size == 0
        ratios.append(((moved * asked).sum(-1) / size).masked_fill(none, torch.nan))
        off_axis.append(((moved - asked).norm(dim=-1) / size.sqrt()).masked_fill(none, torch.nan))
    if not ratios:
        empty = torch.zeros(len(places), 0)
        return empty, empty
    return torch.stack(ratios, dim=1), torch.stack(off_axis, dim=1)


def _residual_norm(witness: Witness, row: Row, place: int) -> float | None:
    if row.first_layer is None:
        return None
    return float(witness.raw[row.first_layer][place].double().norm())


def check_of(rows: list[Row]) -> FiredCheck:
    """The check of a whole cell from its rows; ``fired`` is None when nothing was asked."""
    ratios = [row.shift_ratio for row in rows if row.shift_ratio is not None]
    if not ratios:
        return FiredCheck(fired=None)
    low, high = min(ratio[0] for ratio in ratios), max(ratio[1] for ratio in ratios)
    fired = len(ratios) == len(rows) and low >= 1 - TOLERANCE and high <= 1 + TOLERANCE
    return FiredCheck(fired, low, high, max(row.off_axis or 0.0 for row in rows))
