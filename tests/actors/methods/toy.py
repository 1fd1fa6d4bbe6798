"""A model small enough to be written down: a linear residual stream in NumPy, and a probe that runs trials on it exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.methods import Contrast, Reading, Trial
from actors.types import Prompt, Steering

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Toy:
    """Block l adds ``steps[prompt][l]`` ``[d]`` to the stream of the last token; logits are ``head @ h`` of the last output."""

    start: Array
    steps: dict[Prompt, Array]
    head: Array

    def outputs(self, prompt: Prompt, trial: Trial | None = None) -> tuple[Array, Array]:
        """Outputs ``[L, d]`` as they are read (see ``Reading``), and next-token log-probabilities."""
        trial = trial or Trial(None)
        steering, everywhere = trial.steering, trial.everywhere
        stream = self.start.copy()
        if steering is not None and everywhere:
            stream = _edited(stream, steering, 0)
        read = []
        for layer, step in enumerate(self.steps[prompt]):
            stream = stream + step
            acts = steering is not None and layer in steering.layers
            edited = _edited(stream, steering, steering.layers.index(layer)) if steering is not None and acts else stream
            read.append(edited if everywhere or trial.in_place else stream)
            stream = edited
        logits = self.head @ stream
        return np.stack(read), logits - np.logaddexp.reduce(logits)

    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """One reading per trial."""
        return [self._reading(trial) for trial in trials]

    def _reading(self, trial: Trial) -> Reading:
        read = [self.outputs(prompt, trial)[0][list(trial.layers)] for prompt in trial.read]
        kls = []
        for prompt in trial.compare:
            before, after = self.outputs(prompt)[1], self.outputs(prompt, trial)[1]
            kls.append(float((np.exp(before) * (before - after)).sum()))
        return Reading(np.stack(read).mean(axis=(0, 1)) if read else None, float(np.mean(kls)) if kls else None)


def _edited(stream: Array, steering: Steering, index: int) -> Array:
    unit, strength = steering.vectors[index].astype(np.float64), steering.multiplier
    if steering.intervention == "addition":
        return stream + strength * unit
    reference = steering.reference_at(index)
    return np.asarray(stream - strength * (stream @ unit - reference) * unit)


def unit(rng: np.random.Generator, d: int) -> Array:
    """A random unit vector ``[d]``."""
    drawn = rng.standard_normal(d)
    return np.asarray(drawn / np.linalg.norm(drawn))


def unit_rows(k: int, d: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Random unit vectors ``[k, d]``."""
    rng = np.random.default_rng(seed)
    return np.stack([unit(rng, d) for _ in range(k)]).astype(np.float32)


def toy_contrast(
    n: int = 6, n_layers: int = 5, d: int = 48, positions: int = 3, planted: int = 2, seed: int = 7
) -> tuple[Contrast, Array]:
    """Classes that differ along one direction from block ``planted`` on; before it, and at earlier positions, mostly by noise."""
    rng = np.random.default_rng(seed)
    direction = unit(rng, d)
    prompts = {name: tuple(Prompt(f"{name}{i}", f"{name} {i}") for i in range(n)) for name in ("H", "L")}
    shared = rng.standard_normal((n_layers, d))
    steps = {p: shared + 0.05 * rng.standard_normal((n_layers, d)) for name in ("H", "L") for p in prompts[name]}
    for prompt in prompts["H"]:
        steps[prompt][planted] += 6.0 * direction
        steps[prompt][-1] += direction  # so that the classes differ most in the last layer
    toy = Toy(3 * rng.standard_normal(d), steps, 0.05 * rng.standard_normal((31, d)))

    def captured(name: str) -> npt.NDArray[np.float32]:
        last = np.stack([toy.outputs(prompt)[0] for prompt in prompts[name]])
        weaker = [0.5 ** (positions - 1 - p) for p in range(positions)]
        noise = 0.05 * rng.standard_normal((n, positions, n_layers, d))
        noise[:, -1] = 0.0
        return (last[:, None] * np.array(weaker)[None, :, None, None] + noise).astype(np.float32)

    positive, negative = captured("H"), captured("L")
    return Contrast(positive, negative, prompts["H"], prompts["L"], toy), direction
