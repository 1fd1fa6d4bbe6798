"""Turns validation errors into problems that a person can act on: line, value, what is allowed, the nearest valid name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem, nearest_name
from orchestrator.sweep_file.fields import IN_WORDS
from orchestrator.sweep_file.keys import Location, fields_at, places_of, section_at
from orchestrator.sweep_file.schema import SweepSettings
from orchestrator.sweep_file.yaml_text import Document

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "string": "text",
    "bool": "true or false",
    "tuple": "a list: [..., ...]",
    "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)",
}
_RANGES = {
    "greater_than": "a number above {gt:.15g}",
    "greater_than_equal": "a number from {ge:.15g}",
    "less_than": "a number below {lt:.15g}",
    "less_than_equal": "a number up to {le:.15g}",
    "finite_number": "a finite number",
}
_LISTED = 25
_MISSPELLED = 0.8
"""How like each other two keys are of which the one is the other with a slip, and not a key of another place."""
_WRITTEN_NUMBER = re.compile(r"[-+]?\.?\d[\d_.]*([eE][-+]?\d+)?")


def problems_of(
    error: ValidationError,
    document: Document,
    section: type[BaseModel],
    at: Sequence[str | int] = (),
    beside: Sequence[str] = (),
) -> list[Problem]:
    """Every fault in ``error`` as a problem. ``section`` is the class that was validated, ``at`` the path where its data lies,
    ``beside`` keys that may stand there too. A key that is missing because it is misspelled is told once."""
    found = error.errors(include_url=False)
    unknown = [one["loc"] for one in found if one["type"] == "extra_forbidden"]
    meant = {(*one[:-1], nearest_name(one[-1], fields_at(section, one[:-1]))) for one in unknown if not _places(section, one, at)}
    told = [one for one in found if one["type"] != "missing" or not meant & _filled_by(section, one["loc"])]
    return [_problem(one, document, section, at, beside) for one in told]


def _places(section: type[BaseModel], location: Location, at: Sequence[str | int]) -> list[str]:
    """Where the unknown key at ``location`` belongs, if it is one of another place and none of this one with a slip."""
    nearest = nearest_name(location[-1], fields_at(section, location[:-1]))
    slip = nearest is not None and SequenceMatcher(None, str(location[-1]), nearest).ratio() >= _MISSPELLED
    return [] if slip else places_of(str(location[-1]), SweepSettings if at else section, (*at, *location[:-1]))


def _filled_by(section: type[BaseModel], missing: Location) -> set[Location]:
    """A missing key, and those that may stand in place of it."""
    return {missing, *((*missing[:-1], key) for key in getattr(section_at(section, missing[:-1]), "INSTEAD", ()))}


def problem_at(document: Document, path: Sequence[str | int], message: str, value: object = None, **more: str | None) -> Problem:
    """A problem with what lies at ``path``; ``more``: ``allowed`` and ``nearest`` of :class:`Problem`."""
    name, line = document.locate(path)
    return Problem(name, value, message, more.get("allowed"), more.get("nearest"), line, document.file)


def unknown_name(document: Document, path: Sequence[str | int], name: object, kind: str, names: Iterable[str]) -> Problem:
    """The problem of a name that is none of ``names``."""
    known = tuple(dict.fromkeys(names))
    listed = known if kind == "key" else known[:_LISTED]
    allowed = ", ".join(listed) + (f", ... ({len(known)} in all)" if len(listed) < len(known) else "")
    allowed = allowed or f"nothing here: there is no {kind}"
    return problem_at(document, path, f"unknown {kind}", name, allowed=allowed, nearest=nearest_name(name, known))


def _problem(
    details: ErrorDetails, document: Document, section: type[BaseModel], at: Sequence[str | int], beside: Sequence[str]
) -> Problem:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    location = details["loc"]
    if location[-1:] == ("[key]",) and kind != "extra_forbidden":
        location = location[:-1]  # a key that is wrong itself stands one step up
    path = (*at, *location)
    if kind == "extra_forbidden":
        key, names = str(location[-1]), [name for name in fields_at(section, location[:-1]) if name != location[-1]]
        names += beside if len(location) == 1 else ()
        found = unknown_name(document, path, key, "key", names)
        places = _places(section, location, at)
        return replace(found, message=f"unknown key here: it is {' or '.join(places)}", nearest=None) if places else found
    if kind == "missing" and isinstance(location[-1], int):
        return problem_at(document, path[:-1], "too short", allowed=f"at least {location[-1] + 1}")
    if kind == "missing":
        fields = ", ".join(fields_at(section, location[:-1]))
        return problem_at(document, path, f"'{location[-1]}' is missing", allowed=f"keys here: {fields}")
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context["expected"]))
        return unknown_name(document, path, value, "name", allowed)
    if kind == "sweep":
        if context.get("field") and isinstance(value, dict):
            path, value = (*path, context["field"]), value.get(context["field"])
        known = str(context["allowed"]).split(", ")
        nearest = context["nearest"] or (nearest_name(value, known) if isinstance(value, str) else None)
        told = None if isinstance(value, dict | BaseModel) else value
        return problem_at(document, path, context["message"], told, allowed=context["allowed"], nearest=nearest)
    message, allows = _explain(kind, context, value)
    return problem_at(document, path, message, list(value) if isinstance(value, tuple) else value, allowed=allows)


def _explain(kind: str, context: Mapping[str, Any], value: object) -> tuple[str, str | None]:
    """(what is wrong, what is allowed) of the plain kinds of error."""
    base = kind.partition("_")[0]
    if kind in _RANGES:
        return "out of range", _RANGES[kind].format(**context)
    if kind in ("too_short", "string_too_short"):
        least = context["min_length"]
        return ("must not be empty", "at least one") if least == 1 else ("too short", f"at least {least}")
    if kind == "too_long":
        return "too long", f"at most {context['max_length']}"
    if kind == "string_too_long":
        return "too long", f"at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return "not a valid name", IN_WORDS.get(context["pattern"], "organisation/name")
    if kind.endswith(("_type", "_parsing", "_from_float")) and base in _TYPES:
        quoted = base in ("int", "float") and isinstance(value, str) and _WRITTEN_NUMBER.fullmatch(value)
        return "no value is given" if value is None else "wrong type", _TYPES[base] + (", without quotes" if quoted else "")
    return "not valid here", None
