"""nnsight as it edits: the output of a block is set within a trace, once for every forward of the answer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nnsight import TransformersModel
from torch import Tensor

from actors.extraction.nnsight import restored
from actors.loading import LoadedModel
from actors.parity.steered import Forward


@contextmanager
def steer_with_nnsight(loaded: LoadedModel, layer: int, vector: Tensor) -> Iterator[Forward]:
    """``block.output`` set anew: a tuple keeps all but its first."""
    with restored(loaded.model):
        traced = TransformersModel(loaded.model, tokenizer=copy.deepcopy(loaded.tokenizer), task="text-generation")
        answered: list[Any] = []  # made outside of a trace, whose own names end with it
        block = traced.get(f"{loaded.decoder.blocks_path}.{layer}")

        def forward(inputs: dict[str, Any]) -> Any:
            with traced.trace(inputs):
                output = block.output
                if isinstance(output, tuple):
                    block.output = (output[0] + vector.to(output[0].device, output[0].dtype), *output[1:])
                else:
                    block.output = output + vector.to(output.device, output.dtype)
                answered.append(traced.output.save())
            return answered.pop()

        yield forward
