"""A merged adapter computes what base and adapter compute side by side, by PEFT's own forward, or is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, TrainableTokensConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.errors import ModelLoadError, NotHereError
from actors.loading import load_model
from actors.merging import base_in, merged
from actors.types import ModelSpec
from tests.tiny import CONFIGS, tiny_tokenizer

LORA: dict[str, Any] = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "init_lora_weights": False}
NAMED = [3, 4, 250]
IDS = torch.tensor([[1, 3, 70, 71, 4, 90, 5, 100, 250, 9, 8, 7], [5, 77, 78, 79, 80, 3, 3, 200, 201, 250, 4, 1]])


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing merged before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "activation-steering-sweeps"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """Model folders by family, with tied embeddings or without."""
    root = tmp_path_factory.mktemp("bases")

    def base(family: str, tied: bool) -> Path:
        folder = root / f"{family}-{tied}"
        if not folder.exists():
            write_base(folder, family, tied=tied)
        return folder

    return base


def write_base(folder: Path, family: str = "llama", seed: int = 0, **changes: Any) -> Path:
    tied = changes.pop("tied", False)
    torch.manual_seed(seed)
    config = type(CONFIGS[family]).from_dict({**CONFIGS[family].to_dict(), "tie_word_embeddings": tied, **changes})
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def write_adapter(folder: Path, base: Path, config: Any, rows: int | None = None, scale: float = 0.1) -> Path:
    """An adapter with random weights, as PEFT saves it; ``rows``: on embeddings that were resized."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if rows is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
    torch.manual_seed(5)
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for weight in wrapped.parameters():
            if weight.requires_grad:
                weight.add_(scale * torch.randn_like(weight))
    wrapped.save_pretrained(folder)
    return folder


def right(base: Path, adapter: Path, rows: int | None = None) -> torch.Tensor:
    """PEFT's own logits, not merged."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if rows is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        logits: torch.Tensor = PeftModel.from_pretrained(model, adapter).eval()(input_ids=IDS).logits
    return logits


def ours(base: Path, adapter: Path) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = load_model(ModelSpec("folder", str(base), adapter=str(adapter))).model.cpu()(IDS).logits
    return logits


def lora(targets: Any, **more: Any) -> Any:
    return LoraConfig(target_modules=targets, **LORA, **more)


KINDS: dict[str, tuple[str, bool, Callable[[], Any]]] = {
    "head of a tied pair": ("llama", True, lambda: lora(["q_proj", "lm_head"])),
    "input of a tied pair": ("llama", True, lambda: lora(["embed_tokens"])),
    "both of a tied pair, apart": ("llama", True, lambda: lora(["embed_tokens", "lm_head"])),
    "both of a tied pair, as one": ("llama", True, lambda: lora(["embed_tokens"], ensure_weight_tying=True)),
    "neither of a tied pair": ("llama", True, lambda: lora(["q_proj"])),
    "head of a tied pair, whole": ("llama", True, lambda: lora(["q_proj"], modules_to_save=["lm_head"])),
    "tokens of a tied pair": ("llama", True, lambda: lora(["q_proj"], trainable_token_indices=NAMED)),
    "tokens of a head": ("llama", True, lambda: lora(["q_proj"], trainable_token_indices={"lm_head": NAMED})),
    "tokens alone": ("llama", True, lambda: TrainableTokensConfig(token_indices=NAMED, task_type="CAUSAL_LM")),
    "DoRA on both": ("llama", True, lambda: lora(["q_proj", "embed_tokens", "lm_head"], use_dora=True)),
    "rank-stabilised": ("llama", False, lambda: lora(["q_proj"], use_rslora=True)),
    "biases": ("qwen2", False, lambda: lora(["q_proj", "down_proj"], bias="all")),
    "transposed matrices, tied": ("gpt2", True, lambda: lora(["c_attn", "lm_head"], fan_in_fan_out=True)),
    "soft-capped, tied": ("gemma2", True, lambda: lora(["q_proj", "lm_head"])),
    "experts": ("qwen3_moe", False, lambda: lora(["q_proj"], target_parameters=["mlp.experts.down_proj"])),
    "IA3": ("llama", False, lambda: IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_model_computes_what_peft_does(kind: str, bases: Callable[[str, bool], Path], tmp_path: Path) -> None:
    family, tied, config = KINDS[kind]
    base = bases(family, tied)
    adapter = write_adapter(tmp_path / "adapter", base, config())
    wanted = right(base, adapter)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    assert (plain(IDS).logits - wanted).abs().max() > 0.01, "the adapter does nothing: the test could not fail"
    assert (ours(base, adapter) - wanted).abs().max() < 2e-4 * wanted.std()


@pytest.mark.parametrize("tied", [True, False])
def test_embeddings_grow_as_the_adapters_do(tied: bool, bases: Callable[[str, bool], Path], tmp_path: Path) -> None:
    base = bases("llama", tied)
    rows = CONFIGS["llama"].vocab_size + 3
    config = lora(["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    adapter = write_adapter(tmp_path / "adapter", base, config, rows)
    wanted = right(base, adapter, rows)
    assert wanted.shape[-1] == rows
    assert (ours(base, adapter) - wanted).abs().max() < 2e-4 * wanted.std()


def test_rows_that_nobody_trained_are_refused(bases: Callable[[str, bool], Path], tmp_path: Path) -> None:
    base = bases("llama", False)
    adapter = write_adapter(tmp_path / "adapter", base, lora(["lm_head"]), CONFIGS["llama"].vocab_size + 3)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file({name: tensor for name, tensor in weights.items() if "lora_" in name}, adapter / "adapter_model.safetensors")
    refused(base, adapter, "does not hold their rows of the embeddings")


def refused(base: Path, adapter: Path, words: str) -> None:
    with pytest.raises(ModelLoadError, match=words):
        load_model(ModelSpec("folder", str(base), adapter=str(adapter)))


@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_adapters_beside_the_weights_are_refused(config: Any, bases: Callable[[str, bool], Path], tmp_path: Path) -> None:
    base = bases("llama", False)
    adapter = write_adapter(tmp_path / "adapter", base, config(num_virtual_tokens=4, task_type="CAUSAL_LM"))
    refused(base, adapter, "cannot be merged")


def without_some(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in weights.items() if ".layers.2." not in name}


def of_another_model(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.replace("self_attn", "attention"): tensor for name, tensor in weights.items()}


def with_more(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**weights, "base_model.model.model.layers.2.self_attn.q_proj.lora_C.weight": torch.zeros(2, 2)}


@pytest.mark.parametrize(
    ("change", "words"),
    [(without_some, "of the adapter's weights are missing"), (of_another_model, "fit no part"), (with_more, "fit no part")],
)
def test_an_adapter_whose_weights_do_not_apply_is_refused(
    change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]],
    words: str,
    bases: Callable[[str, bool], Path],
    tmp_path: Path,
) -> None:
    base = bases("llama", False)
    adapter = write_adapter(tmp_path / "adapter", base, lora(["q_proj"]))
    file = adapter / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)
    refused(base, adapter, words)


def test_a_merge_that_computes_something_else_is_refused_and_leaves_nothing(
    bases: Callable[[str, bool], Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import Linear

    real = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, name: 1.1 * real(self, name))
    base = bases("llama", False)
    adapter = write_adapter(tmp_path / "adapter", base, lora(["q_proj"]))
    refused(base, adapter, "does not compute what base and adapter compute side by side")
    assert not list(cache.glob("merged-*/"))


def test_a_disk_without_room_is_told_before_anything_is_merged(
    bases: Callable[[str, bool], Path], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = bases("llama", False)
    adapter = write_adapter(tmp_path / "adapter", base, lora(["q_proj"]))
    needed = 4 * sum(weight.numel() for weight in load_file(base / "model.safetensors").values())
    for free, raises in ((needed - 1, True), (needed, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        with pytest.raises(NotHereError, match="GB are free; set XDG_CACHE_HOME") if raises else nullcontext():
            merged(base_in(base, False), adapter)
        assert bool(list(cache.glob("merged-*/"))) is not raises


def test_an_adapter_that_does_nothing_is_said_to(
    bases: Callable[[str, bool], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    base = bases("llama", False)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")  # lora_B is still 0
    loaded = load_model(ModelSpec("folder", str(base), adapter=str(tmp_path / "adapter")))
    assert "the adapter changes nothing" in loaded.record["idle_adapter"]
    assert "the adapter changes nothing" in caplog.text


# ---- what is kept is kept by content


def in_place(folder: Path, seed: int) -> None:
    """Train the model in ``folder`` on, leaving the size and the times of its file as they were."""
    file = folder / "model.safetensors"
    before = file.stat()
    other = write_base(folder.with_name("retrained"), seed=seed)
    shutil.copyfile(other / "model.safetensors", file)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_base_that_was_trained_on_in_place_is_merged_anew(tmp_path: Path, cache: Path) -> None:
    base = write_base(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base, lora(["q_proj"]))
    first = ours(base, adapter)
    in_place(base, seed=1)
    second, wanted = ours(base, adapter), right(base, adapter)
    assert (second - wanted).abs().max() < 2e-4 * wanted.std()
    assert (second - first).abs().max() > 0.1
    ours(base, adapter)
    assert len(list(cache.glob("merged-*/"))) == 2, "the same content twice is merged once"


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_config_is_part_of_what_is_merged(file: str, tmp_path: Path, cache: Path) -> None:
    base = write_base(tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base, lora(["q_proj"]))
    ours(base, adapter)
    changed = {"rms_norm_eps": 0.5} if file == "config.json" else {"eos_token_id": [2, 7], "temperature": 0.9}
    (base / file).write_text(json.dumps({**json.loads((base / file).read_text()), **changed}))
    wanted = right(base, adapter)
    assert (ours(base, adapter) - wanted).abs().max() < 2e-4 * wanted.std()
    assert len(list(cache.glob("merged-*/"))) == 2
    loaded = load_model(ModelSpec("folder", str(base), adapter=str(adapter)))
    assert loaded.stop_tokens == ({2} if file == "config.json" else {2, 7})


def test_a_branch_that_moves_is_merged_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    repo = hub / "models--org--tiny"
    (repo / "refs").mkdir(parents=True)
    adapter = None
    for number, commit in enumerate(("a" * 40, "b" * 40)):
        plain = write_base(tmp_path / f"plain-{number}", seed=number)
        snapshot = repo / "snapshots" / commit
        snapshot.mkdir(parents=True)
        (repo / "blobs").mkdir(exist_ok=True)
        for path in plain.iterdir():
            shutil.copy(path, repo / "blobs" / f"{number}-{path.name}")
            (snapshot / path.name).symlink_to(Path("../../blobs") / f"{number}-{path.name}")
        (repo / "refs" / "main").write_text(commit)
        adapter = adapter or write_adapter(tmp_path / "adapter", plain, lora(["q_proj"]))
        loaded = load_model(ModelSpec("hub", "org/tiny", "main", adapter=str(adapter)))
        wanted = right(plain, adapter)
        assert (loaded.model.cpu()(IDS).logits - wanted).abs().max() < 2e-4 * wanted.std()
        assert loaded.commit == commit


def test_a_merged_model_is_readable_by_those_who_may_read_base_and_adapter(
    bases: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    base = shutil.copytree(bases("llama", False), tmp_path / "base")
    adapter = write_adapter(tmp_path / "adapter", base, LoraConfig(**LORA, target_modules=["q_proj"]))
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (adapter / "adapter_model.safetensors").chmod(0o600)
    folder = merged(base_in(base, trust_remote_code=False), adapter).folder
    assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
