"""Prompts as tokens: the model's own chat template with the generation prompt, no doubled BOS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from transformers.utils import chat_template_utils

from actors.chat_templates import NO_TEMPLATE, names_read
from actors.errors import JobError, UnsupportedModelError
from actors.types import DATE, Prompt
from actors.wording import FAULTS, Form, Message, Option, Wording

_PROBES = ("a", "The", "7 x")
"""Contents whose renderings differ from the first user token on: what they share is the template's own prefix."""
_ENDINGS = (*_PROBES, "Why?", "Yes.", "(no)", "2")
"""Contents whose last tokens differ: what their renderings share at the end is the template's own suffix."""


@dataclass(frozen=True)
class Rendered:
    """A prompt's tokens. ``token_ids[:prefix]`` come from the template alone and are the same for every prompt.

    ``suffix``: so many last tokens are the template's too (they follow the user's text); at least 1. ``given``: so many tokens
    behind them are an answer's, which the model is given to read.
    """

    prompt: Prompt
    text: str
    token_ids: tuple[int, ...]
    prefix: int
    suffix: int = 1
    given: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens before an answer."""
        return len(self.token_ids) - self.given


class PromptRenderer:
    """Renders user messages with one tokenizer, one system prompt, one set of template options, on one day."""

    def __init__(
        self,
        tokenizer: Any,
        system_prompt: str | None = None,
        options: Sequence[tuple[str, Option]] = (),
        date: str = DATE,
    ) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise UnsupportedModelError(NO_TEMPLATE)
        self._tokenizer = tokenizer
        self._wording = Wording(TokenizerTemplate(tokenizer), Form(system_prompt, tuple(options), date))
        self._date = date
        self.rows: int | None = None
        """Of the model's embedding table: so many token ids there are (None: not known)."""
        self.limit: int | None = None
        """Tokens that the model's positions reach (None: not known, or without end)."""
        self._prefix = common_prefix([self._encode(self._wording.text(probe)) for probe in _PROBES])
        self._suffix = common_prefix([self._encode(self._wording.text(probe))[::-1] for probe in _ENDINGS])

    @property
    def template_sha256(self) -> str:
        """Digest of the template as rendered around a fixed probe: equal digests render prompts alike."""
        return hashlib.sha256("\0".join(self._wording.text(probe) for probe in _PROBES).encode()).hexdigest()

    @property
    def record(self) -> dict[str, str]:
        """What was done beside the template's plain use, for the provenance: plain strings, none where nothing was."""
        told = {}
        if self._wording.system == "folded":
            told["system_prompt"] = "before the user's text: the chat template does not write a system message"
        if self._wording.reads_date:
            told["date"] = f"{self._date}: the chat template writes the day"
        return told

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know before the answers are there."""
        return self._wording.remarks

    def render(self, prompt: Prompt) -> Rendered:
        """Template text and tokens of one user message, generation prompt and the answer's beginning included. ``JobError``
        when the template changes the message's text, and for a prompt that is longer than the model's positions reach."""
        rendered = self._rendered(prompt)
        if self.limit is not None and len(rendered.token_ids) > self.limit:
            raise JobError(
                f"prompt {prompt.id!r} has {len(rendered.token_ids)} tokens; that passes the model's limit of {self.limit}"
            )
        return rendered

    def _rendered(self, prompt: Prompt) -> Rendered:
        try:
            text = self._wording.text(prompt.text) + prompt.answer
        except JobError as error:
            raise JobError(f"prompt {prompt.id!r}: {error}") from error
        token_ids = self._encode(text)
        if self.rows is not None and max(token_ids, default=0) >= self.rows:
            token = next(token for token in token_ids if token >= self.rows)
            raise JobError(
                f"prompt {prompt.id!r} holds token {self._tokenizer.convert_ids_to_tokens(token)!r} with id {token}; the model "
                f"embeds {self.rows} tokens, ids 0 to {self.rows - 1}: tokenizer and weights do not belong together"
            )
        shared = len(common_prefix([token_ids, self._prefix]))
        if shared >= len(token_ids):
            raise JobError(f"prompt {prompt.id!r} renders to nothing beyond the template")
        if prompt.answer:  # no template token follows the user's text up to the end
            return Rendered(prompt, text, tuple(token_ids), shared if shared == len(self._prefix) else 0)
        # A template that ends in plain text may melt into the last word of some prompt: count what this prompt has of it.
        suffix = len(common_prefix([token_ids[shared:][::-1], self._suffix]))
        return Rendered(prompt, text, tuple(token_ids), shared if shared == len(self._prefix) else 0, max(1, suffix))

    def with_answers(self, prompt: Prompt, answers: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of ``prompt`` as ``render`` gives them, with each of ``answers`` behind it."""
        text = self._rendered(prompt).text
        return [tuple(self._encode(text + answer)) for answer in answers]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of generated tokens, special tokens left out."""
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _encode(self, text: str) -> list[int]:
        """Without special tokens: the template has written them, and a tokenizer that adds BOS would double it."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


class TokenizerTemplate:
    """A tokenizer's chat template, rendered by transformers with what opens the answer, or without that ``generation_prompt``."""

    def __init__(self, tokenizer: Any, generation_prompt: bool = True) -> None:
        self._tokenizer, self._generation_prompt = tokenizer, generation_prompt

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that the template reads."""
        try:
            return names_read(str(self._tokenizer.get_chat_template()))
        except FAULTS:
            return frozenset()

    def render(self, messages: Sequence[Message], options: Mapping[str, Option], date: str) -> str:
        """The text of a conversation on the day ``date``."""
        opened = {"tokenize": False, "add_generation_prompt": self._generation_prompt}
        with clock_at(date):
            return str(self._tokenizer.apply_chat_template(list(messages), **opened, **options))


@contextmanager
def clock_at(date: str) -> Iterator[None]:
    """In the ``with`` block it is the beginning of the day ``date`` for transformers' templates. They ask for the time
    (``strftime_now``) in a module that lets nobody give it: without this, a prompt would be another one tomorrow."""
    there = chat_template_utils.datetime
    chat_template_utils.datetime = _Clock(datetime.fromisoformat(date))
    try:
        yield
    finally:
        chat_template_utils.datetime = there


@dataclass(frozen=True)
class _Clock:
    """Stands in for the class ``datetime``."""

    when: datetime

    def now(self, tz: None = None) -> datetime:
        """The time that was given."""
        return self.when


def common_prefix(sequences: Sequence[Sequence[int]]) -> list[int]:
    """What all of them begin with."""
    shared: list[int] = []
    for tokens in zip(*sequences, strict=False):
        if len(set(tokens)) > 1:
            break
        shared.append(tokens[0])
    return shared
