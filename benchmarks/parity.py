"""How often the diagnosis of `parity` names the mistake that a direction was really extracted with, and that of none is named.

The limits of ``orchestrator.parity.diagnosis`` were set while looking at ``refusal`` alone; here other prompts are asked. What is
diagnosed is extracted otherwise than what it is compared with: with eager attention, and, where ``shuffled``, the prompts in
another order that the diagnosis is not told, so that every batch holds other prompts. Clean directions are also read in 16 bit,
and directions of causes that are no candidates (``unknown``) are to be put down to nothing. Mistakes read in bfloat16 are
compared with a study in float32, and with one in bfloat16.

    python -m benchmarks.parity smollm2-135m-instruct french unhappy             # --alone: without pairs, a quarter of the time
    python -m benchmarks.parity smollm2-135m-instruct+adapters/refusal french    # the model with an adapter
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from actors.boundary import Answered
from actors.extraction.batches import left_padded
from actors.extraction.hooks import read_with_hooks
from actors.loading import LoadedModel, load_model
from actors.parity.jobs import Classes, MistakesJob
from actors.parity.planted import Planted, ReadingRecipe, planted
from actors.parity.reading import attention_of
from actors.parity.reference import Directions, NotApplicableError, Reference
from actors.parity.sites import candidate_sites
from actors.types import EngineOptions, ModelSpec
from actors.worker import ModelWorker
from orchestrator.behaviors import BehaviorFile, read_behavior
from orchestrator.parity.diagnosis import EXACT, Diagnosis, PlantedDirection, Rounding, diagnose, read_planted
from orchestrator.parity.regrouped import Parts, read_parts, regrouped
from orchestrator.parity.study import BATCHES

PROMPTS = 5
"""Of each class."""
BATCHED = (2, 3, 4, 5)
"""Prompts per forward of what is diagnosed, in turn."""
OTHER = "pirate"
"""A behavior that no direction is asked for, whose prompts make an unknown cause."""
ORDERS = 3
"""Other orders of the prompts."""


@dataclass(frozen=True)
class Known:
    """What directions are compared with, as a study has it."""

    candidates: Sequence[PlantedDirection]
    parts: Sequence[Parts]
    rounding: Rounding = field(default_factory=Rounding)

    def of(self, direction: Directions) -> Diagnosis:
        """The diagnosis from the layers that have a direction."""
        layers = [int(layer) for layer in np.flatnonzero(np.isfinite(direction).all(axis=-1))]
        further = partial(regrouped, parts=self.parts)
        said = diagnose(direction.astype(np.float32)[layers], self.candidates, layers, self.rounding, further)
        assert said is not None, "some layer has a direction"
        return said

    def measured(self, own: Sequence[Directions], others: Sequence[Directions]) -> Known:
        """With the rounding that a study measures: of right directions in its own dtype, and in others."""
        apart = [[self.of(one).clean.distance for one in those] for those in (own, others)]
        most = max([Rounding().own, *(2 * one for one in apart[0])])
        return replace(self, rounding=Rounding(most, max([Rounding().any, most, *apart[1]])))


def classes_of(behavior: str, order: Sequence[int] | None = None) -> Classes:
    """The first contrast prompts of a shipped behavior, in another order where one is given."""
    read = read_behavior(behavior, BehaviorFile(Path("sweeps/behaviors") / f"{behavior}.jsonl")).behavior
    positive, negative = read.positive[:PROMPTS], read.negative[:PROMPTS]
    if order is None:
        return Classes(positive, negative)
    return Classes(tuple(positive[at] for at in order), tuple(negative[at] for at in order))


def known_of(worker: ModelWorker, classes: Classes, pairs: bool) -> Known:
    """As a study has it, but for what it measures of rounding."""
    batches = tuple(sorted({size for size in (*BATCHES, PROMPTS) if size <= PROMPTS}))
    (found,) = worker.parity([MistakesJob("m", classes, batches, pairs)])
    assert isinstance(found, Answered)
    with np.load(io.BytesIO(found.content), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Known(read_planted(arrays), read_parts(arrays))


def diagnosed(loaded: LoadedModel, classes: Classes, known: Known, how: tuple[bool, int]) -> Iterator[tuple[Planted, Diagnosis]]:
    """Every mistake, and what its direction is taken for. ``how``: with pairs, and prompts per forward."""
    pairs, batch = how
    reference = Reference(loaded, classes)
    shown = {one.names for one in known.candidates}
    clean = reference.direction(ReadingRecipe())
    for one in planted((batch,), pairs):
        if one.names not in shown:  # it cannot be planted here, or changes nothing
            continue
        try:
            direction = reference.direction(one.recipe)
        except NotApplicableError:
            continue
        if not one.names or not np.array_equal(direction, clean, equal_nan=True):
            yield one, known.of(direction)


def unknown(loaded: LoadedModel, behavior: str, other: str) -> Iterator[tuple[str, Directions]]:
    """Directions of causes that are no candidates."""
    classes, size = classes_of(behavior), PROMPTS
    drawn = np.random.default_rng(0)

    def read(those: Classes, back: int = 0) -> Directions:
        rendered = [loaded.renderer.render(prompt) for prompt in those.prompts]
        found = [read_with_hooks(loaded, left_padded(loaded, [one]), back + 1)[0, 0] for one in rendered]
        return np.asarray(torch.stack(found).double().numpy())

    def apart(rows: Directions) -> Directions:
        return np.asarray(rows[:size].mean(0) - rows[size:].mean(0))

    def changed(change: Mapping[str, str] | None = None, before: str = "") -> Classes:
        words = [
            tuple(replace(one, text=before + (one.text.lower() if change is None else one.text)) for one in side)
            for side in (classes.positive, classes.negative)
        ]
        return Classes(*words)

    rows = read(classes)
    clean = apart(rows)
    yield "three tokens before the last", apart(read(classes, 3))
    yield "two blocks before", np.concatenate([np.full_like(clean[:2], np.nan), clean[:-2]])
    yield "a sentence before every prompt", apart(read(changed({}, "You are a helpful assistant. ")))
    yield "prompts in lower case", apart(read(changed()))
    yield "prompts of another behavior", apart(read(classes_of(other)))
    yield "medians", np.median(rows[:size], 0) - np.median(rows[size:], 0)
    yield "activations made unit vectors", apart(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
    differences = (rows[:size] - rows[size:]).transpose(1, 0, 2)
    yield "the first principal component", np.linalg.svd(differences - differences.mean(1, keepdims=True))[2][:, 0]
    yield "half of another behavior", clean / 2 + apart(read(classes_of(other))) / 2
    noise = drawn.standard_normal(clean.shape)
    lengths = np.linalg.norm(clean, axis=-1, keepdims=True) / np.linalg.norm(noise, axis=-1, keepdims=True)
    yield "noise as long as the direction on top", clean + noise * lengths
    yield "noise alone", noise
    weights = drawn.dirichlet(np.ones(size), 2)
    yield "weighted prompts", np.tensordot(weights[0], rows[:size], 1) - np.tensordot(weights[1], rows[size:], 1)
    for name, site in candidate_sites(loaded, [loaded.renderer.render(one) for one in classes.prompts]).items():
        if name.startswith("output of ") and name.count(".") == 0:
            yield name, apart(site.transpose(1, 0, 2).astype(np.float64))


def main() -> None:
    """A line for each set of prompts and order: how many are named right, and what was taken for what."""
    name, *behaviors = (word for word in sys.argv[1:] if word != "--alone")
    pairs = "--alone" not in sys.argv
    title = Path(name).name
    name, _, adapter = name.partition("+")
    spec = ModelSpec("folder" if Path(name).is_dir() else "embedded", name, adapter=adapter or None)
    worker = ModelWorker()
    worker.load(spec, EngineOptions(threads=1))
    loaded = worker._loaded
    assert loaded is not None
    half = ModelWorker()
    half.load(replace(spec, dtype="bfloat16"), EngineOptions(threads=1))
    assert half._loaded is not None
    halves = [load_model(replace(spec, dtype="float16")), half._loaded]
    for behavior in behaviors:
        began = time.monotonic()
        classes = classes_of(behavior)
        known = known_of(worker, classes, pairs)
        right = [Reference(one, classes).direction(ReadingRecipe()) for one in halves]
        known = known.measured([eager_of(loaded, classes)], right)
        clean = [known.of(one) for one in right]
        with attention_of(loaded, "eager"):
            found = [one for batch in BATCHED for one in diagnosed(loaded, classes, known, (pairs, batch))]
            tell(f"{title} {behavior}", found, clean)
            found = []
            for order in range(ORDERS):
                shuffled = np.random.default_rng(order + 1).permutation(PROMPTS).tolist()
                batch = BATCHED[order % len(BATCHED)]
                found += diagnosed(loaded, classes_of(behavior, shuffled), known, (False, batch))
            tell(f"{title} {behavior} shuffled", found, clean)
        found = list(diagnosed(half._loaded, classes, known, (False, BATCHED[0])))
        tell(f"{title} {behavior} in bfloat16, the study in float32", found, clean)
        alike = known_of(half, classes, False).measured([eager_of(half._loaded, classes)], [eager_of(loaded, classes)])
        with attention_of(half._loaded, "eager"):
            found = list(diagnosed(half._loaded, classes, alike, (False, BATCHED[0])))
        tell(f"{title} {behavior} in bfloat16, the study too", found, [])
        tell_unknown(f"{title} {behavior}", [(cause, known.of(one)) for cause, one in unknown(loaded, behavior, OTHER)])
        print(f"  {time.monotonic() - began:.0f} s", flush=True)


def eager_of(loaded: LoadedModel, classes: Classes) -> Directions:
    """The right direction with eager attention."""
    with attention_of(loaded, "eager"):
        return Reference(loaded, classes).direction(ReadingRecipe())


def tell_unknown(title: str, others: Sequence[tuple[str, Diagnosis]]) -> None:
    """How many are put down to a mistake, for sure or not; those that are the very direction of one are left out."""
    same = [cause for cause, said in others if said.nearest.names and said.nearest.distance < EXACT]
    others = [(cause, said) for cause, said in others if cause not in same]
    convicted = [(cause, said) for cause, said in others if said.names]
    sure = sum(said.sure for _, said in convicted)
    print(f"{title}: of {len(others)} unknown causes convicted {sure}, doubtfully {len(convicted) - sure}; the same: {same}")
    for cause, said in convicted:
        print(f"    {cause}: {said.words}")


def named(said: Diagnosis, names: Sequence[str]) -> bool:
    """Whether the mistakes are those that are said; 'one or other' is right where it is either."""
    parts = [set(part.split(" or ")) for part in said.names]
    return len(parts) == len(names) and all(any(name in part for part in parts) for name in names)


def tell(title: str, found: Sequence[tuple[Planted, Diagnosis]], clean: Sequence[Diagnosis]) -> None:
    """Counts, and every miss."""
    counts = []
    for mistakes in (1, 2):
        those = [(one, said) for one, said in found if len(one.names) == mistakes]
        right = sum(named(said, one.names) for one, said in those)
        counts.append(f"{right}/{len(those)}")
    either = sum(" or " in word for _, said in found for word in said.names)
    unsteered = [said for one, said in found if not one.names]
    convicted = sum(bool(said.names) for said in [*clean, *unsteered])
    convictions = f"clean convicted {convicted}/{len(clean) + len(unsteered)}"
    doubtful = sum(not said.sure for one, said in found if one.names and named(said, one.names))
    hidden = sum(one.names[0] in said.hidden for one, said in found if len(one.names) == 1 and not said.names)
    more = f"one of two named {either}, named with doubt {doubtful}, clean with it among the hidden {hidden}"
    print(f"{title}: alone {counts[0]}, pairs {counts[1]}, {more}, {convictions}", flush=True)
    hits = [said.nearest.distance for one, said in found if one.names and named(said, one.names)]
    print(f"    distance of what is named right: up to {max(hits, default=0):.2g}")
    for one, said in found:
        if len(one.names) == 1 and not named(said, one.names):
            print(f"    {one.names[0]} (batch {one.recipe.batch}): {said.words}", flush=True)


if __name__ == "__main__":
    main()
