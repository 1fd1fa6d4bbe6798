"""Metrics to Weights & Biases, or nowhere. Our own store is the truth; a tracker is a projection that may be missing.

A tracker never raises into the sweep and never holds it up for long.
"""

from orchestrator.tracking.points import axes, live_rates, metrics, run_config, shares, tags_of, use_points
from orchestrator.tracking.tracker import RunIdentity, Tracker
from orchestrator.tracking.wandb_tracker import WandbTracker

__all__ = [
    "RunIdentity",
    "Tracker",
    "WandbTracker",
    "axes",
    "live_rates",
    "metrics",
    "run_config",
    "shares",
    "tags_of",
    "use_points",
]
