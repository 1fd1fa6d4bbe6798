"""What scores each behavior of a sweep file: the scorer's name, options and target, checked against the scorer itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.scoring.own import is_own
from orchestrator.scoring.registry import options_of
from orchestrator.scoring.uses import ScorerUse
from orchestrator.scoring.verdict import Threshold
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.schema import BehaviorEntry
from orchestrator.sweep_file.sections import Path as Steps
from orchestrator.sweep_file.sections import Sections


def resolve_scorers(top: Sections, folder: Path) -> dict[str, ScorerUse]:
    """The scorer of every behavior that names one, by the behavior's key. A file of the user's own is run to make it."""
    found = {}
    for key, entry in top.entries("behaviors", BehaviorEntry):
        for number, given in enumerate(entry.scorers or ()):
            at = ("behaviors", key, "scorers", number)
            try:
                use = _use(top, at, given, folder)
                if use is not None:
                    use.classifier()
                    found[key] = use
            except InputError as error:
                for one in error.problems:
                    top.report((*at, one.field), one.message, one.value, allowed=one.allowed, nearest=one.nearest)
    return found


def _use(top: Sections, at: Steps, given: Mapping[str, object], folder: Path) -> ScorerUse | None:
    """The scorer that an entry names; None where something was wrong with its fields, which is reported."""
    name, target = given.get("name"), given.get("target")
    if not isinstance(name, str) or not isinstance(target, str | dict | None):
        wrong = "target" if isinstance(name, str) else "name"
        allowed = {"name": "a scorer's name, or file.py:name", "target": "a label, {at_least: 50}, or {at_most: 50}"}
        top.report(
            (*at, wrong) if wrong in given else at, f"'{wrong}' is missing or no text", given.get(wrong), allowed=allowed[wrong]
        )
        return None
    section = options_of(name)
    before = len(top.problems)
    try:
        checked = section.model_validate({key: value for key, value in given.items() if key not in ("name", "target")})
    except ValidationError as error:
        top.problems += problems_of(error, top.document, section, at)
    if isinstance(target, dict):
        try:
            Threshold.model_validate(target)
        except ValidationError as error:
            top.problems += problems_of(error, top.document, Threshold, (*at, "target"))
    if len(top.problems) > before:
        return None
    return ScorerUse(name, checked.model_dump(mode="json", exclude_unset=True), target, str(folder) if is_own(name) else None)
