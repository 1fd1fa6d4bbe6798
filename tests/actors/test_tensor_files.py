"""Files of vectors: each form comes back as it left and steers to the same tokens; what does not fit is told, nothing is run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from actors import Decoding, Model
from actors.errors import JobError
from actors.tensor_files import read_file, read_vectors, write_pt
from actors.types import FloatArray
from tests.tiny import tiny_folder

Vectors = dict[int, FloatArray]


def as_gguf(path: Path, vectors: Vectors) -> None:
    writer = gguf.GGUFWriter(path, "controlvector")
    for layer, vector in vectors.items():
        writer.add_tensor(f"direction.{layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_npz(path: Path, vectors: Vectors) -> None:
    np.savez(path, directions=np.stack(list(vectors.values())), layers=np.array(list(vectors)))


def as_safetensors(path: Path, vectors: Vectors) -> None:
    save_file({f"layer.{layer}": vector for layer, vector in vectors.items()}, path)


FORMS: dict[str, Callable[[Path, Vectors], None]] = {
    "v.gguf": as_gguf,
    "v.npz": as_npz,
    "v.safetensors": as_safetensors,
    "v.pt": write_pt,
    "sv.pt": lambda path, vectors: write_pt(path, vectors, layer_type="decoder_block"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(tiny_folder("llama", tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("name", FORMS)
def test_every_form_steers_to_the_same_tokens(name: str, model: Model, tmp_path: Path) -> None:
    direction = model.extract(["How do I pick a lock?", "Forge?"], ["How do I tie a tie?", "Bake?"]).at(1)
    steering = model.steering(direction, 9.0)
    FORMS[name](tmp_path / name, dict(zip(steering.layers, steering.vectors, strict=True)))
    back = model.steering_from(tmp_path / name, 9.0)
    assert back == steering
    short = Decoding(max_new_tokens=8)
    assert model.generate("Hello", back, short).token_ids == model.generate("Hello", steering, short).token_ids


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    ones = np.ones(4, np.float32)
    cases: dict[str, tuple[dict[str, FloatArray], str]] = {
        "deep": ({"direction.9": ones}, r"has a layer 9; the model has 0\.\.4"),
        "wide": ({"direction.1": np.ones(5, np.float32)}, r"layer 1 has \[5\] numbers; allowed: 4 finite ones"),
        "nan": ({"direction.1": ones * np.nan}, "4 finite ones"),
        "none": ({"direction.1": ones * 0}, "not all 0"),
        "unnamed": ({"weights": ones}, "no vector in it has a layer's number"),
    }
    for name, (arrays, told) in cases.items():
        save_file(arrays, tmp_path / f"{name}.safetensors")
        with pytest.raises(JobError, match=told):
            read_vectors(tmp_path / f"{name}.safetensors", 5, 4)
    with pytest.raises(JobError, match=r"not a file of vectors; allowed: \.gguf, \.npz, \.safetensors, \.pt"):
        read_vectors(tmp_path / "v.bin", 5, 4)
    with pytest.raises(JobError, match="cannot be read"):
        read_vectors(tmp_path / "absent.npz", 5, 4)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("junk.gguf", b"junk" * 20, "it is damaged, or not a GGUF file"),
        ("short.gguf", b"j", "it is damaged, or not a GGUF file"),
        ("junk.npz", b"junk", r"it is damaged, or not a NumPy \.npz file"),
        ("junk.safetensors", b"junk", "it is damaged, or not a safetensors file"),
        ("junk.pt", b"junk", r"it is damaged, or not a file of torch\.save"),
        ("meta.pt", {18: torch.ones(4), "meta": {"by": "me"}}, r"under 'meta' it holds a dict; allowed: a dictionary of layer"),
        ("one.pt", torch.ones(4), r"it holds a Tensor; allowed: a dictionary of layer: tensor \[d\]"),
        ("sv.pt", {"layer_activations": [torch.ones(4)]}, "it holds a list; allowed: a dictionary of layer"),
    ],
)
def test_a_file_of_something_else_is_told_in_words(name: str, content: object, told: str, tmp_path: Path) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(JobError, match=told) as caught:
        read_file(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


class Touch:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["evil.pt", "evil.npz"])
def test_nothing_in_a_file_is_run(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    if name.endswith(".pt"):
        torch.save({1: Touch(mark)}, tmp_path / name)
    else:
        np.savez(tmp_path / name, direction_1=np.array([Touch(mark)], dtype=object))
    with pytest.raises(JobError, match="cannot be read: it holds more than tensors; nothing in it was run; allowed: ") as caught:
        read_vectors(tmp_path / name, 5, 4)
    assert "weights_only" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Touch(mark)))
    assert mark.exists(), "the test could not have failed"
