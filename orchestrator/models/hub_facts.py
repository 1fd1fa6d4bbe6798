"""What the hub says of a repository before anything is fetched: is it there, may it be opened, how large, is there a template."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from actors.errors import ModelLoadError
from actors.model_files import weight_files
from orchestrator.json_text import parse_json
from orchestrator.models.hub import ask, cached_config, hub_url, info_url

AT_ONCE = 8
GATED = ("meta-llama/", "google/gemma-")
"""Owners and series whose licence must be accepted on the hub, known without asking."""
REFUSED = (401, 403)
NOT_ASKED = "the hub was not asked (plan --hub asks it)"


@dataclass(frozen=True)
class HubFacts:
    """Of a repository at a revision. ``cached``: all of it is here, and nothing else was asked. ``there``: whether it exists for
    this user; ``gated``: whether its licence must be accepted; ``opens``: whether the user may read it; ``size``: bytes of its
    weights; ``template``: whether it has a chat template. None: not known, because ``why``."""

    repo: str
    cached: bool = False
    there: bool | None = None
    gated: bool | None = None
    opens: bool | None = None
    size: int | None = None
    template: bool | None = None
    why: str = ""


def facts_of(asked: Iterable[tuple[str, str | None]]) -> list[HubFacts]:
    """What is known of (repository, revision). A hub that does not answer is asked once."""
    pairs = list(dict.fromkeys(asked))
    found = {(repo, revision): HubFacts(repo, cached=True) for repo, revision in pairs if is_cached(repo, revision)}
    wanted = [pair for pair in pairs if pair not in found]
    for pair in wanted[:1]:
        found[pair] = _asked(*pair)
    if wanted and found[wanted[0]].why:
        found |= {pair: HubFacts(pair[0], gated=_known_gated(pair[0]), why=found[wanted[0]].why) for pair in wanted[1:]}
    elif wanted[1:]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            found |= zip(wanted[1:], threads.map(lambda pair: _asked(*pair), wanted[1:]), strict=True)
    return [found[pair] for pair in pairs]


def facts_here(asked: Iterable[tuple[str, str | None]]) -> list[HubFacts]:
    """The same as far as this machine knows it."""
    return [
        HubFacts(repo, cached=True) if is_cached(repo, revision) else HubFacts(repo, gated=_known_gated(repo), why=NOT_ASKED)
        for repo, revision in asked
    ]


def is_cached(repo: str, revision: str | None) -> bool:
    """Whether the hub's cache holds the config and all weights."""
    config = cached_config(repo, revision)
    try:
        return config is not None and bool(weight_files(config.parent))
    except ModelLoadError:
        return False


def has_token() -> bool:
    """Whether there is a token to show the hub (HF_TOKEN, or of a login)."""
    from huggingface_hub import get_token

    return bool(get_token())


def _known_gated(repo: str) -> bool | None:
    return True if repo.startswith(GATED) else None


def _asked(repo: str, revision: str | None) -> HubFacts:
    answer = ask(info_url(repo, revision))
    if isinstance(answer, str):
        return HubFacts(repo, gated=_known_gated(repo), why=answer)
    status, content = answer
    if status in (*REFUSED, 404):
        return HubFacts(repo, there=False)
    try:
        info = parse_json(content) if status == 200 else None
    except ValueError:
        info = None
    if not isinstance(info, dict):
        return HubFacts(repo, gated=_known_gated(repo), why=f"the hub's answer ({status}) says nothing of it")
    files = [one for one in info.get("siblings") or [] if isinstance(one, dict) and "/" not in str(one.get("rfilename"))]
    gated = bool(info.get("gated"))
    opens = not gated or _status(hub_url(repo, "config.json", revision)) == 200
    template = _template(repo, revision, [str(one["rfilename"]) for one in files]) if opens else None
    return HubFacts(repo, False, True, gated, opens, _size(files), template)


def _status(url: str) -> int | None:
    answer = ask(url)
    return None if isinstance(answer, str) else answer[0]


def _size(files: Sequence[dict[str, object]]) -> int | None:
    """Bytes of the weights, as safetensors where there are such."""
    for ending in (".safetensors", ".bin"):
        sizes = [one.get("size") for one in files if str(one["rfilename"]).endswith(ending)]
        known = [size for size in sizes if isinstance(size, int)]
        if known and len(known) == len(sizes):
            return sum(known)
    return None


def _template(repo: str, revision: str | None, names: Sequence[str]) -> bool | None:
    if "chat_template.jinja" in names:
        return True
    if "tokenizer_config.json" not in names:
        return False if names else None
    answer = ask(hub_url(repo, "tokenizer_config.json", revision))
    if isinstance(answer, str) or answer[0] != 200:
        return None
    try:
        settings = parse_json(answer[1])
    except ValueError:
        return None
    return isinstance(settings, dict) and "chat_template" in settings
