"""Prompts as tokens: the model's own chat template with the generation prompt, no doubled BOS (SCIENCE.md section 1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from actors.errors import JobError, UnsupportedModelError
from actors.types import Prompt

_PROBES = ("a", "The", "7 x")
"""Contents whose renderings differ from the first user token on: what they share is the template's own prefix."""
_ENDINGS = (*_PROBES, "Why?", "Yes.", "(no)", "2")
"""Contents whose last tokens differ: what their renderings share at the end is the template's own suffix."""


@dataclass(frozen=True)
class Rendered:
    """A prompt's tokens. ``token_ids[:prefix]`` come from the template alone and are the same for every prompt.

    ``suffix``: so many last tokens are the template's too (they follow the user's text); at least 1.
    """

    prompt: Prompt
    text: str
    token_ids: tuple[int, ...]
    prefix: int
    suffix: int = 1


class PromptRenderer:
    """Renders user messages with one tokenizer, one system prompt and one set of template options."""

    def __init__(
        self, tokenizer: Any, system_prompt: str | None = None, options: Sequence[tuple[str, str | bool | int]] = ()
    ) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise UnsupportedModelError("the tokenizer has no chat template; steering sweeps need an instruction-tuned model")
        self._tokenizer = tokenizer
        self._system_prompt = system_prompt
        # Templates that print today's date (Llama 3) would render, and so answer, differently tomorrow: pin it.
        self._options = {"date_string": "26 Jul 2024", **dict(options)}
        self._prefix = _common_prefix([self._encode(self._text(probe)) for probe in _PROBES])
        self._suffix = _common_prefix([self._encode(self._text(probe))[::-1] for probe in _ENDINGS])

    @property
    def template_sha256(self) -> str:
        """Digest of the template as rendered around a fixed probe: equal digests render prompts alike."""
        return hashlib.sha256("\0".join(self._text(probe) for probe in _PROBES).encode()).hexdigest()

    def render(self, prompt: Prompt) -> Rendered:
        """Template text and tokens of one user message, generation prompt included."""
        text = self._text(prompt.text)
        token_ids = self._encode(text)
        shared = len(_common_prefix([token_ids, self._prefix]))
        if shared >= len(token_ids):
            raise JobError(f"prompt {prompt.id!r} renders to nothing beyond the template")
        # A template that ends in plain text may melt into the last word of some prompt: count what this prompt has of it.
        suffix = len(_common_prefix([token_ids[shared:][::-1], self._suffix]))
        return Rendered(prompt, text, tuple(token_ids), shared if shared == len(self._prefix) else 0, max(1, suffix))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of generated tokens, special tokens left out."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _messages(self, content: str, *, fold: bool) -> list[dict[str, str]]:
        if self._system_prompt is None:
            return [{"role": "user", "content": content}]
        if fold:
            return [{"role": "user", "content": f"{self._system_prompt}\n\n{content}"}]
        return [{"role": "system", "content": self._system_prompt}, {"role": "user", "content": content}]

    def _text(self, content: str) -> str:
        try:
            return self._apply(self._messages(content, fold=False))
        except TemplateError as error:
            if self._system_prompt is None:
                raise UnsupportedModelError(f"the chat template refuses a user message: {error}") from error
            # Gemma and some Mistral templates know no system role: their documented form puts it before the user's text.
            return self._apply(self._messages(content, fold=True))

    def _apply(self, messages: list[dict[str, str]]) -> str:
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **self._options))

    def _encode(self, text: str) -> list[int]:
        """Without special tokens: the template has written them, and a tokenizer that adds BOS would double it."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


def _common_prefix(sequences: Sequence[Sequence[int]]) -> list[int]:
    shared: list[int] = []
    for tokens in zip(*sequences, strict=False):
        if len(set(tokens)) > 1:
            break
        shared.append(tokens[0])
    return shared
