"""What is recorded of a device is what it is and how it was set: of a GPU by what torch would say of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from actors import gpus, worker
from actors.device_record import device_record, full_precision, reserved_memory
from actors.types import EngineOptions, ModelInfo, ModelSpec
from actors.worker import ModelWorker
from tests.tiny import tiny_folder

CUDA = torch.device("cuda")
OPEN = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U16)
GCC version:  gcc version 13.3.0
"""
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"


@pytest.fixture
def h200(monkeypatch: pytest.MonkeyPatch) -> None:
    held = SimpleNamespace(name="NVIDIA H200", total_memory=141 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: held)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 3 * 2**20)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91200)
    monkeypatch.setattr("actors.device_record.driver_version", lambda: "580.65.06")
    monkeypatch.setattr("actors.device_record.driver_cuda", lambda: "13.0")


@pytest.mark.usefixtures("h200")
def test_a_gpu_is_recorded_with_its_software_and_its_settings() -> None:
    full_precision()
    assert device_record(CUDA) == {
        "device": "NVIDIA H200",
        "device_memory_mib": "144384",
        "cuda": "13.0",
        "cudnn": "91200",
        "driver": "580.65.06 (CUDA 13.0)",
        "reduced_precision": "bf16 sums off, fp16 sums off, tf32 off",
    }
    assert reserved_memory(CUDA) == {"reserved_memory_mib": "3"}


@pytest.mark.usefixtures("h200")
def test_settings_are_recorded_as_they_are() -> None:
    full_precision()
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    assert device_record(CUDA)["reduced_precision"] == "bf16 sums on, fp16 sums off, tf32 off"
    full_precision()


@pytest.mark.parametrize(("text", "version"), [(OPEN, "580.65.06"), (CLOSED, "535.183.01"), ("", "")])
def test_the_driver_s_version_is_read_from_the_system(
    text: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version").write_text(text)
    monkeypatch.setattr(gpus, "DRIVER_FILE", tmp_path / "version")
    assert gpus.driver_version() == version


def test_a_load_sets_full_precision_and_forgets_what_the_model_before_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = True
    info = loaded(tmp_path)
    assert info.device == "cpu"
    assert not torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    forgotten: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", forgotten.append)
    for initialized, expected in ((False, []), (True, [0, 1])):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda initialized=initialized: initialized)
        ModelWorker().unload()
        assert forgotten == expected, "the allocator raises before its first use"


def loaded(folder: Path) -> ModelInfo:
    return ModelWorker().load(ModelSpec("folder", str(tiny_folder("llama", folder / "model"))), EngineOptions())


def of_the_batch(noise: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device whose products are not measured; ``noise`` is added to what every block puts out."""
    monkeypatch.setattr(worker, "batch_dependence", lambda *_: "CUDA chooses kernels by batch size")
    real = LlamaDecoderLayer.__call__

    def forward(self: LlamaDecoderLayer, hidden_states: torch.Tensor, *more: Any, **named: Any) -> Any:
        return real(self, hidden_states + noise(hidden_states), *more, **named)

    monkeypatch.setattr(LlamaDecoderLayer, "__call__", forward)


def by_place(stream: torch.Tensor) -> torch.Tensor:
    return 1e-6 * torch.arange(len(stream)).view(-1, 1, 1)


@pytest.mark.parametrize(("noise", "said"), [(torch.zeros_like, "do not change"), (by_place, "change")])
def test_whether_bits_change_with_place_and_neighbours_is_measured(
    noise: Callable[[torch.Tensor], torch.Tensor], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_batch(noise, monkeypatch)
    invariant = loaded(tmp_path).provenance["batch_invariant"]
    expected = f"in a batch of one shape a row's bits {said} with its place and its neighbours (measured)"
    assert invariant == f"no: CUDA chooses kernels by batch size; {expected}"
