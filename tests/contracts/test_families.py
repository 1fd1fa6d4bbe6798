"""One line of the catalogue serves the planner and the loader: a model of each kind with a LoRA is planned and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import BloomConfig, MptConfig, OPTConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.catalogue import FAMILIES
from actors.families import decoder_of
from actors.loading import load_model
from orchestrator.errors import InputError
from orchestrator.sweep import load_sweep
from tests.orchestrator.sweep_files import plan_of, sweep_data, write_sweep
from tests.tiny import CONFIGS, GPT, tiny_tokenizer

SIZES = {"hidden_size": 64, "vocab_size": GPT["vocab_size"], "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
KINDS: dict[str, Any] = {
    "gpt2": CONFIGS["gpt2"],
    "gpt_neox": CONFIGS["gpt_neox"],
    "bloom": BloomConfig(**SIZES, n_layer=5, n_head=4),
    "mpt": MptConfig(d_model=64, n_heads=4, n_layers=5, max_seq_len=512, vocab_size=GPT["vocab_size"], eos_token_id=2),
    "opt": OPTConfig(**SIZES, ffn_dim=128, num_hidden_layers=5, num_attention_heads=4, max_position_embeddings=512),
    "llama": CONFIGS["llama"],
}
"""Five blocks of width 64, each in a list of another name or at another place."""


def write_pair(folder: Path, config: Any) -> tuple[Path, Path]:
    """A model folder, and a LoRA on every layer that the catalogue says reads from or writes to the residual stream."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder / "base")
    tiny_tokenizer().save_pretrained(folder / "base")
    family = FAMILIES[config.model_type]
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets = sorted((family.reads | family.writes) & present)
    assert len(targets) >= 3
    lora = LoraConfig(
        r=2, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False, fan_in_fan_out=config.model_type == "gpt2"
    )
    get_peft_model(model, lora).save_pretrained(folder / "adapter")
    return folder / "base", folder / "adapter"


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_of_the_kind_is_planned_and_loaded(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base, adapter = write_pair(tmp_path, KINDS[kind])
    plan = plan_of(tmp_path, models={"m": {"folder": str(base), "adapter": str(adapter)}}, layers=[1, 3])
    (model,) = plan.models
    assert (model.shape.n_layers, model.shape.d_model, model.shape.n_heads) == (5, 64, 4)
    loaded = load_model(model.spec)
    assert loaded.decoder.blocks_path == FAMILIES[kind].blocks
    assert "as base and adapter side by side" in str(loaded.record["adapter_merge"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("sizes", "words"), [({"layers": 4}, r"the adapter has a layer 4.*0\.\.3"), ({"width": 32}, r"made for width \(d_model\) 64")]
)
def test_a_lora_of_another_size_is_refused_before_anything_is_loaded(
    kind: str, sizes: dict[str, int], words: str, tmp_path: Path
) -> None:
    _, adapter = write_pair(tmp_path, KINDS[kind])
    smaller = {**KINDS[kind].to_dict()}
    for name, value in sizes.items():
        keys = {"layers": ("num_hidden_layers", "n_layer", "n_layers"), "width": ("hidden_size", "n_embd", "d_model")}[name]
        smaller.update({key: value for key in keys if key in smaller})
    base = tmp_path / "smaller"
    AutoModelForCausalLM.from_config(type(KINDS[kind]).from_dict(smaller)).save_pretrained(base)
    tiny_tokenizer().save_pretrained(base)
    data = sweep_data(models={"m": {"folder": str(base), "adapter": str(adapter)}}, layers=[1, 3])
    with pytest.raises(InputError, match=words):
        load_sweep(write_sweep(tmp_path, data))


@pytest.mark.parametrize("kind", KINDS)
def test_the_catalogue_says_where_the_structure_is(kind: str) -> None:
    """An oracle of its own: what is found where nothing is listed."""
    model = AutoModelForCausalLM.from_config(KINDS[kind])
    listed = decoder_of(model)
    model.config.model_type = "of no family"
    found = decoder_of(model)
    assert (found.blocks_path, found.final_norm, found.masks) == (listed.blocks_path, listed.final_norm, listed.masks)


@pytest.mark.parametrize("kind", KINDS)
def test_the_planner_counts_the_parameters_of_the_kind(kind: str, tmp_path: Path) -> None:
    config = type(KINDS[kind]).from_dict({**KINDS[kind].to_dict(), "vocab_size": 4096})
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    (planned,) = plan_of(tmp_path, models={"m": {"folder": str(tmp_path / "m")}}, layers=[1]).models
    positions = sum(one.numel() for name, one in model.named_parameters() if "wpe" in name or "embed_positions" in name)
    assert planned.shape.parameters == pytest.approx(sum(one.numel() for one in model.parameters()) - positions, rel=0.02)
