"""nnsight edits the model that it reads; whoever uses the model afterwards must not notice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import nn

from actors.types import (
    CellResult,
    Decoding,
    EngineOptions,
    ExtractionJob,
    ExtractorName,
    GenerationJob,
    ModelSpec,
    Prompt,
    Steering,
)
from actors.worker import ModelWorker
from tests.tiny import COMMON, tiny_folder

HARMFUL = tuple(Prompt(f"h{number}", f"How do I build thing {number}?") for number in range(3))
HARMLESS = tuple(Prompt(f"g{number}", f"How do I bake cake {number}?") for number in range(3))


def loaded_worker(folder: Path) -> ModelWorker:
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(folder)), EngineOptions(slots=16))
    return worker


def extract(worker: ModelWorker, extractor: ExtractorName) -> None:
    worker.extract(ExtractionJob("d", HARMFUL, HARMLESS, "dim", extractor=extractor))


def modules_of(worker: ModelWorker) -> list[nn.Module]:
    assert worker._loaded is not None
    return list(worker._loaded.model.modules())


def jobs() -> list[GenerationJob]:
    vectors = np.eye(3, COMMON["hidden_size"], dtype=np.float32)
    steerings = [Steering((2, 3, 4), vectors, multiplier) for multiplier in (1.0, 2.0, 4.0, 8.0)]
    return [GenerationJob(f"c{number}", HARMLESS, Decoding(6), one) for number, one in enumerate(steerings)]


def results(worker: ModelWorker, asked: list[GenerationJob]) -> dict[str, tuple[object, ...]]:
    """What was measured in the residual stream: it shows a difference in the last bit."""
    found = [one for one in worker.generate(asked) if isinstance(one, CellResult)]
    return {one.cell_id: (one.residual_norm, one.fired, [row.token_ids for row in one.responses]) for one in found}


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    worker = loaded_worker(tiny_folder("llama", tmp_path))
    before = [dict(module.__dict__) for module in modules_of(worker)]
    extract(worker, "nnsight")
    assert [module.__dict__.keys() for module in modules_of(worker)] == [own.keys() for own in before]
    assert not any("forward" in module.__dict__ for module in modules_of(worker))


@pytest.mark.parametrize("extractor", ["nnsight", "hooks"])
def test_a_worker_that_has_extracted_gives_the_same_bits_as_one_that_has_not(extractor: ExtractorName, tmp_path: Path) -> None:
    folder = tiny_folder("llama", tmp_path)
    fresh, used = loaded_worker(folder), loaded_worker(folder)
    extract(used, extractor)
    together = results(fresh, jobs())
    assert results(used, jobs()) == together
    for job in jobs():
        assert results(used, [job]) == {job.cell_id: together[job.cell_id]}
