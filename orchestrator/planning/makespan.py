"""How long a sweep takes on so many equal GPUs: list scheduling over model variants, each of which may run as replicas."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

CANDIDATES = 24
"""Chunk lengths that are tried, in a geometric row from the longest load to the whole work."""


@dataclass(frozen=True)
class VariantTime:
    """One variant: ``work`` seconds that may be split among replicas, and the seconds of the load that each replica needs."""

    work: float
    load: float


@dataclass(frozen=True)
class Makespan:
    """``seconds`` until the last of ``gpus`` is done; ``gpu_seconds`` that GPUs are busy, over all ``loads``."""

    gpus: int
    seconds: float
    gpu_seconds: float
    loads: int


def makespan(variants: Sequence[VariantTime], gpus: int) -> Makespan:
    """The shortest schedule that splitting and longest-first list scheduling find on ``gpus``, one variant on a GPU at a time.

    Every variant is cut into equal pieces of at most a chunk length, each with a load of its own; the pieces go, longest first,
    to the GPU that is free first; the best of several chunk lengths is taken. An upper bound of the best schedule but for what
    it leaves out: waiting for another variant's direction, or for a grid that chooses settings.
    """
    if not variants:
        return Makespan(gpus, 0.0, 0.0, 0)
    total = sum(one.work + one.load for one in variants)
    least = max(one.load for one in variants) + 1e-9
    steps = max(1, CANDIDATES - 1)
    lengths = [least * (max(total, least) / least) ** (step / steps) for step in range(steps + 1)]
    found = [_scheduled(variants, gpus, length) for length in lengths]
    return min(found, key=lambda one: (round(one.seconds, 6), one.loads))


def _scheduled(variants: Sequence[VariantTime], gpus: int, length: float) -> Makespan:
    pieces: list[float] = []
    for one in variants:
        count = min(gpus, max(1, math.ceil(one.work / length)))
        pieces += [one.work / count + one.load] * count
    free = [0.0] * gpus
    for piece in sorted(pieces, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + piece)
    return Makespan(gpus, max(free), sum(pieces), len(pieces))
