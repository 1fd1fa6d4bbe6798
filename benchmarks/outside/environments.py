"""The environments of the contenders that do not install beside ours."""

from __future__ import annotations

from pathlib import Path

from actors.environments import Environment
from actors.parity.tools import TOOLS

STEERING_VECTORS = TOOLS["steering-vectors"].environment
VLLM = Environment(
    "vllm", Path(__file__).with_name("requirements-vllm.txt"), unwanted=("torchvision", "torchaudio", "torchcodec")
)
