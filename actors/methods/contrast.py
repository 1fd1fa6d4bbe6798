"""What a method is given and what it gives back. Torch-free: a method that needs the model asks it through a ``Probe``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.types import Curve, FloatArray, GivenVectors, Prompt, Steering

Activations = npt.NDArray[np.float64]
"""``[n, L, d]``: residual stream of n prompts at the last token, after every block."""


@dataclass(frozen=True)
class Asked:
    """What is known of an extraction before any model runs; ``model_type`` is transformers' name of the architecture."""

    n_positive: int
    n_negative: int
    n_layers: int
    model_type: str


def unpaired(method: str, asked: Asked) -> str | None:
    """Why these classes are no contrast pairs (prompt i of one with prompt i of the other); None when they are."""
    if asked.n_positive == asked.n_negative:
        return None
    return f"{method} takes contrast pairs: {asked.n_positive} positive prompts but {asked.n_negative} negative ones"


@dataclass(frozen=True, eq=False)
class Trial:
    """A steering to be tried in one forward pass per prompt (None: the unsteered model); nothing is generated.

    ``read``: prompts whose last-token activations are averaged, over these prompts and over the block outputs ``layers``.
    ``compare``: prompts whose next-token distribution is compared with the unsteered model's.
    ``everywhere``: the steering is a whole ablation of every layer, and acts not only on the blocks' outputs but wherever the
    residual stream is read: the embeddings, and between the parts of a block. ``in_place``: what is read of an edited block's
    output holds the edit, as it does where a hook edits the next block's input in place; everywhere implies it.
    ``each``: what every prompt shows is wanted beside the means.
    """

    steering: Steering | None
    read: tuple[Prompt, ...] = ()
    layers: tuple[int, ...] = ()
    compare: tuple[Prompt, ...] = ()
    everywhere: bool = False
    in_place: bool = False
    each: bool = False


@dataclass(frozen=True, eq=False)
class Reading:
    """What a trial showed. ``mean`` ``[d]`` float64: mean over ``read`` x ``layers`` of the blocks' outputs at the last token
    (None without ``read``); an edit at the output of such a block is seen only in place and everywhere. ``kl``: mean over
    ``compare`` of KL(unsteered || steered) of the next token, in nats (None without ``compare``). Of a trial that asks for each
    prompt: ``states`` ``[read, layers, d]`` float32 and ``kls`` ``[compare]``, in the order of its prompts."""

    mean: npt.NDArray[np.float64] | None = None
    kl: float | None = None
    states: FloatArray | None = None
    kls: npt.NDArray[np.float64] | None = None


class Probe(Protocol):
    """Runs many trials at once on the model that the activations come from."""

    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """One reading per trial, in order; not-a-number where the model's numbers overflow."""
        ...


@dataclass(frozen=True, eq=False)
class Contrast:
    """One capture of the model on two classes of prompts: what every method starts from.

    ``positive`` and ``negative`` ``[n, P, L, d]`` float32: outputs of all L blocks at the last P prompt tokens (-1 is the last).
    These are template tokens after the user's text, the same for every prompt. The input of block l is the output of block l-1.
    ``given``: vectors that come with the job, for a method that takes them.
    """

    positive: FloatArray
    negative: FloatArray
    positive_prompts: tuple[Prompt, ...]
    negative_prompts: tuple[Prompt, ...]
    probe: Probe
    given: GivenVectors | None = None

    @property
    def n_layers(self) -> int:
        """Number of blocks ``L``."""
        return int(self.positive.shape[2])

    @property
    def asked(self) -> Asked:
        """What was known before."""
        return Asked(len(self.positive), len(self.negative), self.n_layers, "")

    @property
    def last(self) -> tuple[Activations, Activations]:
        """Both classes at the last token, ``[n, L, d]`` float64 each, positive first."""
        return self.positive[:, -1].astype(np.float64), self.negative[:, -1].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Found:
    """``vectors`` ``[k, d]`` float64, whose norms are the raw norms, one for each of ``layers`` (ascending; None: all of them).
    ``selected_layer``: what the method picked.

    ``record``: diagnostics for the direction's record, plain strings (compact JSON where they are tables). ``curves``: by layer.
    """

    vectors: npt.NDArray[np.float64]
    selected_layer: int | None = None
    record: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[int, ...] | None = None
    curves: Mapping[int, Curve] = field(default_factory=dict)
