"""Where a hub model is loaded from: the hub's cache when it holds it whole. A hub that is away costs seconds then, not a run."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from actors.errors import ModelLoadError
from actors.types import ModelSpec

ANSWER_SECONDS = 5.0
"""How long the hub may take to say anything."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_WEIGHTS = "model.safetensors"


def origin_of(spec: ModelSpec) -> str:
    """The cached folder of a hub model, or its name, for the hub's library to fetch it.

    A pinned model in the cache is what it was: nobody is asked. A branch may have moved, so the hub is asked, unless it is out
    of reach. ``ModelLoadError`` when the model is neither here nor to be had.
    """
    cached = cached_folder(spec.location, spec.revision)
    if cached is not None and _COMMIT.fullmatch(spec.revision or ""):
        return str(cached)
    why = out_of_reach()
    if why is None:
        return spec.location
    if cached is None:
        raise ModelLoadError(f"{spec.location} is not in the hub's cache, and the hub cannot be reached: {why}")
    return str(cached)


def commit_of(origin: str) -> str:
    """The commit that a cached folder holds; empty for any other."""
    folder = Path(origin)
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's cache that holds the config, the tokenizer and all weights of a model, if one does."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    whole = _has_weights(folder) and any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")
    )
    return folder if whole else None


def out_of_reach() -> str | None:
    """Why the hub cannot be asked; None when it answers, whatever it says."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "HF_HUB_OFFLINE is set"
    from httpx2 import HTTPError
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=ANSWER_SECONDS)
    except (HTTPError, OSError) as error:  # OSError: the library itself is told to be offline
        return str(error) or type(error).__name__
    return None


def _has_weights(folder: Path) -> bool:
    index = folder / f"{_WEIGHTS}.index.json"
    if not index.is_file():
        return (folder / _WEIGHTS).is_file()
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return bool(shards) and all((folder / str(shard)).is_file() for shard in shards)
