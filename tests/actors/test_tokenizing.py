"""An adapter's own tokenizer and chat template are used, and said to be; another's tokens are never looked up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.errors import ModelLoadError, UnsupportedModelError
from actors.fingerprints import adapter_fingerprint
from actors.loading import LoadedModel, load_model
from actors.types import ModelSpec, Prompt
from tests.tiny import CHAT_TEMPLATE, tiny_folder, tiny_tokenizer

OTHER = "{% for m in messages %}Q: {{ m['content'] }}\nA:{% endfor %}"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "tokenizing-cache"))  # one merge for all


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tiny_folder("llama", tmp_path / "base")
    tokenizer(OTHER).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    torch.manual_seed(5)
    config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    model.peft_config["default"].base_model_name_or_path = "base"
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def tokenizer(template: str | None) -> Any:
    made = tiny_tokenizer()
    made.chat_template = template
    return made


def loaded(base: Path, adapter: Path) -> LoadedModel:
    return load_model(ModelSpec("folder", str(base), adapter=str(adapter)))


def text(model: LoadedModel) -> str:
    return model.renderer.render(Prompt("p", "Hi")).text


def test_the_base_models_is_used_where_the_adapter_brings_none(base: Path, adapter: Path) -> None:
    model = loaded(base, adapter)
    assert text(model) == "Q: Hi\nA:"
    assert "tokenizer" not in model.record


def test_the_adapters_own_comes_first_and_is_told(base: Path, adapter: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer(CHAT_TEMPLATE).save_pretrained(adapter)
    model = loaded(base, adapter)
    assert text(model) == "<s><|user|>Hi<|end|><|assistant|>"
    assert "the adapter's own tokenizer and chat template" in caplog.text
    assert "the adapter's own" in model.record["tokenizer"]


def test_a_base_model_without_a_template_runs_with_the_adapters(base: Path, adapter: Path) -> None:
    (base / "chat_template.jinja").unlink()
    with pytest.raises(UnsupportedModelError, match="no chat template"):
        loaded(base, adapter)
    tokenizer(CHAT_TEMPLATE).save_pretrained(adapter)
    assert text(loaded(base, adapter)) == "<s><|user|>Hi<|end|><|assistant|>"


def test_a_template_alone_goes_with_the_base_models_tokenizer(base: Path, adapter: Path) -> None:
    (adapter / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    model = loaded(base, adapter)
    assert text(model) == "<s><|user|>Hi<|end|><|assistant|>"
    assert "the base model's tokenizer with the adapter's own chat template" in model.record["tokenizer"]
    (adapter / "chat_template.jinja").unlink()
    (adapter / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": [{"name": "default", "template": CHAT_TEMPLATE}]})
    )
    assert text(loaded(base, adapter)) == "<s><|user|>Hi<|end|><|assistant|>"


def test_a_tokenizer_alone_goes_with_the_base_models_template(base: Path, adapter: Path) -> None:
    tokenizer(None).save_pretrained(adapter)
    assert text(loaded(base, adapter)) == "Q: Hi\nA:"


def test_tokens_that_the_model_has_no_embedding_for_are_refused(base: Path, adapter: Path) -> None:
    made = tokenizer(CHAT_TEMPLATE.replace("<|user|>", "<|new|>"))
    made.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    made.chat_template = "<s><|new|>{{ messages[-1]['content'] }}"
    made.save_pretrained(adapter)
    with pytest.raises(ModelLoadError, match="writes token 262, the model has embeddings for 262"):
        loaded(base, adapter)


def test_its_files_enter_the_fingerprint_and_nothing_else_does(adapter: Path) -> None:
    before = adapter_fingerprint(adapter)
    (adapter / "README.md").write_text("notes")
    (adapter / "special_tokens_map.json").write_text("{}")
    assert adapter_fingerprint(adapter) == before, "no tokenizer: the id is that of earlier versions"
    tokenizer(CHAT_TEMPLATE).save_pretrained(adapter)
    with_one = adapter_fingerprint(adapter)
    tokenizer(OTHER).save_pretrained(adapter)
    assert len({before, with_one, adapter_fingerprint(adapter)}) == 3
