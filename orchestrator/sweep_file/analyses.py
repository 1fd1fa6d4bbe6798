"""The section ``analyses`` of a sweep file: what is analysed, each with its options checked."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.analysis import ANALYSES
from orchestrator.strict import Entry
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.sections import Path, Sections


@dataclass(frozen=True)
class AskedAnalysis:
    """An analysis by its ``name`` in ``ANALYSES``, with its options; ``number``: its place in the file's list; ``behaviors``: of
    which, by their keys (None: of all)."""

    name: str
    options: Entry
    number: int
    behaviors: tuple[str, ...] | None = None


def resolve_analyses(top: Sections) -> tuple[AskedAnalysis, ...]:
    """What a sweep file asks for; nothing where it has no such section."""
    found = []
    for number, given in enumerate(top.valid("analyses") or ()):
        at, name = ("analyses", number), given.get("name")
        if not isinstance(name, str) or name not in ANALYSES:
            top.report_unknown((*at, "name") if "name" in given else at, name, "analysis", list(ANALYSES))
            continue
        section, behaviors = ANALYSES[name].options, given.get("behaviors")
        if behaviors is not None and not _check_behaviors(top, (*at, "behaviors"), behaviors):
            continue
        try:
            options = section.model_validate({key: value for key, value in given.items() if key not in ("name", "behaviors")})
            found.append(AskedAnalysis(name, options, number, None if behaviors is None else tuple(map(str, behaviors))))
        except ValidationError as error:
            top.problems += problems_of(error, top.document, section, at)
    return tuple(found)


def _check_behaviors(top: Sections, at: Path, given: object) -> bool:
    """Report what is no list of the file's behaviors."""
    known = list(top.raw("behaviors"))
    if not isinstance(given, list) or not given:
        top.report(at, "not a list of behaviors", given, allowed=", ".join(known))
        return False
    unknown = [(place, name) for place, name in enumerate(given) if name not in known]
    for place, name in unknown:
        top.report_unknown((*at, place), name, "behavior", known)
    return not unknown
