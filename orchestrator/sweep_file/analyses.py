"""The section ``analyses`` of a sweep file: what is analysed, each with its options checked."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.analysis import ANALYSES
from orchestrator.errors import nearest_name
from orchestrator.strict import Entry
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.sections import Path, Sections

NAME, BEHAVIORS = "name", "behaviors"


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
        at, name = ("analyses", number), given.get(NAME)
        misspelled = next((key for key in given if nearest_name(key, (NAME,))), None)
        if NAME not in given and misspelled is not None:
            top.report_unknown((*at, misspelled), misspelled, "key", (NAME, BEHAVIORS))
            continue
        if not isinstance(name, str) or name not in ANALYSES:
            top.report_unknown((*at, NAME) if NAME in given else at, name, "analysis", list(ANALYSES))
            continue
        section, behaviors = ANALYSES[name].options, given.get(BEHAVIORS)
        if behaviors is not None and not _check_behaviors(top, (*at, BEHAVIORS), behaviors):
            continue
        known = [one.alias or key for key, one in section.model_fields.items()]
        unknown = [key for key in given if key not in (NAME, BEHAVIORS, *known)]
        for key in unknown:
            top.report_unknown((*at, key), key, "key", (NAME, BEHAVIORS, *known))
        try:
            options = section.model_validate({key: value for key, value in given.items() if key in known})
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
