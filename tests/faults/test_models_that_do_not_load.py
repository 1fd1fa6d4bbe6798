"""A model whose files are damaged, gone or not what they claim to be: its cells fail with the reason, other models go on."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from actors.loading import load_model
from tests.faults.tiny_sweep import TinySweep

WEIGHTS = "model.safetensors"
TWO = {"good": {"folder": "good"}, "bad": {"folder": "bad"}}


def cut(model: Path) -> None:
    """Half of the weights' file is there: a download or a copy that was broken off."""
    with (model / WEIGHTS).open("r+b") as file:
        file.truncate((model / WEIGHTS).stat().st_size // 2)


def noise(model: Path) -> None:
    """The header's length, and with it everything, is nonsense."""
    with (model / WEIGHTS).open("r+b") as file:
        file.write(os.urandom(64))


def without_a_tensor(model: Path) -> None:
    """One matrix is missing."""
    _rewrite(model, lambda tensors: tensors.pop("model.layers.2.mlp.up_proj.weight"))


def of_other_shape(model: Path) -> None:
    """One matrix has other sizes than the config says."""
    name = "model.layers.2.mlp.up_proj.weight"
    _rewrite(model, lambda tensors: tensors.update({name: tensors[name][:, :32].contiguous()}))


def without_tokenizer(model: Path) -> None:
    """The tokenizer's files are not there."""
    for path in model.glob("tokenizer*"):
        path.unlink()


def of_unknown_type(model: Path) -> None:
    """An architecture that transformers does not know."""
    _edit_config(model, model_type="martian", architectures=["MartianForCausalLM"])


def without_decoder(model: Path) -> None:
    """An architecture that it knows and that is no decoder of text."""
    _edit_config(model, model_type="t5", architectures=["T5ForConditionalGeneration"])


DAMAGE: dict[str, Callable[[Path], None]] = {
    one.__name__: one
    for one in (cut, noise, without_a_tensor, of_other_shape, without_tokenizer, of_unknown_type, without_decoder)
}


def _rewrite(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    with safe_open(model / WEIGHTS, "pt") as file:
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping
    change(tensors)
    save_file(tensors, model / WEIGHTS, {"format": "pt"})


def _edit_config(model: Path, **changes: object) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.fixture
def sweep(tmp_path: Path) -> TinySweep:
    """Two models; the file of the weights of one of them is damaged between planning and loading, as on another machine."""
    found = TinySweep(tmp_path).write(models=TWO, layers=[1])
    found.model("good")
    found.model("bad", seed=1)
    return found


@pytest.mark.parametrize("damage", DAMAGE)
def test_its_cells_fail_once_with_the_reason_and_another_model_goes_on(
    sweep: TinySweep, damage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = {path.name: path.read_bytes() for path in (tmp_path / "bad").iterdir()}
    damaged_at_load(monkeypatch, tmp_path / "bad", DAMAGE[damage])
    told = sweep.run()
    assert told.exit_code == 1, told.output
    failures = sweep.failures()
    assert {(kind, attempt) for kind, _, attempt in failures.values()} == {("model_load", 1)}
    assert len(failures) == 3, "a direction, the baseline and a steered cell"
    assert all(len(message) > 20 for _, message, _ in failures.values())
    assert {row.model for row in sweep.store.cell_rows()} == {"good"}
    assert len(sweep.store.done_cells()) == 2
    assert "3 x model_load: " in told.output
    kept = sweep.answers()
    monkeypatch.undo()
    for name, content in whole.items():
        (tmp_path / "bad" / name).write_bytes(content)
    assert "3 failures" in sweep.do("errors", str(sweep.out)).output
    again = sweep.do("retry", str(sweep.out), "--kind", "model_load")
    assert again.exit_code == 0, again.output
    assert sweep.failures() == {}
    assert len(sweep.answers()) == 4
    assert sweep.answers().items() >= kept.items()


def damaged_at_load(monkeypatch: pytest.MonkeyPatch, model: Path, damage: Callable[[Path], None]) -> None:
    """Do the damage when the worker is about to load that folder."""

    def load(spec: Any, *more: Any) -> Any:
        if Path(spec.location) == model and not (model / "damaged").exists():
            damage(model)
            (model / "damaged").touch()
        return load_model(spec, *more)

    monkeypatch.setattr("actors.worker.load_model", load)


def test_a_disk_that_cannot_read_the_tokenizer(sweep: TinySweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.open

    def broken(file: Any, *more: Any, **named: Any) -> Any:
        if str(file).startswith(str(tmp_path / "bad" / "tokenizer")):
            raise OSError(5, "Input/output error", str(file))
        return real(file, *more, **named)

    monkeypatch.setattr(builtins, "open", broken)
    told = sweep.run()
    monkeypatch.undo()
    assert told.exit_code == 1
    failures = sweep.failures()
    assert {kind for kind, _, _ in failures.values()} == {"model_load"}
    assert len(sweep.store.done_cells()) == 2
    assert sweep.run().exit_code == 0, "a later run tries again by itself"
    assert len(sweep.store.done_cells()) == 4


def test_a_folder_that_is_gone_when_the_worker_looks(sweep: TinySweep, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def move(model: Path) -> None:
        model.rename(tmp_path / "moved")
        model.mkdir()

    damaged_at_load(monkeypatch, tmp_path / "bad", move)
    told = sweep.run()
    assert told.exit_code == 1
    (message,) = {message for _, message, _ in sweep.failures().values()}
    assert "cannot load" in message
    assert str(tmp_path / "bad") in message
    assert len(sweep.store.done_cells()) == 2


def test_a_gpu_that_cannot_be_used_is_told_by_plan_and_refused(sweep: TinySweep, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("run", "preflight"):
        monkeypatch.setattr(f"orchestrator.{module}.why_no_gpu", lambda: "torch 2.13.0 is built without CUDA")
    sweep.write(models={"tiny": {"folder": "good", "gpus": 1}})
    planned = sweep.do("plan", str(sweep.folder / "sweep.yaml"))
    assert planned.exit_code == 0
    assert "model tiny asks for a GPU, and on this machine no GPU can be used" in " ".join(planned.output.split())
    told = sweep.run()
    assert told.exit_code == 2
    said = " ".join(told.output.split())
    assert "models.tiny.gpus" in said
    assert "(got 1)" in said or "(got 1.0)" in said
    assert "torch 2.13.0 is built without CUDA" in said
    assert not sweep.failures(), "no cell has failed"
