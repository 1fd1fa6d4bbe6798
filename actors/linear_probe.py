"""A model as reader: what a linear probe says of answers by its activations.

The model reads a prompt and an answer as a conversation of its own, and writes nothing. Of every token of the answer the residual
stream is read after some of its blocks; the probe is a weighted sum of its mean over these tokens (mean pooling).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.boundary import Answered, outcome_of
from actors.engine.packing import Packing
from actors.errors import JobError, NonFiniteActivationError, WorkerError
from actors.loading import LoadedModel
from actors.prompts import common_prefix
from actors.steering import residual
from actors.types import Failure, FloatArray, LinearProbeJob, Prompt


class _ReadToTheEndError(Exception):
    """The last block that is wanted has run."""


def probe_answers(loaded: LoadedModel, packing: Packing, jobs: Sequence[LinearProbeJob]) -> Iterator[Answered | Failure]:
    """One outcome per job. An ``Answered`` holds, by the key of each question, the probe's sum (a log-odds), the tokens that were
    read and the seconds; an answer of several jobs is read once. See ``boundary.outcome_of``."""
    read: dict[tuple[str, str, tuple[int, ...], int], tuple[FloatArray, int, float]] = {}
    for job in jobs:
        found: dict[str, dict[str, object] | WorkerError] = {}
        for key, (prompt, answer) in job.answers.items():
            asked = prompt, answer, job.layers, job.tokens
            try:
                if asked not in read:
                    read[asked] = _timed(loaded, packing, *asked)
                pooled, tokens, seconds = read[asked]
                found[key] = {"log_odds": _log_odds(job, pooled), "tokens": tokens, "seconds": seconds}
            except WorkerError as error:
                found[key] = error
        yield outcome_of(job.item_id, found)


def _timed(
    loaded: LoadedModel, packing: Packing, prompt: str, answer: str, layers: tuple[int, ...], most: int
) -> tuple[FloatArray, int, float]:
    started = time.perf_counter()
    pooled, tokens = pooled_activations(loaded, packing, prompt, answer, layers, most)
    return pooled, tokens, time.perf_counter() - started


@torch.inference_mode()
def pooled_activations(
    loaded: LoadedModel, packing: Packing, prompt: str, answer: str, layers: Sequence[int], most: int
) -> tuple[FloatArray, int]:
    """The outputs of the blocks ``layers``, each the mean over the answer's first ``most`` tokens, float32 ``[layers, d]``, and
    how many tokens were read. The text runs by itself, no further than the last of ``layers``."""
    asked = loaded.renderer.render(Prompt("answer", prompt))
    (whole,) = loaded.renderer.with_answers(asked.prompt, [answer])
    begins = min(len(common_prefix([asked.token_ids, whole])), len(whole) - 1)  # its first token may take the template's last
    tokens = whole[: begins + most]
    outputs: dict[int, Tensor] = {}

    def keep(layer: int, output: Any) -> None:
        outputs[layer] = residual(output, f"output of block {layer}")[0, begins:].float().mean(dim=0).cpu()
        if layer == max(layers):
            raise _ReadToTheEndError

    blocks = loaded.decoder.blocks
    hooks = [
        blocks[layer].register_forward_hook(lambda _block, _inputs, output, layer=layer: keep(layer, output)) for layer in layers
    ]
    try:
        with packing.applied():
            loaded.model(input_ids=torch.tensor([tokens], device=loaded.device), use_cache=False)
    except _ReadToTheEndError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack([outputs[layer] for layer in layers]).numpy(), len(tokens)


def log_odds_of(weights: FloatArray, bias: float, pooled: FloatArray) -> float:
    """What a probe says of mean activations ``[layers, d]``, summed up in float64."""
    return float(np.sum(pooled.astype(np.float64) * weights)) + bias


def _log_odds(job: LinearProbeJob, pooled: FloatArray) -> float:
    if pooled.shape != job.weights.shape:
        raise JobError(f"the probe is of {job.weights.shape} weights; the model's activations are {pooled.shape}")
    found = log_odds_of(job.weights, job.bias, pooled)
    if not math.isfinite(found):
        raise NonFiniteActivationError("the activations that a probe reads are not finite")
    return found
