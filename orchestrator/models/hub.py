"""The hub, for planning: a file from the hub's cache, or over the network. No weights, no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.json_text import parse_json

TIMEOUT_SECONDS = 5.0
REASONS = {
    401: "no access: set HF_TOKEN",
    403: "gated: ask for access on the hub and set HF_TOKEN",
    404: "no such repository or revision",
}


def cached_config(repo: str, revision: str | None) -> Path | None:
    """Where the hub's cache holds the config.json of ``repo``, if it does."""
    from huggingface_hub import try_to_load_from_cache  # only sweeps with hub models pay for this import

    found = try_to_load_from_cache(repo, "config.json", cache_dir=cache_folder(), revision=revision)
    return Path(found) if isinstance(found, str) else None


def cache_folder() -> Path:
    """Where the hub's files are kept; read now and not when huggingface_hub was imported, so that HF_HOME holds whenever it is
    set."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()


def hub_url(repo: str, path: str, revision: str | None, dataset: bool = False) -> str:
    """Where a file of a repository is fetched from."""
    from huggingface_hub import hf_hub_url

    return hf_hub_url(repo, path, revision=revision, repo_type="dataset" if dataset else None)


def info_url(repo: str, revision: str | None) -> str:
    """Where the hub tells of a repository what files it has, how large they are, and whether it is gated."""
    from urllib.parse import quote

    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/api/models/{quote(repo)}/revision/{quote(revision or 'main', safe='')}?blobs=true"


def fetch(url: str, hub: bool = True) -> bytes | str:
    """The content at ``url``, or in a few words why it cannot be had; as ``ask``."""
    answer = ask(url, hub)
    if isinstance(answer, str):
        return answer
    status, content = answer
    return content if status == 200 else REASONS.get(status, f"the answer is {status}")


def ask(url: str, hub: bool = True) -> tuple[int, bytes] | str:
    """The status and the content at ``url``, or in a few words why nobody answers. Not tried when HF_HUB_OFFLINE is set. ``hub``:
    the user's token goes along."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    from httpx2 import HTTPError
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    headers = build_hf_headers() if hub else {}
    try:
        answer = get_session().get(url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except HTTPError as error:
        return f"{'the hub' if hub else 'it'} cannot be reached ({error})"
    return int(answer.status_code), bytes(answer.content)


def fetch_config(repo: str, revision: str | None) -> Mapping[str, object] | str:
    """The config.json of ``repo`` from the hub, or in a few words why it cannot be had."""
    content = fetch(hub_url(repo, "config.json", revision))
    if isinstance(content, str):
        return content
    try:
        config = parse_json(content)
    except ValueError:
        return "the hub's config.json is not JSON"
    return config if isinstance(config, dict) else "the hub's config.json is not an object"
