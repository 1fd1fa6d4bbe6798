"""The tokenizer of a model: the adapter's own where it brings one, as that is what it was trained with, else the base model's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from actors.model_files import has_tokenizer, own_tokenizer_files, read_object


@dataclass(frozen=True)
class Tokenizing:
    """A tokenizer and where it and its chat template come from, in words; empty: both are the base model's."""

    tokenizer: Any
    origin: str = ""


def tokenizer_of(base: Path, adapter: Path | None, trust_remote_code: bool) -> Tokenizing:
    """Load it. A tokenizer without a template takes the other's: the adapter's template may stand alone."""
    if adapter is None or not list(own_tokenizer_files(adapter)):
        return Tokenizing(AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust_remote_code))
    if not has_tokenizer(adapter):
        return _with_template_of(adapter, base, trust_remote_code)
    config = AutoConfig.from_pretrained(str(base), trust_remote_code=trust_remote_code)
    own = AutoTokenizer.from_pretrained(str(adapter), config=config, trust_remote_code=trust_remote_code)
    if own.chat_template:
        return Tokenizing(own, "the adapter's own tokenizer and chat template, not the base model's")
    own.chat_template = AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust_remote_code).chat_template
    return Tokenizing(own, "the adapter's own tokenizer, with the base model's chat template")


def _with_template_of(adapter: Path, base: Path, trust_remote_code: bool) -> Tokenizing:
    tokenizer = AutoTokenizer.from_pretrained(str(base), trust_remote_code=trust_remote_code)
    template = _template_in(adapter)
    if template is None:
        return Tokenizing(tokenizer)
    tokenizer.chat_template = template
    return Tokenizing(tokenizer, "the base model's tokenizer with the adapter's own chat template")


def _template_in(folder: Path) -> str | None:
    """The chat template beside an adapter that has no tokenizer of its own."""
    alone = folder / "chat_template.jinja"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    told = read_object(config).get("chat_template") if config.is_file() else None
    named = {one.get("name"): one.get("template") for one in told if isinstance(one, dict)} if isinstance(told, list) else {}
    template = named.get("default", told)
    return template if isinstance(template, str) else None
