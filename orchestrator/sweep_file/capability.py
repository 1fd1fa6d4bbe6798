"""The section ``capability`` of a sweep file: tasks of lm-evaluation-harness, each with all that its results depend on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import yaml

from orchestrator.errors import nearest_entry
from orchestrator.sweep_file.schema import CapabilityEntry
from orchestrator.sweep_file.sections import Sections

Which = Literal["chosen", "all"]


@dataclass(frozen=True)
class CapabilityTask:
    """A task: its ``name``, the ``file`` of one of the user's own (empty: the harness knows it), and what names its content, the
    ``digest``: the harness's release, and of the user's own a digest of the file and its data."""

    name: str
    file: str
    digest: str


@dataclass(frozen=True)
class Capability:
    """Tasks, how much of each is run, and under which steerings: those of ``chosen`` cells, or of ``all``; unsteered always."""

    tasks: tuple[CapabilityTask, ...] = ()
    limit: int | None = None
    shots: int | None = None
    which: Which = "chosen"


def resolve_capability(top: Sections, folder: Path) -> Capability:
    """What a sweep file asks for; nothing where it has no such section."""
    entry: CapabilityEntry | None = top.valid("capability")
    if entry is None:
        return Capability()
    release = harness_release()
    if release is None:
        top.report(("capability",), "lm-evaluation-harness is not installed", allowed="pip install 'lm-eval'")
    if entry.which == "chosen" and not any(view.own("choose") for view in top.grids()):
        top.report(("capability",), "no grid of this sweep chooses anything", allowed="for: all, or a grid with choose")
    found = [_task(top, number, name, folder, release) for number, name in enumerate(entry.tasks)]
    return Capability(tuple(one for one in found if one is not None), entry.limit, entry.shots, entry.which)


def harness_release() -> str | None:
    """The installed release of lm-evaluation-harness; None where there is none."""
    try:
        return version("lm-eval")
    except PackageNotFoundError:
        return None


def _task(top: Sections, number: int, name: str, folder: Path, release: str | None) -> CapabilityTask | None:
    if not name.endswith(".yaml"):
        return CapabilityTask(name, "", f"lm-eval {release}")
    file, at = folder / name, ("capability", "tasks", number)
    try:
        content = file.read_bytes()
        read = yaml.safe_load(content)
        data = [file.parent / one for one in read.get("dataset_kwargs", {}).get("data_files", {}).values()]
        digest = hashlib.sha256(b"\0".join([content, *(one.read_bytes() for one in data)])).hexdigest()[:20]
        return CapabilityTask(str(read["task"]), str(file), f"lm-eval {release} {digest}")
    except OSError as error:
        top.report(at, f"cannot be read: {error.strerror}", name, nearest=nearest_entry(file))
    except (yaml.YAMLError, AttributeError, TypeError, KeyError, ValueError):
        top.report(at, "is no task of lm-evaluation-harness in plain YAML", name, allowed="task: NAME, dataset_path: json, ...")
    return None
