"""What a chat template does with what it is given: found by rendering it with and without. Knows no tokenizer and no torch.

A template is a program that a model's maker wrote, and it may drop what it is handed without a word: a system prompt, an
option, a part of the user's text. ``Wording`` asks before the first prompt is rendered; whatever renders (the tokenizer, or
``chat_templates`` when a sweep is planned) is a ``Template``.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date as Day
from typing import Literal, Protocol

from jinja2.exceptions import TemplateError, TemplateSyntaxError

from actors.errors import JobError, UnsupportedModelError
from actors.types import DATE

Option = str | bool | int
Message = Mapping[str, str]
Place = Literal["none", "message", "folded"]
"""Where a system prompt is: there is none, in a message of its own, or before the user's text."""

FAULTS = (TemplateError, ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError)
"""What running somebody else's template may raise."""

GIVEN = frozenset(
    ("add_generation_prompt", "dict", "documents", "messages", "namespace", "raise_exception", "strftime_now", "tools")
)
"""Names that every template may read and no sweep gives."""

USER = "Zq7 what a user says, All of it: 42 words? 7Qz"
SYSTEM = "Xw9 what a system prompt says, All of it: 24 words. 9Wx"
"""Texts to look for in a rendering: no template holds them."""

_OTHER_DAY = "1999-11-05"
"""Differs from every other day that a sweep may give in some part of its date."""


class Template(Protocol):
    """One chat template. ``names``: the variables it reads, as far as its text shows them."""

    @property
    def names(self) -> frozenset[str]:
        """The variables that it reads."""
        ...

    def render(self, messages: Sequence[Message], options: Mapping[str, Option], date: str) -> str:
        """The text of a conversation, generation prompt included; its clock shows the beginning of the day ``date``. Any of
        ``FAULTS``."""
        ...


@dataclass(frozen=True)
class Form:
    """What goes around a user's text: the ``system_prompt``, the template's ``options``, and the day its clock shows."""

    system_prompt: str | None = None
    options: tuple[tuple[str, Option], ...] = ()
    date: str = DATE


class Wording:
    """User text -> the text of a whole prompt, by one template in one form.

    ``system``: where the system prompt is. ``reads_date``: whether the day is seen in a prompt. ``idle``: the given options
    that the template reads and that change no prompt. Raises ``UnsupportedModelError`` for a template that does not write the
    user's whole text, or a system prompt wherever it stands, and for an option that it does not read.
    """

    def __init__(self, template: Template, form: Form) -> None:
        self._template, self._form = template, form
        # Templates that print a date of their own (Llama 3) take it from this variable.
        self._options: dict[str, Option] = {"date_string": _written(form.date), **dict(form.options)}
        self.system: Place = self._place()
        self._frame = self._rendered(USER)
        self.idle = self._checked_options()
        self.reads_date = self._shows_the_day()

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of this template in this form, a sentence each."""
        told = ["the chat template writes no system message: the system prompt goes before the user's text"]
        idle = [f"the template option {name!r} changes no prompt: without it they are the same" for name in self.idle]
        return (*(told if self.system == "folded" else []), *idle)

    def text(self, content: str) -> str:
        """The prompt of a user's text; ``JobError`` when not all of that text is in it (but for blanks at its ends)."""
        try:
            rendered = self._rendered(content)
        except FAULTS as error:
            raise JobError(f"the chat template refuses the text {_short(content)}: {error}") from error
        if not _holds(rendered, content, self._frame):
            raise JobError(f"the chat template leaves out or changes a part of the text {_short(content)}")
        return rendered

    def _rendered(self, content: str) -> str:
        return self._render(self._messages(content, self._form.system_prompt, self.system))

    def _render(self, messages: Sequence[Message], options: Mapping[str, Option] | None = None, date: str | None = None) -> str:
        return self._template.render(messages, self._options if options is None else options, date or self._form.date)

    @staticmethod
    def _messages(content: str, system: str | None, place: Place) -> list[Message]:
        if place == "message":
            return [{"role": "system", "content": str(system)}, {"role": "user", "content": content}]
        return [{"role": "user", "content": f"{system}\n\n{content}" if place == "folded" else content}]

    def _place(self) -> Place:
        """In a message of its own where the template writes that out; else before the user's text, as Gemma's makers say."""
        system = self._form.system_prompt
        if system is not None:
            for place in ("message", "folded"):
                if self._keeps(system, place):
                    return place
        self._check_user()
        if system is not None:
            raise UnsupportedModelError("the chat template drops or changes the system prompt, also before the user's text")
        return "none"

    def _check_user(self) -> None:
        try:
            rendered = self._render(self._messages(USER, None, "none"))
        except TemplateSyntaxError as error:
            raise UnsupportedModelError(f"the chat template is not one: {error.message} in its line {error.lineno}") from error
        except FAULTS as error:
            raise UnsupportedModelError(f"the chat template refuses a user message: {error}") from error
        if USER not in rendered:
            raise UnsupportedModelError(
                "the chat template does not write a user message as it is: prompts would lack a part of it, or be others"
            )

    def _keeps(self, system: str, place: Place) -> bool:
        try:
            probed, rendered = (self._render(self._messages(USER, one, place)) for one in (SYSTEM, system))
        except FAULTS:
            return False
        shown = not system.strip() or (SYSTEM in probed and _holds(rendered, system, probed, SYSTEM))
        return shown and USER in probed and USER in rendered

    def _checked_options(self) -> tuple[str, ...]:
        """The options that change nothing; an error for those that the template does not even read."""
        changes_nothing = [name for name, _ in self._form.options if self._is_idle(name)]
        unread = [name for name in changes_nothing if name not in self._template.names]
        if unread:
            known = sorted(name for name in self._template.names if name not in GIVEN and not name.endswith("_token"))
            near = difflib.get_close_matches(unread[0], known, n=1, cutoff=0.55)
            raise UnreadOptionError(unread[0], tuple(known), near[0] if near else None)
        return tuple(changes_nothing)

    def _is_idle(self, name: str) -> bool:
        messages = self._messages(USER, self._form.system_prompt, self.system)
        without = {key: value for key, value in self._options.items() if key != name}
        if name == "date_string":
            without[name] = _written(_OTHER_DAY)
        try:
            return self._render(messages, without) == self._frame
        except FAULTS:
            return False  # without it the template does not even run

    def _shows_the_day(self) -> bool:
        messages = self._messages(USER, self._form.system_prompt, self.system)
        options = {"date_string": _written(_OTHER_DAY), **dict(self._form.options)}
        return self._render(messages, options, _OTHER_DAY) != self._frame


class UnreadOptionError(UnsupportedModelError):
    """A template option that the template does not read. ``known``: those that it reads; ``nearest``: the closest of them."""

    def __init__(self, name: str, known: tuple[str, ...], nearest: str | None) -> None:
        self.name, self.known, self.nearest = name, known, nearest
        reads = ", ".join(known) or "no option"
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        super().__init__(f"the chat template does not read the template option {name!r}; it reads: {reads}{hint}")


def _holds(rendered: str, content: str, frame: str, probe: str = USER) -> bool:
    """Whether ``rendered`` is the ``frame`` with ``content`` in the place of its ``probe``, or at least has all of the content:
    some templates word the rest by what is said. Blanks at the ends are often cut, and may be."""
    likely = (frame.replace(probe, content), frame.replace(probe, content.strip()))
    return rendered in likely or content.strip() in rendered


def _written(date: str) -> str:
    return Day.fromisoformat(date).strftime("%d %b %Y")


def _short(content: str) -> str:
    return repr(content if len(content) <= 60 else f"{content[:57]}...")
