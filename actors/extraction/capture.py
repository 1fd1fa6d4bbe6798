"""One capture of activations per model and set of prompts, kept for every method that starts from it."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from actors.engine.engine import on_cuda
from actors.engine.outliers import outlier_threshold
from actors.engine.rotary import Rotary
from actors.errors import NonFiniteActivationError, OutOfMemoryError
from actors.extraction import EXTRACTORS
from actors.extraction.batches import MAX_BATCH_TOKENS, first_lot, left_padded, tokens_of
from actors.faults import is_out_of_memory
from actors.loading import LoadedModel
from actors.prompts import Rendered
from actors.sites import OUTPUT
from actors.types import FloatArray, Prompt

logger = logging.getLogger(__name__)

KEPT_BYTES = 2**30
"""Activations kept in host memory at most; also the size up to which every template position is read unasked."""


@dataclass(frozen=True)
class CaptureKey:
    """What a capture is of; the model is the one that the cache was made for."""

    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...]
    extractor: str
    site: str = OUTPUT


class Captures:
    """The captures of one loaded model, least recently used first; never more than ``kept_bytes`` of them."""

    def __init__(self, loaded: LoadedModel, kept_bytes: int = KEPT_BYTES) -> None:
        self._loaded, self._kept_bytes = loaded, kept_bytes
        self._kept: OrderedDict[CaptureKey, FloatArray] = OrderedDict()
        self.alone = loaded.decoder.runs_alone or outlier_threshold(loaded.model) > 0
        """Whether every prompt is read by itself: padding would enter a state, or INT8 choose its outlier columns over all."""

    def of(self, key: CaptureKey, every_position: bool) -> tuple[FloatArray, FloatArray]:
        """Activations ``[n, P, L, d]`` of both classes, positive first, at the last P tokens.

        P counts all template tokens after the user's text that these prompts share, or is 1 where that would be too large and
        ``every_position`` is not asked for. Raises ``NonFiniteActivationError``.
        """
        kept = self._kept.get(key)
        prompts = (*key.positive, *key.negative)
        positions = self._positions(prompts, every_position)
        if kept is None or kept.shape[1] < positions:
            kept = read(self._loaded, prompts, (key.extractor, key.site), positions, self.alone)
            self._keep(key, kept)
        else:
            self._kept.move_to_end(key)
        return kept[: len(key.positive)], kept[len(key.positive) :]

    def _positions(self, prompts: Sequence[Prompt], every_position: bool) -> int:
        shared = min(self._loaded.renderer.render(prompt).suffix for prompt in prompts)
        size = len(prompts) * shared * self._loaded.decoder.n_layers * self._loaded.d_model * 4
        return shared if every_position or size <= self._kept_bytes else 1

    def _keep(self, key: CaptureKey, read: FloatArray) -> None:
        if read.nbytes > self._kept_bytes:
            return
        self._kept[key] = read
        self._kept.move_to_end(key)
        while sum(kept.nbytes for kept in self._kept.values()) > self._kept_bytes:
            self._kept.popitem(last=False)


def read(loaded: LoadedModel, prompts: Sequence[Prompt], reader: tuple[str, str], positions: int, alone: bool) -> FloatArray:
    """What stands at a site of all blocks at the last ``positions`` tokens of every prompt, ``[n, P, L, d]`` float32, not to be
    written to. ``reader``: extractor and site.

    ``alone``: one prompt per forward. Out of memory halves the batches and goes on; ``OutOfMemoryError`` for a single prompt that
    does not fit.
    """
    rendered = [loaded.renderer.render(prompt) for prompt in prompts]
    tokens = 0 if alone else MAX_BATCH_TOKENS
    activations = torch.cat(list(_outputs(loaded, rendered, (*reader, positions), tokens)))
    finite = torch.isfinite(activations)
    if not finite.all():
        layers = torch.nonzero(~finite.all(dim=-1).all(dim=0).all(dim=0)).flatten().tolist()
        raise NonFiniteActivationError(f"the residual stream is not finite at layers {layers} in {loaded.spec.dtype}")
    result = np.asarray(activations.numpy())
    result.flags.writeable = False
    return result


def _outputs(
    loaded: LoadedModel, rendered: Sequence[Rendered], reading: tuple[str, str, int], tokens: int
) -> Iterator[torch.Tensor]:
    """Batch by batch of at most ``tokens`` but at least one prompt, in their order."""
    extractor, site, positions = reading
    rotary = Rotary.of(loaded.model)

    def shares(prompt: Rendered) -> bool:
        return not loaded.decoder.runs_alone and rotary.shares(len(prompt.token_ids))

    while rendered:
        lot = first_lot(rendered, tokens, shares)
        rotary.restore()
        try:
            output = EXTRACTORS[extractor](loaded, left_padded(loaded, lot), positions, site)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(lot) == 1:
                raise OutOfMemoryError(f"out of memory while it read the activations of a single prompt: {error}") from error
            tokens = tokens_of(lot) // 2
            logger.warning("out of memory: reading activations of at most %d tokens at once", tokens)
            if on_cuda(loaded.device):
                torch.cuda.empty_cache()
            continue
        yield output
        rendered = rendered[len(lot) :]
