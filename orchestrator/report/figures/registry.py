"""The figures of the page. A new one is a file here and a line in ``FIGURES``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.report.figures import (
    angles,
    coverage,
    curves,
    damage,
    depths,
    doses,
    equal_damage,
    flips,
    heat_maps,
    methods,
    motion,
    norms,
    paper,
    propagation,
    quantization,
    random_floor,
    scaling,
    stability,
    transfer,
)
from orchestrator.report.figures.chart import Chart
from orchestrator.report.findings import SweepFindings

SERIES = "series"
"""The heading of figures whose panels stand each in the part of its series."""


@dataclass(frozen=True)
class FigureKind:
    """A figure: the ``heading`` of ``sections.SECTIONS`` under which it stands (or ``SERIES``), what it shows and how to read it,
    and its panels, none where there is nothing to draw."""

    heading: str
    about: str
    charts: Callable[[SweepFindings], Iterable[Chart]]


FIGURES: dict[str, FigureKind] = {
    "heat-map": FigureKind(
        SERIES, "Percent of the responses of each cell (damage: nats), layer by multiplier; grey: not finished.", heat_maps.charts
    ),
    "dose-response": FigureKind(
        SERIES,
        "Success over the strength, a line per steered layer (at most the eight highest), with 95 % intervals.",
        doses.charts,
    ),
    "depth-profile": FigureKind(
        SERIES,
        "Success over the steered depth, a line per multiplier (at most the eight highest), with 95 % intervals.",
        depths.charts,
    ),
    "flips": FigureKind(
        SERIES,
        "What each prompt's first answer counts as in each cell; above, the prompts that differ most often from the unsteered.",
        flips.charts,
    ),
    "coverage": FigureKind("Overview", "Finished cells of those planned, by model and what was done to it.", coverage.charts),
    "scaling": FigureKind(
        "Overview",
        "The best cell of each size, in-sample wherever it is the best of several, with 95 % intervals; and the depth at which "
        "it lies.",
        scaling.charts,
    ),
    "damage": FigureKind(
        "Damage",
        "Every cell whose damage was measured: success against KL(unsteered ‖ steered) on neutral prompts; the front joins those "
        "that no other beats in both.",
        damage.charts,
    ),
    "equal-damage": FigureKind(
        "Equal damage",
        "Success of steerings whose strengths were chosen for equal KL(unsteered ‖ steered) on neutral prompts, with 95 % "
        "intervals (‡: not matched, the strongest that was tried).",
        equal_damage.charts,
    ),
    "methods": FigureKind("Methods", "Each method at its best cell of a model, with 95 % intervals.", methods.charts),
    "quantization": FigureKind(
        "Quantization", "The forms of a model's weights at one setting, with 95 % intervals, and how far the direction turned.",
        quantization.charts,
    ),
    "angles": FigureKind(
        "Angles between layers",
        "Angles between the directions of layers, with 95 % intervals: as estimated, without what estimating adds, and what "
        "would be seen if nothing turned.",
        angles.charts,
    ),
    "stability": FigureKind(
        "Stability",
        "The cosine to expect between directions from other prompts: over the number of prompts of each class (1 / (1 + k/n + "
        "floor)), and at the number there is, with 95 % intervals.",
        stability.charts,
    ),
    "curves": FigureKind(
        "Curves through centroids",
        "How far each layer's curve bends beside a straight one of the same scatter, and the knots of a few layers by rising "
        "strength with their standard errors (hollow: soft).",
        curves.charts,
    ),
    "propagation": FigureKind(
        "Propagation",
        "Cosines of the shift that arrives at each layer, with 95 % intervals over prompts; beside them where one more random "
        "direction of the same length would lie.",
        propagation.charts,
    ),
    "random-floor": FigureKind(
        "Random floor",
        "KL(unsteered ‖ steered) of the next token, of random directions from their 5th to their 95th percentile; and the share "
        "of random directions that move it less, with 95 % intervals.",
        random_floor.charts,
    ),
    "motion": FigureKind(
        "Orthogonal motion",
        "The share of a steered centroid's shift at right angles to the unsteered classes' difference, with 95 % intervals.",
        motion.charts,
    ),
    "transfer": FigureKind(
        "Transfer",
        "TE of every source in every target over both counts, and the cosine of their directions; grey: undefined, not run or "
        "not comparable (both widths).",
        transfer.charts,
    ),
    "norm-and-rate": FigureKind(
        "Norms", "Success of each direction's best multiplier against the direction's norm before normalising.", norms.charts
    ),
    "paper": FigureKind(
        "Beside the paper",
        "The paper's Figures 1 to 8 as far as the sweep ran their cells: its rates beside ours, both with 95 % intervals.",
        paper.charts,
    ),
}  # fmt: skip
"""By the name of their files, in the order of the page."""
