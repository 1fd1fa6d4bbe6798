"""Where in a model: depths to layers, corresponding layers of two models, and the layers that a scope steers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from orchestrator.cells import Scope

PROFILE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Depths of a profile: 10 % steps (paper section 5.3)."""


@dataclass(frozen=True)
class LayerPoint:
    """A point of the layer axis: ``depth`` (exact, relative to the number of layers) and the ``layer`` that it is."""

    depth: Fraction
    layer: int

    def within(self, n_layers: int) -> LayerPoint:
        """The same relative depth in a model of ``n_layers``: layer ``floor(depth * n_layers)``."""
        return LayerPoint(self.depth, int(self.depth * n_layers))


def layer_at(depth: float, n_layers: int) -> int:
    """``floor(depth * n_layers)`` of the depth as it was written: 0.7 of 30 layers is 21, whatever 0.7 is in binary."""
    return int(Fraction(repr(depth)) * n_layers)


def places(depths: Iterable[float], layers: Iterable[int], n_layers: int) -> tuple[LayerPoint, ...]:
    """The layer axis of one model of ``n_layers`` blocks, by ascending layer, each layer once (a written depth first)."""
    found: dict[int, LayerPoint] = {}
    for depth in depths:
        found.setdefault(layer_at(depth, n_layers), LayerPoint(Fraction(repr(depth)), layer_at(depth, n_layers)))
    for layer in layers:
        found.setdefault(layer, LayerPoint(Fraction(layer, n_layers), layer))
    return tuple(found[layer] for layer in sorted(found))


def corresponding_layer(layer: int, n_source: int, n_target: int) -> int:
    """The layer at the same relative depth in a model of another number of layers: ``floor(layer * n_target / n_source)``."""
    return layer * n_target // n_source


def steered_layers(scope: Scope, layer: int, n_layers: int) -> tuple[int, ...]:
    """The layers that a scope steers from its place on ``layer``; a ``list`` steers the whole layer axis instead."""
    if scope == "all":
        return tuple(range(n_layers))
    return (layer,) if scope == "single" else tuple(range(layer, n_layers))
