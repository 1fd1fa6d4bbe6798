"""The rules that say how much work a worker gets at once and when a second worker should load the same model."""

from __future__ import annotations

import math

BATCH_SECONDS = 60.0
"""A task is made to last about a minute: that is the most that a lost worker can lose, as finished cells stream back."""

BATCH_FILLS = 4
"""A task has at least this many times the engine's slots in rows, so that freed slots find a row to take."""

ASSUMED_ROWS_PER_SECOND = 2.0
ASSUMED_LOAD_SECONDS = 30.0
"""What a worker is taken to do before the first of its cells, or its first load, was measured."""

LOAD_PATIENCE_SECONDS = 300.0
"""A model that has been loading for longer (a worker that waits for a machine) no longer keeps others from loading it."""


def batch_rows(slots: int, rows_per_second: float | None, ready_rows: int, holders: int) -> int:
    """How many rows to hand out: about ``BATCH_SECONDS`` of work and enough to keep the slots full, but no more than
    a fair share of what is ready when several workers hold the model, and never less than one fill of the slots."""
    target = max(BATCH_FILLS * slots, math.ceil((rows_per_second or 0.0) * BATCH_SECONDS))
    fair_share = math.ceil(ready_rows / max(holders, 1))
    return max(slots, min(target, fair_share))


def remaining_seconds(open_rows: int, rows_per_second: float | None, holders: int) -> float:
    """How long ``holders`` workers will need for the rows that nobody runs yet."""
    return open_rows / (rows_per_second or ASSUMED_ROWS_PER_SECOND) / max(holders, 1)


def outlasts_a_load(seconds: float, load_seconds: float | None) -> bool:
    """The replica rule: another worker loads the model when the work left lasts longer than loading does."""
    return seconds > (load_seconds or ASSUMED_LOAD_SECONDS)
