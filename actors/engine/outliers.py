"""INT8's outlier columns: the one thing in a loaded model that lets a prompt change the activations of the prompts beside it."""

from __future__ import annotations

from typing import Any


def outlier_threshold(model: Any) -> float:
    """The largest threshold of bitsandbytes' INT8 layers in ``model``, however it came to have them; 0 where it has none.

    A column of activations above it counts as an outlier for *every* row of the forward, so a prompt's activations then depend
    on what runs beside it: such a model is read one prompt at a time.
    """
    layers = (module for module in model.modules() if type(module).__name__ == "Linear8bitLt")
    return max((float(layer.state.threshold) for layer in layers), default=0.0)
