"""Prompts that are longer than a model's positions reach, where its tokenizer and its config are on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.types import ModelSpec, Prompt
from orchestrator.errors import InputError
from orchestrator.models.templates import json_object, renderer_for, small_files

LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""The keys of a config that say how many tokens a model's positions reach."""


def context_limit(config: Mapping[str, object]) -> int | None:
    """Tokens that the positions reach by a config.json; None where it sets no end to them."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, dict) else config
    return next((limit for limit in (text.get(key) for key in LIMITS) if type(limit) is int and limit > 0), None)


def overlong(spec: ModelSpec, prompts: Iterable[Prompt]) -> list[str]:
    """A sentence for every prompt that the model will refuse because of its length; none where that is not known here.

    A token stands for a byte at least, so only texts of more bytes than the limit are tokenized.
    """
    folder = small_files(spec)
    limit = None if folder is None else context_limit(json_object(folder / "config.json"))
    if folder is None or limit is None or not (file := folder / "tokenizer.json").is_file():
        return []
    try:
        render = renderer_for(spec)
        texts = [] if render is None else [(prompt.id, render(prompt)) for prompt in prompts]
    except InputError:
        return []  # the template refuses one, which the worker tells
    long = [(name, text) for name, text in texts if len(text.encode()) > limit]
    if not long:
        return []
    from tokenizers import Tokenizer  # only sweeps with such long prompts pay for this import

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001  # the library raises bare exceptions; whoever loads the model says what is wrong
        return []
    tokenizer.no_truncation()
    counts = [(name, len(tokenizer.encode(text, add_special_tokens=False))) for name, text in long]
    return [
        f"prompt {name!r} has {count} tokens; that passes the model's limit of {limit}" for name, count in counts if count > limit
    ]
