"""What is found in activations and in how a model takes steerings: statistics alone, from what workers have measured."""

from __future__ import annotations

from typing import Any

from orchestrator.analysis.analysis import Analysis
from orchestrator.analysis.angles import ANGLES
from orchestrator.analysis.categories import CATEGORIES
from orchestrator.analysis.motion import MOTION
from orchestrator.analysis.propagation import PROPAGATION
from orchestrator.analysis.random_floor import RANDOM_FLOOR
from orchestrator.analysis.splines import SPLINES
from orchestrator.analysis.stability import STABILITY

ANALYSES: dict[str, Analysis[Any]] = {
    "angles": ANGLES,
    "stability": STABILITY,
    "categories": CATEGORIES,
    "splines": SPLINES,
    "propagation": PROPAGATION,
    "random_floor": RANDOM_FLOOR,
    "motion": MOTION,
}
"""Every analysis that a sweep file may ask for; a further one adds its line here."""

__all__ = ["ANALYSES", "Analysis"]
