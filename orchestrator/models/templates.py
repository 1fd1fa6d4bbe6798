"""What a model's own files say about its prompts and its choice of tokens, for planning: without torch, and without the model.

The worker asks the same of the tokenizer and the model that it has loaded; here it is known before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from actors.chat_templates import NO_TEMPLATE, TemplateText
from actors.errors import JobError, UnsupportedModelError
from actors.generation import sentence
from actors.thoughts import PAIRS, marks_thoughts
from actors.types import ModelSpec, Prompt, Source
from actors.wording import USER, Form, UnreadOptionError, Wording
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.json_text import parse_json
from orchestrator.models.files import EMBEDDED
from orchestrator.models.hub import cached_config

ALONE, NAMED, TOKENIZER = "chat_template.jinja", "additional_chat_templates", "tokenizer_config.json"
"""Where transformers looks for chat templates: the first two come before what the third says."""

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
MAX_BYTES = 20_000_000
MESSAGE_CHARACTERS = 300


def remarks_on(spec: ModelSpec) -> tuple[str, ...]:
    """What a person should know before ``spec`` runs, a sentence each, as far as its files are at hand.

    Raises :class:`InputError` for a chat template that cannot be used and for template options that it does not read.
    """
    folder = small_files(spec)
    remarks = [] if (template := _template(spec, folder)) is None else [*_wording(spec, template).remarks]
    left_aside = "" if folder is None else sentence(json_object(folder / "generation_config.json"))
    return (*remarks, *([left_aside] if left_aside else []))


def may_think(spec: ModelSpec) -> bool:
    """Whether ``spec`` may mark thoughts in its answers; False where its files are at hand, and its prompts hold no such mark or
    close one at their end. An adapter may have taught it to."""
    folder = small_files(spec)
    template = None if spec.adapter is not None else _template(spec, folder)
    if template is None:
        return True
    settings = "" if folder is None else _text(folder / TOKENIZER) or ""
    if not any(marks_thoughts(text) for text in (template.source, spec.system_prompt or "", settings)):
        return False
    end = _wording(spec, template).text(USER).rpartition(USER)[2].rstrip()
    return not any(end.endswith(closing) for _, closing in PAIRS)


def renderer_of(model: str) -> Callable[[Prompt], str] | None:
    """What makes a whole prompt of one by the template of ``model``: an embedded model's name, a folder, or a hub repository in
    the hub's cache. None where the template is not at hand; it raises :class:`InputError` for a text that the template changes.
    """
    source: Source = "embedded" if model in EMBEDDED else "folder" if Path(model).is_dir() else "hub"
    if source == "hub" and not REPOSITORY.fullmatch(model):
        told = "an embedded model, a folder that is there, or organisation/name on the hub"
        raise InputError(Problem("model", model, "there is no such model", told, nearest_name(model, EMBEDDED)))
    return renderer_for(ModelSpec(source, model, "main" if source == "hub" else None))


def renderer_for(spec: ModelSpec) -> Callable[[Prompt], str] | None:
    """The same of a model of a sweep, with its system prompt and template options."""
    template = _template(spec, small_files(spec))
    if template is None:
        return None
    wording = _wording(spec, template)

    def render(prompt: Prompt) -> str:
        try:
            return wording.text(prompt.text) + prompt.answer
        except JobError as error:
            raise InputError.because(f"prompt {prompt.id!r}: {str(error)[:MESSAGE_CHARACTERS]}") from error

    return render


def _wording(spec: ModelSpec, template: TemplateText) -> Wording:
    try:
        return Wording(template, Form(spec.system_prompt, spec.template_options, spec.date))
    except UnreadOptionError as error:
        allowed = ", ".join(error.known) or "none: it reads no options"
        message = "the chat template does not read this option"
        raise InputError(Problem(f"template_options.{error.name}", None, message, allowed, error.nearest)) from error
    except UnsupportedModelError as error:
        raise InputError.because(str(error)[:MESSAGE_CHARACTERS]) from error


def small_files(spec: ModelSpec) -> Path | None:
    """The folder with the model's small files, if it is on this machine."""
    if spec.source == "folder":
        return Path(spec.location)
    config = cached_config(spec.location, spec.revision) if spec.source == "hub" else None
    return None if config is None else config.parent


def _template(spec: ModelSpec, folder: Path | None) -> TemplateText | None:
    """The template that will be used; None where it is not at hand, or where code or an adapter may bring another."""
    adapter = None if spec.adapter is None else Path(spec.adapter)
    if spec.trust_remote_code or (adapter and any((adapter / name).exists() for name in (ALONE, NAMED, TOKENIZER))):
        return None
    if spec.source == "embedded":
        return TemplateText(EMBEDDED[spec.location].chat_template)
    if folder is None:
        return None
    settings = json_object(folder / TOKENIZER)
    source = _source(folder, settings)
    if settings and "chat_template" not in settings and not any((folder / name).exists() for name in (ALONE, NAMED)):
        raise InputError.because(NO_TEMPLATE)
    return None if source is None else TemplateText(source, _tokens(settings))


def _source(folder: Path, settings: Mapping[str, object]) -> str | None:
    """The text of the default template: of the files that hold nothing else, or else of the tokenizer's settings."""
    found: dict[str, object] = {"default": _text(folder / ALONE)} if (folder / ALONE).is_file() else {}
    found |= {path.stem: _text(path) for path in sorted((folder / NAMED).glob("*.jinja"))}
    written = found or settings.get("chat_template")
    if isinstance(written, list):
        written = {str(one.get("name")): one.get("template") for one in written if isinstance(one, dict)}
    if isinstance(written, dict):
        if "default" not in written:
            names = ", ".join(sorted(written))
            raise InputError.because(f"the model has several chat templates, none of them named default ({names})")
        written = written["default"]
    return written if isinstance(written, str) else None


def _tokens(settings: Mapping[str, object]) -> dict[str, str]:
    """The special tokens by name, as templates read them."""
    contents = {name: told.get("content") if isinstance(told, dict) else told for name, told in settings.items()}
    return {name: text for name, text in contents.items() if name.endswith("_token") and isinstance(text, str)}


def json_object(path: Path) -> Mapping[str, object]:
    """A JSON object of a file; empty when there is none (whoever loads the model says what is wrong with it)."""
    try:
        content = parse_json(_text(path) or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str | None:
    """The text of a small file; None when it is none, or cannot be read."""
    try:
        return path.read_text(encoding="utf-8") if path.is_file() and path.stat().st_size <= MAX_BYTES else None
    except (OSError, ValueError):
        return None
