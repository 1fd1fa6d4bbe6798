"""No test reaches for a hub or a network; Ray and OpenMP behave on a small machine."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = os.environ.get("WANDB_MODE", "offline")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
