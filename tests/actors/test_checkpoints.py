"""Every weight of a model is in its files and every weight in its files is read; what is stored quantized runs as what it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitsAndBytesConfig, GptOssConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.errors import ModelLoadError
from actors.fingerprints import spec_fingerprint
from actors.loading import load_model
from actors.types import ModelSpec
from tests.orchestrator.sweep_files import write_adapter
from tests.tiny import CONFIGS, tiny_folder, tiny_tokenizer

ONE = torch.zeros(2, 2)
PROJECTION = "model.layers.2.mlp.up_proj.weight"
IDS = torch.tensor([[1, 3, 70, 71, 4, 90, 5]])


def with_weights(
    folder: Path, weights: Mapping[str, torch.Tensor | None], family: str = "llama", config: Mapping[str, object] | None = None
) -> ModelSpec:
    """A tiny model whose file has ``weights`` besides, or (None) lacks them."""
    tiny_folder(family, folder)
    held = {**load_file(folder / "model.safetensors"), **weights}
    save_file({name: one for name, one in held.items() if one is not None}, folder / "model.safetensors", {"format": "pt"})
    changed = {**json.loads((folder / "config.json").read_text()), **(config or {})}
    (folder / "config.json").write_text(json.dumps(changed))
    return ModelSpec("folder", str(folder))


@pytest.mark.parametrize(
    "name",
    [
        "model.layers.0.self_attn.q_proj.bias",
        "model.layers.5.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_norm.weight",
        "score.weight",
        "v_head.summary.weight",
        "model.layers.0.self_attn.bias",
    ],
)
def test_weights_that_nothing_reads_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=f"1 weights in the files are read by nothing: {name}"):
        load_model(with_weights(tmp_path / "m", {name: ONE}))


@pytest.mark.parametrize(
    ("family", "name", "tensor", "kind"),
    [
        ("llama", "mtp.layers.0.mlp.up_proj.weight", ONE, "heads that guess tokens further ahead"),
        ("llama", "model.layers.5.mlp.up_proj.weight", ONE, "heads that guess tokens further ahead"),
        ("llama", "vision_tower.blocks.0.mlp.weight", ONE, "encoders of pictures and sound"),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", torch.tensor(-1e9), "causal masks"),
        ("gpt_neox", "gpt_neox.layers.0.attention.bias", torch.ones(1, 1, 8, 8), "causal masks"),
    ],
)
def test_what_does_not_act_is_left_and_told(
    family: str, name: str, tensor: torch.Tensor, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"num_nextn_predict_layers": 1} if "layers.5" in name else {}
    loaded = load_model(with_weights(tmp_path / "m", {name: tensor}, family, more))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype=torch.float32).eval()
    assert torch.equal(loaded.model.cpu()(IDS).logits, plain(IDS).logits)
    told = loaded.record.get("unread_weights", "")
    assert f"1 of {kind}" in told or not told, "transformers itself may know that they do not act"
    assert told in caplog.text


def test_missing_weights_and_those_of_other_sizes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=f"lack 1 of the model's weights: {PROJECTION}"):
        load_model(with_weights(tmp_path / "lacking", {PROJECTION: None}))
    with pytest.raises(ModelLoadError, match=rf"{PROJECTION} \(\[2, 2\] in the file, \[128, 64\] in the model\)"):
        load_model(with_weights(tmp_path / "other", {PROJECTION: ONE}))


def test_a_head_beside_a_tied_embedding(tmp_path: Path) -> None:
    """The same matrix twice is harmless; another one is the head, as in transformers."""
    embedding = load_file(tiny_folder("llama", tmp_path / "a") / "model.safetensors")["model.embed_tokens.weight"]
    tied = {"tie_word_embeddings": True}
    same = load_model(with_weights(tmp_path / "same", {"lm_head.weight": embedding.clone()}, config=tied)).model
    assert torch.equal(same.lm_head.weight, same.model.embed_tokens.weight)
    other = load_model(with_weights(tmp_path / "other", {"lm_head.weight": 2 * embedding}, config=tied)).model
    assert torch.equal(other.lm_head.weight, 2 * other.model.embed_tokens.weight)


def test_a_folder_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    spec = ModelSpec("folder", str(tiny_folder("llama", tmp_path / "m")))
    planned = replace(spec, fingerprint=spec_fingerprint(spec, ""))
    assert load_model(planned).d_model == 64
    tiny_folder("llama", tmp_path / "m", seed=1)
    with pytest.raises(ModelLoadError, match="not those that the sweep was planned with"):
        load_model(planned)


# ---- stored quantized


KINDS = {
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16),
    "fp4-double": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_use_double_quant=True),
    "int8": BitsAndBytesConfig(load_in_8bit=True),
}


def stored(folder: Path, kind: str) -> Path:
    """The tiny Llama, saved in a quantization of bitsandbytes."""
    full = tiny_folder("llama", folder.with_name(f"{folder.name}-full"))
    model = AutoModelForCausalLM.from_pretrained(full, dtype=torch.float32, quantization_config=KINDS[kind])
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_quantization_runs_as_what_it_is_or_not_at_all(kind: str, tmp_path: Path) -> None:
    folder = stored(tmp_path / "m", kind)
    spec = ModelSpec("folder", str(folder))
    for asked in {"none", "int8", "nf4", "nf4-double", "fp4", "fp4-double"} - {kind}:
        with pytest.raises(ModelLoadError, match=f"is stored in {kind}, so it cannot be run as '{asked}': ask for {kind}"):
            load_model(replace(spec, quantization=asked))  # type: ignore[arg-type]
    loaded = load_model(replace(spec, quantization=kind))  # type: ignore[arg-type]
    fresh = load_model(ModelSpec("folder", f"{folder}-full", quantization=kind))  # type: ignore[arg-type]
    assert f"stored in {kind}: run so, computing in float32" in loaded.record["stored_quantization"]
    same = torch.allclose(loaded.model.cpu()(IDS).logits, fresh.model.cpu()(IDS).logits, atol=1e-4)
    assert same, "it computes in float32, not in the checkpoint's bfloat16"


def test_an_adapter_on_a_stored_quantization_is_refused(tmp_path: Path) -> None:
    folder = stored(tmp_path / "m", "nf4")
    adapter = write_adapter(tmp_path / "a", width=64)
    for asked in ("none", "nf4", "int8"):
        with pytest.raises(ModelLoadError, match="an adapter can only be merged into weights that are not quantized"):
            load_model(ModelSpec("folder", str(folder), adapter=str(adapter), quantization=asked))


@pytest.mark.parametrize("method", ["gptq", "awq", "fp8", "compressed-tensors", "hqq"])
def test_other_stored_quantizations_are_refused_by_name(method: str, tmp_path: Path) -> None:
    spec = with_weights(tmp_path / "m", {}, config={"quantization_config": {"quant_method": method, "bits": 4}})
    with pytest.raises(ModelLoadError, match=f"is stored in {method}.*no quantization here stands for it"):
        load_model(spec)


def test_the_oracle_has_five_layers() -> None:
    assert CONFIGS["llama"].num_hidden_layers == 5  # which the names above count on


FP4 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0])


def test_mxfp4_is_unpacked_and_runs_as_none_alone(tmp_path: Path) -> None:
    """Four-bit floats in blocks of 32 with an exponent each, two to a byte, the low half first: by the format's definition."""
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16}
    config = GptOssConfig(vocab_size=262, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2, **sizes)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "m")
    tiny_tokenizer().save_pretrained(tmp_path / "m")
    held, right = load_file(tmp_path / "m" / "model.safetensors"), {}
    for name in [one for one in held if one.endswith(("gate_up_proj", "down_proj"))]:
        experts, inner, outer = held.pop(name).shape
        blocks = torch.randint(0, 256, (experts, outer, inner // 32, 16), dtype=torch.uint8)
        scales = torch.randint(120, 125, (experts, outer, inner // 32), dtype=torch.uint8)
        held |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
        values = torch.stack([FP4[(blocks & 15).long()], FP4[(blocks >> 4).long()]], dim=-1).flatten(-2)
        right[name] = (values * 2.0 ** (scales.float() - 127)[..., None]).flatten(-2).transpose(1, 2)
    save_file(held, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    stored = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router"]}
    written = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**written, "quantization_config": stored}))
    spec = ModelSpec("folder", str(tmp_path / "m"))
    with pytest.raises(ModelLoadError, match="is stored in mxfp4, so it cannot be run as 'nf4': ask for none"):
        load_model(replace(spec, quantization="nf4"))
    loaded = load_model(spec)
    weights = loaded.model.state_dict()
    assert len(right) == 4
    assert all(torch.equal(weights[name].cpu(), tensor) for name, tensor in right.items())
    assert "stored in mxfp4: unpacked into float32" in loaded.record["stored_quantization"]
