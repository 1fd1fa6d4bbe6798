"""Equal damage: the strength at which a steering moves neutral prompts as far as another one does.

At one layer the KL of the next token grows with what is added, nearly as a power of it. Where the settings that were tried reach
the wanted KL, the strength is therefore interpolated between the two around it, in logarithms of both; along a curve, whose
strengths have no natural zero, of an angle, and from a strength of 0 on, in the strength itself. What it really does is measured
again on the cells that use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.planning.considered import Considered, choose

SMALLEST = 1e-12
"""A KL that nothing is interpolated below, in nats."""


@dataclass(frozen=True)
class Match:
    """A ``multiplier`` at the layer of ``nearest``, the tried setting whose KL is nearest to the wanted one. ``reached``: whether
    the settings of that layer do that much damage; else it is the strongest of them."""

    nearest: Considered
    multiplier: float
    reached: bool


def matched(tried: Sequence[Considered], kl: float, max_garbled: float, evenly: bool = False) -> Match | None:
    """The strength at which the KL is ``kl``, at the layer that succeeds most among those that allow it; of layers where no
    setting does so much damage, the strongest setting. None where every setting does more, or garbles more than is allowed.

    ``tried``: measured, and all of one sign. ``evenly``: strengths are interpolated as they are.
    """
    layers: dict[int | None, list[Considered]] = {}
    for one in sorted(tried, key=lambda one: abs(one.multiplier)):
        layers.setdefault(one.layer, []).append(one)
    found = [match for settings in layers.values() if (match := _at_layer(settings, kl, evenly)) is not None]
    reaching = [match for match in found if match.reached] or found
    best = choose([match.nearest for match in reaching], max_garbled)
    return next((match for match in reaching if match.nearest is best), None)


def _at_layer(settings: Sequence[Considered], kl: float, evenly: bool) -> Match | None:
    """Between the first two neighbours around ``kl``; ``settings`` by rising strength."""
    damage = [max(SMALLEST, one.kl or 0.0) for one in settings]
    for place, (weaker, stronger) in enumerate(pairwise(damage)):
        if weaker <= kl <= stronger:
            share = math.log(kl / weaker) / math.log(stronger / weaker) if stronger > weaker else 0.0
            first, second = (abs(settings[one].multiplier) for one in (place, place + 1))
            between = first + (second - first) * share if evenly or first == 0 else first * (second / first) ** share
            strength = math.copysign(between, settings[place + 1].multiplier)
            return Match(settings[place + (share > 0.5)], float(f"{strength:.6g}"), reached=True)
    return Match(settings[-1], settings[-1].multiplier, reached=False) if max(damage) < kl else None
