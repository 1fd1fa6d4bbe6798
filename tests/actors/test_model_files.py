"""Only whole safetensors files of the folder itself are ever opened as weights; everything else is refused by name, unopened."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from actors.errors import ModelLoadError
from actors.loading import load_model
from actors.model_files import INDEX, WEIGHTS, check_adapter_folder, check_model_folder, weight_files
from actors.types import ModelSpec
from tests.orchestrator.sweep_files import write_adapter
from tests.tiny import tiny_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder("llama", tmp_path_factory.mktemp("whole") / "m")


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder to damage; any use of pickle fails the test."""

    def opened(*parts: object, **more: object) -> None:
        raise AssertionError("a pickle was opened")

    monkeypatch.setattr("torch.load", opened)
    return Path(shutil.copytree(whole, tmp_path / "m"))


def index(folder: Path, name: object) -> None:
    (folder / WEIGHTS).rename(folder / "model-1.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": name}}))


def pickled(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x80\x04never to be opened")


def only_pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    pickled(folder, "pytorch_model.bin")


def pickled_index(folder: Path) -> None:
    only_pickle(folder)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model.bin"}}))


def index_of_pickle(folder: Path) -> None:
    index(folder, "pytorch_model-2.bin")
    pickled(folder, "pytorch_model-2.bin")


def named_in_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": "adapter_model.bin"}))
    pickled(folder, "adapter_model.bin")


def link_elsewhere(folder: Path) -> None:
    shutil.move(folder / WEIGHTS, folder.parent / "elsewhere.safetensors")
    (folder / WEIGHTS).symlink_to(folder.parent / "elsewhere.safetensors")


def link_to_pickle(folder: Path) -> None:
    index(folder, "model-2.safetensors")
    pickled(folder.parent, "pytorch_model.bin")
    (folder / "model-2.safetensors").symlink_to(folder.parent / "pytorch_model.bin")


def pickle_under_another_name(folder: Path) -> None:
    pickled(folder, WEIGHTS)


def cut(folder: Path) -> None:
    os.truncate(folder / WEIGHTS, (folder / WEIGHTS).stat().st_size // 2)


def empty(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def gguf(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model.Q4_0.gguf")


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def encoder_decoder(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "t5", "is_encoder_decoder": True}))


def only_an_adapter(folder: Path) -> None:
    shutil.rmtree(folder)
    write_adapter(folder)


def adapter_on_top(folder: Path) -> None:
    write_adapter(folder)


REFUSED: dict[Callable[[Path], None], str] = {
    only_pickle: "only as pickle",
    pickled_index: "only as pickle",
    index_of_pickle: "nothing else",
    named_in_config: "names its own file of weights",
    link_elsewhere: "link to a file outside",
    link_to_pickle: "link to a file outside",
    pickle_under_another_name: "not a readable safetensors file",
    cut: "not a readable safetensors file",
    empty: "not a readable safetensors file",
    gguf: "only as GGUF",
    no_tokenizer: "no tokenizer",
    encoder_decoder: "encoder-decoder",
    only_an_adapter: "an adapter, not a model",
    adapter_on_top: "keep them apart",
}


@pytest.mark.parametrize("damage", REFUSED, ids=lambda damage: damage.__name__)
def test_a_folder_that_must_not_be_loaded(damage: Callable[[Path], None], folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelLoadError, match=REFUSED[damage]):
        check_model_folder(folder)
    with pytest.raises(ModelLoadError, match=REFUSED[damage]):
        load_model(ModelSpec("folder", str(folder)))


NAMES = ["/etc/model.safetensors", "../model.safetensors", "sub/model.safetensors", "x.pt", "a.safetensors.bin", "", 3, None]


@pytest.mark.parametrize("name", [*NAMES, "a\x1b.safetensors"])
def test_names_that_an_index_may_not_give(name: object, folder: Path) -> None:
    index(folder, name)
    with pytest.raises(ModelLoadError, match="nothing else") as caught:
        weight_files(folder)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": {}}', '{"weight_map": 3}', "not JSON", "[" * 100_000])
def test_an_index_that_is_none(content: str, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(content)
    with pytest.raises(ModelLoadError, match=r"model\.safetensors\.index\.json"):
        weight_files(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index(folder, "model-2.safetensors")
    with pytest.raises(ModelLoadError, match=r"lacks model-2\.safetensors"):
        weight_files(folder)


def test_shards_and_the_links_of_the_hubs_cache_are_taken(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--m" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    blobs = tmp_path / "models--org--m" / "blobs"
    shutil.copytree(folder, blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(Path("../../blobs") / path.name)
    check_model_folder(snapshot)
    index(folder, "model-1.safetensors")
    assert [path.name for path in weight_files(folder)] == ["model-1.safetensors"]
    check_model_folder(folder)


def test_trainers_files_beside_the_weights_are_left_alone(folder: Path) -> None:
    pickled(folder, "training_args.bin")
    pickled(folder, "optimizer.pt")
    pickled(folder, "pytorch_model.bin")
    assert load_model(ModelSpec("folder", str(folder))).d_model == 64


def test_a_pickled_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a", width=64)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    for check in (check_adapter_folder, lambda one: load_model(ModelSpec("folder", str(folder), adapter=str(one)))):
        with pytest.raises(ModelLoadError, match=r"a pickle \(adapter_model\.bin\), which is never opened"):
            check(adapter)
    (tmp_path / "real.safetensors").write_bytes((adapter / "adapter_model.bin").read_bytes())
    (adapter / "adapter_model.safetensors").symlink_to(tmp_path / "real.safetensors")
    with pytest.raises(ModelLoadError, match="link to a file outside"):
        check_adapter_folder(adapter)


def test_the_guard_of_these_tests_works(folder: Path) -> None:
    with pytest.raises(AssertionError):
        torch.load(folder / WEIGHTS)
