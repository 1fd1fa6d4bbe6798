"""The section ``analyses`` of a sweep file: what is analysed, each with its options checked."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from orchestrator.analysis import ANALYSES
from orchestrator.strict import Entry
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.sections import Sections


@dataclass(frozen=True)
class AskedAnalysis:
    """An analysis by its ``name`` in ``ANALYSES``, with its options; ``number``: its place in the file's list."""

    name: str
    options: Entry
    number: int


def resolve_analyses(top: Sections) -> tuple[AskedAnalysis, ...]:
    """What a sweep file asks for; nothing where it has no such section."""
    found = []
    for number, given in enumerate(top.valid("analyses") or ()):
        at, name = ("analyses", number), given.get("name")
        if not isinstance(name, str) or name not in ANALYSES:
            top.report_unknown((*at, "name") if "name" in given else at, name, "analysis", list(ANALYSES))
            continue
        section = ANALYSES[name].options
        try:
            options = section.model_validate({key: value for key, value in given.items() if key != "name"})
            found.append(AskedAnalysis(name, options, number))
        except ValidationError as error:
            top.problems += problems_of(error, top.document, section, at)
    return tuple(found)
