"""How often the diagnosis of `parity` names the mistake that a direction was really extracted with, and that of none is named.

The limits of ``orchestrator.parity.diagnosis`` were set while looking at ``refusal`` alone; here other prompts are asked. What is
diagnosed is extracted otherwise than what it is compared with: with eager attention, and, where ``shuffled``, the prompts in
another order, so that every batch holds other prompts. Clean directions are also read in 16 bit.

    python -m benchmarks.parity smollm2-135m-instruct french unhappy             # --alone: without pairs, a quarter of the time
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from actors.loading import LoadedModel, load_model
from actors.parity.jobs import Classes
from actors.parity.planted import Planted, ReadingRecipe, planted
from actors.parity.reading import attention_of
from actors.parity.reference import Directions, NotApplicableError, Reference
from actors.types import DType, EngineOptions, ModelSpec
from actors.worker import ModelWorker
from orchestrator.behaviors import BehaviorFile, read_behavior
from orchestrator.parity.diagnosis import CLOSE, Diagnosis, PlantedDirection, diagnose
from orchestrator.parity.study import BATCHES

PROMPTS = 5
"""Of each class."""
HALVES: tuple[DType, ...] = ("float16", "bfloat16")
BATCH = 3
"""Prompts per forward of what is diagnosed."""


def classes_of(behavior: str, order: Sequence[int] | None = None) -> Classes:
    """The first contrast prompts of a shipped behavior, in another order where one is given."""
    read = read_behavior(behavior, BehaviorFile(Path("sweeps/behaviors") / f"{behavior}.jsonl")).behavior
    positive, negative = read.positive[:PROMPTS], read.negative[:PROMPTS]
    if order is None:
        return Classes(positive, negative)
    return Classes(tuple(positive[at] for at in order), tuple(negative[at] for at in order))


def fingerprints(loaded: LoadedModel, classes: Classes, pairs: bool) -> list[PlantedDirection]:
    """As a study has them."""
    batches = tuple(sorted({size for size in (*BATCHES, PROMPTS) if size <= PROMPTS}))
    found = Reference(loaded, classes).planted(list(planted(batches, pairs)))
    return [PlantedDirection(one.names, one.recipe.batch, direction.astype(np.float32)) for one, direction in found]


def diagnosed(
    loaded: LoadedModel, classes: Classes, known: Sequence[PlantedDirection], how: tuple[bool, float]
) -> Iterator[tuple[Planted, Diagnosis]]:
    """Every mistake, and what its direction is taken for. ``how``: with pairs, and what rounding makes."""
    pairs, rounding = how
    reference = Reference(loaded, classes)
    shown = {one.names for one in known}
    for one in planted((BATCH,), pairs):
        if one.names not in shown:  # it cannot be planted here, or changes nothing
            continue
        try:
            yield one, of(reference.direction(one.recipe), known, rounding)
        except NotApplicableError:
            continue


def of(direction: Directions, known: Sequence[PlantedDirection], rounding: float = CLOSE) -> Diagnosis:
    """The diagnosis from the layers that have a direction."""
    layers = [int(layer) for layer in np.flatnonzero(np.isfinite(direction).all(axis=-1))]
    return diagnose(direction.astype(np.float32)[layers], known, layers, rounding)


def main() -> None:
    """A line for each set of prompts and order: how many are named right, and what was taken for what."""
    name, *behaviors = (word for word in sys.argv[1:] if word != "--alone")
    pairs = "--alone" not in sys.argv
    name, _, adapter = name.partition("+")
    spec = ModelSpec("folder" if Path(name).is_dir() else "embedded", name, adapter=adapter or None)
    worker = ModelWorker()
    worker.load(spec, EngineOptions(threads=1))
    loaded = worker._loaded
    assert loaded is not None
    halves = [load_model(replace(spec, dtype=dtype)) for dtype in HALVES]
    for behavior in behaviors:
        began = time.monotonic()
        known = fingerprints(loaded, classes_of(behavior), pairs)
        right = [Reference(one, classes_of(behavior)).direction(ReadingRecipe()) for one in halves]
        rounding = max([CLOSE, *(of(one, known).clean.distance for one in right)])  # as a study measures it
        clean = [of(one, known, rounding) for one in right]
        for order in (None, np.random.default_rng(1).permutation(PROMPTS).tolist()):
            with attention_of(loaded, "eager"):
                found = list(diagnosed(loaded, classes_of(behavior, order), known, (pairs, rounding)))
            tell(f"{name}{'+adapter' if adapter else ''} {behavior}{' shuffled' if order else ''}", found, clean)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)


def tell(title: str, found: Sequence[tuple[Planted, Diagnosis]], clean: Sequence[Diagnosis]) -> None:
    """Counts, and every miss."""
    counts = []
    for mistakes in (1, 2):
        those = [(one, said) for one, said in found if len(one.names) == mistakes]
        right = sum(set(said.names) == set(one.names) for one, said in those)
        part = sum(bool(set(said.names) & set(one.names)) for one, said in those)
        counts.append(f"{right}/{len(those)} (one of them: {part})" if mistakes == 2 else f"{right}/{len(those)}")
    convicted = sum(bool(said.names) for said in [*clean, *(said for one, said in found if not one.names)])
    print(f"{title}: alone {counts[0]}, pairs {counts[1]}, clean convicted {convicted}/{len(clean) + 1}", flush=True)
    for one, said in found:
        if len(one.names) == 1 and set(said.names) != set(one.names):
            print(f"    {one.names[0]}: {said.words}", flush=True)


if __name__ == "__main__":
    main()
