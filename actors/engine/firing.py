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
    """Write shift ratio, off-axis share and residual norm into rows that are all steered, or none of them; measured at the last
    prompt token and read from the device once for all rows."""
    first = prefilled.rows[0].first_layer
    if first is None:
        return
    numbers = torch.tensor([row.steering for row in prefilled.rows], device=prefilled.logits.device)
    ratios, off_axis = _measure(prefilled.witness, bank, numbers)
    norms = prefilled.witness.raw[first].double().norm(dim=-1)
    nothing = torch.isnan(ratios)
    low, high = ratios.masked_fill(nothing, torch.inf).amin(dim=1), ratios.masked_fill(nothing, -torch.inf).amax(dim=1)
    measured = torch.stack([low, high, off_axis.nan_to_num(0.0).amax(dim=1), norms], dim=1)
    for row, (lowest, highest, off, norm) in zip(prefilled.rows, measured.tolist(), strict=True):
        if lowest <= highest:
            row.shift_ratio, row.off_axis = (lowest, highest), off
        row.residual_norm = norm


def _measure(witness: Witness, bank: SteeringBank, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Ratio and off-axis share ``[rows, layers]``, NaN where a row asks for nothing at a layer."""
    ratios, off_axis = [], []
    for layer in bank.layers:
        raw = witness.raw[layer].double()
        seen = witness.seen[layer].double()
        asked = bank.asked(layer, numbers, raw)
        size = asked.pow(2).sum(-1)
        moved = seen - raw
        none = size == 0
        ratios.append(((moved * asked).sum(-1) / size).masked_fill(none, torch.nan))
        off_axis.append(((moved - asked).norm(dim=-1) / size.sqrt()).masked_fill(none, torch.nan))
    if not ratios:  # no multiplier but 0
        none = torch.full((len(numbers), 1), torch.nan, dtype=torch.float64, device=numbers.device)
        return none, none
    return torch.stack(ratios, dim=1), torch.stack(off_axis, dim=1)


def check_of(rows: list[Row]) -> FiredCheck:
    """The check of a whole cell from its rows; ``fired`` is None when nothing was asked."""
    ratios = [row.shift_ratio for row in rows if row.shift_ratio is not None]
    if not ratios:
        return FiredCheck(fired=None)
    low, high = min(ratio[0] for ratio in ratios), max(ratio[1] for ratio in ratios)
    fired = len(ratios) == len(rows) and low >= 1 - TOLERANCE and high <= 1 + TOLERANCE
    return FiredCheck(fired, low, high, max(row.off_axis or 0.0 for row in rows))
