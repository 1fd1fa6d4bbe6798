"""The damage section of a sweep file: how it is measured, with its neutral prompts read."""

from __future__ import annotations

import os
from pathlib import Path

from actors.types import Prompt
from orchestrator.behaviors import NEUTRAL, BehaviorFile, load_prompts
from orchestrator.damage import DamageSettings
from orchestrator.errors import InputError, nearest_entry, why_no_file
from orchestrator.sweep_file.models import absolute
from orchestrator.sweep_file.schema import DamageEntry
from orchestrator.sweep_file.sections import Sections


def resolve_damage(top: Sections, folder: Path) -> DamageSettings | None:
    """The settings; None where the file asks for none, or its section is not valid."""
    entry: DamageEntry | None = top.valid("damage")
    if entry is None:
        return None
    answers = {"all": None, "none": 0}[entry.answers] if isinstance(entry.answers, str) else entry.answers
    prompts = load_prompts(NEUTRAL)[: entry.prompts] if isinstance(entry.prompts, int) else _of_file(top, folder, entry.prompts)
    return DamageSettings(prompts, entry.tokens, answers)


def _of_file(top: Sections, folder: Path, written: str) -> tuple[Prompt, ...]:
    path = Path(absolute(folder, written))
    if path.is_file():
        try:
            return load_prompts(BehaviorFile(path, os.path.normpath(Path(top.document.file).parent / written)))
        except InputError as error:
            top.problems += [one for one in error.problems if one.line is not None]
            for whole in (one for one in error.problems if one.line is None):
                top.report(("damage", "prompts"), whole.message, written, allowed=whole.allowed, nearest=whole.nearest)
            return ()
    near = nearest_entry(path)
    nearest = near and os.path.join(os.path.dirname(written), near)
    top.report(("damage", "prompts"), why_no_file(path), written, allowed="a file of test prompts", nearest=nearest)
    return ()
