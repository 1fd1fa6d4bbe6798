"""The hub, for planning: a model's config.json from the hub's cache, or over the network. No weights, no torch."""

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

    # read now and not when huggingface_hub was imported, so that HF_HOME holds whenever it is set
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")).expanduser()
    found = try_to_load_from_cache(repo, "config.json", cache_dir=cache, revision=revision)
    return Path(found) if isinstance(found, str) else None


def fetch_config(repo: str, revision: str | None) -> Mapping[str, object] | str:
    """The config.json of ``repo`` from the hub, or in a few words why it cannot be had. Not tried when HF_HUB_OFFLINE is set."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    from httpx2 import HTTPError
    from huggingface_hub import get_session, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    url = hf_hub_url(repo, "config.json", revision=revision)
    try:
        answer = get_session().get(url, headers=build_hf_headers(), timeout=TIMEOUT_SECONDS, follow_redirects=True)
        if answer.status_code != 200:
            return REASONS.get(answer.status_code, f"the hub answers {answer.status_code}")
        config = parse_json(answer.content)
    except HTTPError as error:
        return f"the hub cannot be reached ({error})"
    except ValueError:
        return "the hub's config.json is not JSON"
    return config if isinstance(config, dict) else "the hub's config.json is not an object"
