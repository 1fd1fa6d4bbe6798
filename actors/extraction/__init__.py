"""Reading the residual stream at the last prompt tokens, one file per tool, listed here.

Every extractor returns the same tensor: what the tools differ in is how they read, not what.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from actors.extraction.batches import PromptBatch
from actors.extraction.hooks import read_with_hooks
from actors.extraction.nnsight import read_with_nnsight
from actors.loading import LoadedModel
from actors.sites import OUTPUT


class Extractor(Protocol):
    """A tool that reads."""

    def __call__(self, loaded: LoadedModel, batch: PromptBatch, positions: int, site: str = OUTPUT) -> Tensor:
        """What stands at a site of all blocks, for a left-padded batch of B prompts at the last P tokens, ``[B, P, L, d]``
        float32 on the CPU."""
        ...


EXTRACTORS: dict[str, Extractor] = {
    "nnsight": read_with_nnsight,
    "hooks": read_with_hooks,
}

__all__ = ["EXTRACTORS", "Extractor", "PromptBatch"]
