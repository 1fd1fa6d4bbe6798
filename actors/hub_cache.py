"""Where a hub model is loaded from: the hub's cache when it holds it whole. A hub that is away costs seconds then, not a run."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from actors.errors import ModelLoadError
from actors.model_files import WEIGHTS, MissingWeightsError, has_tokenizer, weight_files
from actors.types import ModelSpec

ANSWER_SECONDS = 5.0
"""How long the hub may take to say anything."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
SMALL = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
"""The config, the tokenizer, the template and the index of the weights, by pattern."""


def origin_of(spec: ModelSpec) -> Path:
    """The folder of the hub's cache that holds a hub model, fetched where it is not there.

    A pinned model in the cache is what it was: nobody is asked. A branch may have moved, so the hub is asked, unless it is out
    of reach. ``ModelLoadError`` when the model is neither here nor to be had.
    """
    cached = cached_folder(spec.location, spec.revision)
    if cached is not None and _COMMIT.fullmatch(spec.revision or ""):
        return cached
    why = out_of_reach()
    if why is None:
        return fetched_folder(spec)
    if cached is None:
        raise ModelLoadError(f"{spec.location} is not in the hub's cache, and the hub cannot be reached: {why}")
    return cached


def fetched_folder(spec: ModelSpec) -> Path:
    """Fetch what a model is loaded from: its small files, then those of its weights whose names may be opened; all of one commit.

    OSError of the hub's library when it refuses.
    """
    from huggingface_hub import snapshot_download

    small = [*SMALL, *(("*.py",) if spec.trust_remote_code else ())]
    folder = Path(snapshot_download(spec.location, revision=spec.revision, allow_patterns=small, ignore_patterns=["*/*"]))
    for names in ([WEIGHTS], None):
        wanted = names or [path.name for path in weight_files(folder, there=False)]
        snapshot_download(spec.location, revision=folder.name, allow_patterns=[glob.escape(name) for name in wanted])
        if (folder / wanted[0]).is_file():
            break
    return folder


def commit_of(folder: Path) -> str:
    """The commit that a cached folder holds; empty for any other."""
    return folder.name if folder.parent.name == "snapshots" and _COMMIT.fullmatch(folder.name) else ""


def cached_folder(repo: str, revision: str | None) -> Path | None:
    """The folder of the hub's cache that holds the config, the tokenizer and all weights of a model, if one does."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json", revision=revision)
    if not isinstance(found, str):
        return None
    folder = Path(found).parent
    try:
        weight_files(folder)
    except MissingWeightsError:  # never fetched; what must not be opened is told when the model is loaded
        return None
    except ModelLoadError:
        return folder
    return folder if has_tokenizer(folder) else None


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
