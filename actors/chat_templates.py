"""Chat templates as text: which variables one reads, and what it renders, in the sandbox that transformers renders them in.

For whoever plans without transformers; a worker's prompts are rendered by the tokenizer itself (``actors.prompts``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import jinja2
from jinja2 import Environment, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from actors.wording import Message, Option

NO_TEMPLATE = "the tokenizer has no chat template; steering sweeps need an instruction-tuned model"


class _Generation(Extension):
    """``{% generation %}`` marks an assistant's words for training: here it only holds what is in it."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment() -> Environment:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    return made


def names_read(source: str) -> frozenset[str]:
    """The variables that a template reads and does not set itself first; ``TemplateError`` when it is not one."""
    return frozenset(meta.find_undeclared_variables(_environment().parse(source)))


@dataclass(frozen=True)
class TemplateText:
    """A chat template by its ``source``; ``tokens``: the special tokens by the names under which templates read them."""

    source: str
    tokens: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def names(self) -> frozenset[str]:
        """The variables that it reads."""
        return names_read(self.source)

    def render(self, messages: Sequence[Message], options: Mapping[str, Option], date: str) -> str:
        """The text of a conversation on the day ``date``, with the generation prompt."""
        return self._compiled.render(
            messages=messages,
            tools=None,
            documents=None,
            add_generation_prompt=True,
            strftime_now=datetime.fromisoformat(date).strftime,
            **{**self.tokens, **options},
        )

    @cached_property
    def _compiled(self) -> jinja2.Template:
        return _environment().from_string(self.source)
