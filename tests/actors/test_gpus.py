"""A model that asks for a GPU never runs on a CPU in silence: before anything is loaded, and in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from actors import gpus
from actors.boundary import Load, perform
from actors.gpus import torch_build, why_no_gpu
from actors.types import EngineOptions, Failure, ModelInfo, ModelSpec, Resources
from actors.worker import ModelWorker
from tests.tiny import tiny_folder

Machine = Callable[[str | None, int | None], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """``machine(cuda, driver)``: torch was built for that CUDA (None: for none); the driver knows so much (None: none there)."""

    def make(cuda: str | None, driver: int | None) -> None:
        built = f"cuda: Optional[str] = {cuda!r}\nhip: Optional[str] = None\n"
        (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{built}")
        found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: found)

        def version(pointer: Any) -> int:
            pointer._obj.value = driver
            return 0

        def library(name: str) -> SimpleNamespace:
            if driver is None:
                raise OSError(f"{name}: cannot open shared object file")
            return SimpleNamespace(cuDriverGetVersion=version)

        monkeypatch.setattr("ctypes.CDLL", library)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return make


@pytest.mark.parametrize(
    ("cuda", "driver", "said"),
    [
        (None, 13000, "torch 2.13.0 is built without CUDA, the NVIDIA driver here knows CUDA 13.0"),
        ("13.0", None, "torch 2.13.0 is built for CUDA 13.0, no NVIDIA driver was found here"),
        ("13.0", 12040, "torch 2.13.0 is built for CUDA 13.0, the NVIDIA driver here knows CUDA 12.4"),
    ],
)
def test_what_is_wrong_is_said_and_what_to_do(machine: Machine, cuda: str | None, driver: int | None, said: str) -> None:
    machine(cuda, driver)
    assert why_no_gpu() == f"{said}; {gpus.ADVICE}"


@pytest.mark.parametrize(("cuda", "driver"), [("13.0", 13000), ("12.8", 13010), ("12.8", 12040)])
def test_a_driver_of_the_same_major_version_or_a_newer_one_will_do(machine: Machine, cuda: str, driver: int) -> None:
    machine(cuda, driver)
    assert why_no_gpu() == ""


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_none(machine: Machine, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    machine("13.0", 13000)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert "CUDA_VISIBLE_DEVICES hides every GPU" in why_no_gpu()


def test_the_build_is_read_as_torch_says_it_itself() -> None:
    build = torch_build()
    assert build["__version__"] == torch.__version__
    assert build.get("cuda") == torch.version.cuda


def loaded(folder: str, resources: Resources) -> object:
    (outcome,) = perform(ModelWorker, Load("v", ModelSpec("folder", folder), EngineOptions(), resources))
    return outcome


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without GPU")
@pytest.mark.parametrize("asked", [0.5, 1, 2])
def test_a_worker_without_gpu_says_so_before_it_opens_anything(asked: float) -> None:
    failure = loaded("no such folder", Resources(gpus=asked))
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.retryable) == ("unfit_device", False)
    assert torch.__version__ in failure.message
    assert "asks for a GPU (gpus)" in failure.message


@pytest.mark.parametrize(("gib", "said"), [(39.4, "A100-SXM4-40GB has 42 GB"), (79.2, "no such folder")])
def test_a_gpu_with_less_memory_than_asked_for_is_refused_before_anything_is_opened(
    gib: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = SimpleNamespace(name="A100-SXM4-40GB", total_memory=int(gib * 2**30))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: held)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share: None)
    failure = loaded("no such folder", Resources(gpus=1, gpu_memory=80))
    assert isinstance(failure, Failure)
    assert said in failure.message


def test_a_model_that_asks_for_none_runs_on_what_there_is(tmp_path: Path) -> None:
    info = loaded(str(tiny_folder("llama", tmp_path / "model")), Resources())
    assert isinstance(info, ModelInfo)
