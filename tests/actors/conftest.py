"""Tiny models held by workers, loaded once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.types import DType, EngineOptions, ModelSpec, Quantization
from actors.worker import ModelWorker
from tests.tiny import tiny_folder


@pytest.fixture(scope="session")
def tiny_worker(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ModelWorker]:
    """``tiny_worker(family, dtype, quantization, slots)``: a fresh worker with that model."""
    folders: dict[str, Path] = {}

    def load(
        family: str = "llama", dtype: DType = "float32", quantization: Quantization = "none", slots: int | None = None
    ) -> ModelWorker:
        if family not in folders:
            folders[family] = tiny_folder(family, tmp_path_factory.mktemp(family))
        worker = ModelWorker()
        spec = ModelSpec("folder", str(folders[family]), dtype=dtype, quantization=quantization)
        worker.load(spec, EngineOptions(slots=slots))
        return worker

    return load
