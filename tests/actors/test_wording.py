"""What a template drops, changes or does not read is noticed, by the tokenizer's rendering and by the one for planning alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils import chat_template_utils

from actors.chat_templates import TemplateText
from actors.errors import JobError, UnsupportedModelError
from actors.prompts import PromptRenderer, TokenizerTemplate
from actors.types import DATE, Prompt
from actors.wording import Form, Option, Template, UnreadOptionError, Wording
from tests.actors.test_prompts import CASES, TEXTS, tokenizer
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

SYSTEM = "You refuse every request, whatever it is."
END = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
USER_ONLY = "{% for m in messages %}{% if m.role == 'user' %}<|user|>{{ m.content }}<|end|>{% endif %}{% endfor %}" + END
DROPPING = {
    "no branch for it": USER_ONLY,
    "cut short": "{% for m in messages %}<|{{ m.role }}|>{{ m.content[:20] if m.role == 'system' else m.content }}{% endfor %}"
    + END,
    "in capitals": "{% for m in messages %}{{ m.content | upper if m.role == 'system' else m.content }}<|end|>{% endfor %}" + END,
    "first message only": "<|user|>{{ messages[0].content }}<|end|>" + END,
    "only with tools": "{% if tools %}{{ messages[0].content }}{% endif %}" + USER_ONLY,
    "an own preamble": "<|system|>Be kind.<|end|>" + USER_ONLY,
    "raises": "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT_TEMPLATE,
}
CHANGING = {
    "first word": "{% for m in messages %}{{ m.content.split(' ')[0] }}{% endfor %}" + END,
    "small letters": "{% for m in messages %}{{ m.content | lower }}{% endfor %}" + END,
    "nothing": "{{ messages | length }}" + END,
    "a list of parts": "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}" + END,
    "syntax": "<s>{% for m in messages %}{{ m.content }",
    "undefined": "{{ birthday.year }}" + CHAT_TEMPLATE,
    "refuses": "{{ raise_exception('not you') }}" + CHAT_TEMPLATE,
    "arithmetic": "{{ 1 // 0 }}" + CHAT_TEMPLATE,
}
DATED = "<|system|>Today is {{ strftime_now('%A, %d %B %Y, %H:%M') }}.<|end|>" + CHAT_TEMPLATE
THINKING = CHAT_TEMPLATE + "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}"

MakeTemplate = Callable[[str], Template]


def with_tokenizer(source: str) -> Template:
    return TokenizerTemplate(tokenizer(source))


@pytest.fixture(params=[with_tokenizer, TemplateText], ids=["tokenizer", "planning"])
def make(request: pytest.FixtureRequest) -> MakeTemplate:
    """Both ways to render a template."""
    made: MakeTemplate = request.param
    return made


def applied(tokens: PreTrainedTokenizerFast, text: str, system: str | None = None, **options: Option) -> str:
    """The plain use of transformers."""
    told = [] if system is None else [{"role": "system", "content": system}]
    messages = [*told, {"role": "user", "content": text}]
    return str(tokens.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **options))


@pytest.mark.parametrize("name", CASES)
def test_prompts_are_those_of_transformers(name: str, make: MakeTemplate) -> None:
    source, options, _ = CASES[name]
    wording, tokens = Wording(make(source), Form(None, options)), tokenizer(source)
    assert [wording.text(text) for text in TEXTS] == [applied(tokens, text, None, **dict[str, Option](options)) for text in TEXTS]
    assert (wording.system, wording.reads_date, wording.remarks) == ("none", False, ())


@pytest.mark.parametrize("name", DROPPING)
def test_a_system_prompt_that_is_dropped_goes_before_the_users_text(name: str, make: MakeTemplate) -> None:
    wording = Wording(make(DROPPING[name]), Form(SYSTEM))
    assert wording.system == "folded"
    assert "before the user's text" in wording.remarks[0]
    assert wording.text("Why?") == applied(tokenizer(DROPPING[name]), f"{SYSTEM}\n\nWhy?")


def test_a_system_prompt_that_is_written_stays_in_its_message(make: MakeTemplate) -> None:
    for system in (SYSTEM, "You are kind.", f"  {SYSTEM}\n", ""):
        wording = Wording(make(CHAT_TEMPLATE), Form(system))
        assert (wording.system, wording.remarks) == ("message", ())
        assert wording.text("Why?") == applied(tokenizer(CHAT_TEMPLATE), "Why?", system)


def test_a_template_that_needs_a_system_prompt_takes_one(make: MakeTemplate) -> None:
    needing = "{% if messages[0].role != 'system' %}{{ raise_exception('a system prompt, please') }}{% endif %}" + CHAT_TEMPLATE
    assert Wording(make(needing), Form(SYSTEM)).text("Why?") == applied(tokenizer(needing), "Why?", SYSTEM)
    with pytest.raises(UnsupportedModelError, match="a system prompt, please"):
        Wording(make(needing), Form())


@pytest.mark.parametrize("name", CHANGING)
def test_a_template_that_does_not_write_the_users_text_is_refused(name: str, make: MakeTemplate) -> None:
    told = {"syntax": "is not one", "undefined": "'birthday' is undefined", "refuses": "refuses a user message: not you"}
    told["arithmetic"] = "by zero"
    for system in (None, SYSTEM):
        with pytest.raises(UnsupportedModelError, match=told.get(name, "does not write a user message as it is")):
            Wording(make(CHANGING[name]), Form(system))


def test_a_system_prompt_that_has_no_place_at_all_is_refused(make: MakeTemplate) -> None:
    last_line = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content.split('\\n')[-1] }}{% endif %}{% endfor %}"
    with pytest.raises(UnsupportedModelError, match="drops or changes the system prompt"):
        Wording(make(last_line), Form(SYSTEM))


def test_a_text_that_only_this_prompt_loses_fails_this_prompt() -> None:
    renderer = PromptRenderer(tokenizer("{% for m in messages %}<|user|>{{ m.content[:60] }}<|end|>{% endfor %}" + END))
    assert renderer.render(Prompt("short", "Why?")).text == "<|user|>Why?<|end|><|assistant|>"
    with pytest.raises(JobError, match="prompt 'long': the chat template leaves out or changes a part of the text 'Tell me"):
        renderer.render(Prompt("long", "Tell me a tale. " * 10))


def test_text_that_is_written_twice_or_with_special_tokens_is_as_transformers_has_it(make: MakeTemplate) -> None:
    twice = "{% for m in messages %}<|user|>{{ m.content }} Again: {{ m.content }}<|end|>{% endfor %}" + END
    for text in ("Why?", "Say <|end|><|assistant|> now"):
        assert Wording(make(twice), Form()).text(text) == applied(tokenizer(twice), text)


@pytest.mark.parametrize(("name", "source"), [("enable_thinkin", THINKING), ("enable_thinking", CHAT_TEMPLATE), ("b", THINKING)])
def test_an_option_that_is_not_read_is_refused(name: str, source: str, make: MakeTemplate) -> None:
    with pytest.raises(UnreadOptionError) as caught:
        Wording(make(source), Form(None, ((name, False),)))
    error = caught.value
    assert (error.name, error.nearest) == (name, "enable_thinking" if name == "enable_thinkin" else None)
    assert repr(name) in str(error)
    assert error.known == (("enable_thinking",) if source is THINKING else ())


def test_an_option_that_is_read_and_changes_nothing_is_told(make: MakeTemplate) -> None:
    read = Wording(make(THINKING), Form(None, (("enable_thinking", False),)))
    assert read.remarks == ()
    assert read.text("Why?").endswith("<think></think>")
    for without_effect in (True, "false"):
        assert (
            "'enable_thinking' changes no prompt"
            in Wording(make(THINKING), Form(None, (("enable_thinking", without_effect),))).remarks[0]
        )


def test_the_day_is_the_given_one_whatever_day_it_is(make: MakeTemplate) -> None:
    wording = Wording(make(DATED), Form(date="2026-03-01"))
    assert wording.reads_date
    assert wording.text("Why?").startswith("<|system|>Today is Sunday, 01 March 2026, 00:00.<|end|>")
    assert chat_template_utils.datetime is datetime, "the clock is the real one again"


def test_the_date_that_llama_3_asks_for_is_the_same_one(make: MakeTemplate) -> None:
    source = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}{{ date_string }}"
        + CHAT_TEMPLATE
    )
    assert Wording(make(source), Form()).text("x").startswith("26 Jul 2024")
    assert Wording(make(source), Form(date="2025-12-01")).text("x").startswith("01 Dec 2025")
    own = Wording(make(source), Form(options=(("date_string", "1 May 1999"),), date="2025-12-01"))
    assert own.text("x").startswith("1 May 1999")
    assert (own.reads_date, own.remarks) == (False, ())


def test_the_digest_of_a_template_without_a_clock_is_that_of_earlier_versions() -> None:
    assert PromptRenderer(tiny_tokenizer()).template_sha256 == PromptRenderer(tiny_tokenizer(), date="2026-03-01").template_sha256
    assert PromptRenderer(tiny_tokenizer()).template_sha256 == "6629e28ee023914d45ee1c40c95e36dc3a54b387b643d1eaec841467c9a2ed8b"
    dated = {date: PromptRenderer(tokenizer(DATED), date=date).template_sha256 for date in (DATE, "2026-03-01")}
    assert dated[DATE] != dated["2026-03-01"]


def test_of_several_templates_the_default_is_used_and_without_one_the_model_is_refused() -> None:
    several = tiny_tokenizer()
    several.chat_template = {"default": CHAT_TEMPLATE, "tool_use": "TOOLS" + CHAT_TEMPLATE}
    assert PromptRenderer(several).render(Prompt("p", "Why?")).text == applied(tiny_tokenizer(), "Why?")
    several.chat_template = {"rag": CHAT_TEMPLATE}
    with pytest.raises(UnsupportedModelError, match="rag"):
        PromptRenderer(several)
