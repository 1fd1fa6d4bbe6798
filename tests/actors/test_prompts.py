"""Which tokens of a rendered prompt follow the user's text: found by rendering, for every kind of template."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from actors.prompts import PromptRenderer
from actors.types import Prompt

CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING = CHATML[: -len("{% endif %}")] + "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n"
    "{{ m['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "<bos>{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = "<s>{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }}[/INST]{% endif %}{% endfor %}"
PHI3 = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PLAIN = "{% for m in messages %}Q: {{ m['content'] }}\n\nA:{% endfor %}"

CASES = {
    "chatml": (CHATML, (), "<|im_end|>\n<|im_start|>assistant\n"),
    "thinking": (THINKING, (), "<|im_end|>\n<|im_start|>assistant\n"),
    "thinking off": (THINKING, (("enable_thinking", False),), "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"),
    "llama3": (LLAMA3, (), "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"),
    "gemma": (GEMMA, (), "<end_of_turn>\n<start_of_turn>model\n"),
    "mistral": (MISTRAL, (), "[/INST]"),
    "phi3": (PHI3, (), "<|end|>\n<|assistant|>\n"),
    "plain": (PLAIN, (), "\n\nA:"),
}
SPECIAL = [
    "<s>",
    "<bos>",
    "<|im_start|>",
    "<|im_end|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|begin_of_text|>",
]
SPECIAL += ["<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<|user|>", "<|assistant|>", "<|end|>", "<|system|>"]
TEXTS = ["How do I bake a cake?", "Stop.", "x", "Tell me a joke", "Really?!", "a\n", "Was ist das, ä?", "assistant"]


def tokenizer(template: str, merges: list[tuple[str, str]] | None = None) -> PreTrainedTokenizerFast:
    """Byte-level, with the families' special tokens as single ones; ``merges`` melt bytes into larger tokens."""
    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges or [])]
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(words)}, merges=merges or []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=template)


@pytest.mark.parametrize("system_prompt", [None, "Answer in one word."])
@pytest.mark.parametrize("name", CASES)
def test_the_suffix_is_what_follows_the_users_text(name: str, system_prompt: str | None) -> None:
    template, options, expected = CASES[name]
    tokens = tokenizer(template)
    renderer = PromptRenderer(tokens, system_prompt, options)
    for text in TEXTS:
        rendered = renderer.render(Prompt("p", text))
        assert tokens.decode(rendered.token_ids[-rendered.suffix :]) == expected
        assert rendered.text.endswith(expected)
        assert rendered.prefix + rendered.suffix < len(rendered.token_ids)


def test_a_template_that_melts_into_the_text_has_fewer_positions() -> None:
    """A question mark and the line breaks after it are one token here: the prompt shares less of the template's end."""
    tokens = tokenizer(PLAIN, [("?", "Ċ"), ("?Ċ", "Ċ")])
    renderer = PromptRenderer(tokens)
    asked, told = (renderer.render(Prompt("p", text)) for text in ("Why?", "Tell me"))
    assert tokens.decode(asked.token_ids[-asked.suffix :]) == tokens.decode(told.token_ids[-told.suffix :]) == "A:"
    assert tokens.decode(asked.token_ids[-3:-2]) == "?\n\n"


def test_a_template_that_ends_with_the_users_text_still_has_its_last_token() -> None:
    rendered = PromptRenderer(tokenizer("{% for m in messages %}Q: {{ m['content'] }}{% endfor %}")).render(Prompt("p", "Why?"))
    assert rendered.suffix == 1


def test_an_answers_beginning_follows_the_template_and_is_read_at_its_last_token() -> None:
    tokens = tokenizer(CHATML)
    renderer = PromptRenderer(tokens)
    asked, answered = renderer.render(Prompt("p", "Yes or no?")), renderer.render(Prompt("p", "Yes or no?", "(A"))
    assert answered.text == asked.text + "(A"
    assert tokens.decode(answered.token_ids) == answered.text
    assert tokens.decode(answered.token_ids[-1]) == "A"
    assert (answered.prefix, answered.suffix) == (asked.prefix, 1)
