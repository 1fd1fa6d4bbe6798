"""Turns validation errors into problems that a person can act on: line, value, what is allowed, the nearest valid name."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from orchestrator.errors import Problem, nearest_name
from orchestrator.sweep_file.fields import IN_WORDS
from orchestrator.sweep_file.yaml_text import Document

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]

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
OF_A_GRID = ("search", "choose", "quantizations")
"""Keys of a grid that the top level does not have."""
_WRITTEN_NUMBER = re.compile(r"[-+]?\.?\d[\d_.]*([eE][-+]?\d+)?")


def problems_of(
    error: ValidationError, document: Document, section: type[BaseModel], at: Sequence[str | int] = ()
) -> list[Problem]:
    """Every fault in ``error`` as a problem. ``section`` is the class that was validated, ``at`` the path where its data lies. A
    key that is missing because it is misspelled is told once."""
    found = error.errors(include_url=False)
    meant = {(*one["loc"][:-1], _nearest_key(section, one["loc"])) for one in found if one["type"] == "extra_forbidden"}
    told = [one for one in found if one["type"] != "missing" or not meant & _filled_by(section, one["loc"])]
    return [_problem(one, document, section, at) for one in told]


def _nearest_key(section: type[BaseModel], location: Location) -> str | None:
    """The key that an unknown one was meant to be."""
    return nearest_name(location[-1], _fields_at(section, location[:-1]))


def _filled_by(section: type[BaseModel], missing: Location) -> set[Location]:
    """A missing key, and those that may stand in place of it."""
    return {missing, *((*missing[:-1], key) for key in getattr(_section_at(section, missing[:-1]), "INSTEAD", ()))}


def problem_at(document: Document, path: Sequence[str | int], message: str, value: object = None, **more: str | None) -> Problem:
    """A problem with what lies at ``path``; ``more``: ``allowed`` and ``nearest`` of :class:`Problem`."""
    name, line = document.locate(path)
    return Problem(name, value, message, more.get("allowed"), more.get("nearest"), line, document.file)


def unknown_name(document: Document, path: Sequence[str | int], name: object, kind: str, names: Iterable[str]) -> Problem:
    """The problem of a name that is none of ``names``."""
    known = tuple(dict.fromkeys(names))
    allowed = ", ".join(known) if len(known) <= _LISTED else f"{', '.join(known[:_LISTED])}, ... ({len(known)} in all)"
    allowed = allowed or f"nothing here: there is no {kind}"
    return problem_at(document, path, f"unknown {kind}", name, allowed=allowed, nearest=nearest_name(name, known))


def _problem(details: ErrorDetails, document: Document, section: type[BaseModel], at: Sequence[str | int]) -> Problem:
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    location = details["loc"]
    if location[-1:] == ("[key]",) and kind != "extra_forbidden":
        location = location[:-1]  # a key that is wrong itself stands one step up
    path = (*at, *location)
    if kind == "extra_forbidden":
        names = [name for name in _fields_at(section, location[:-1]) if name != location[-1]]
        if not at and len(location) == 1 and location[0] in OF_A_GRID:
            return problem_at(document, path, "it is of a grid", allowed=f"grids: [{{{location[0]}: ...}}]")
        return unknown_name(document, path, str(location[-1]), "key", names)
    if kind == "missing":
        fields = ", ".join(_fields_at(section, location[:-1]))
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
    return problem_at(document, path, message, value, allowed=allows)


def _explain(kind: str, context: Mapping[str, Any], value: object) -> tuple[str, str | None]:
    """(what is wrong, what is allowed) of the plain kinds of error."""
    base = kind.partition("_")[0]
    if kind in _RANGES:
        return "out of range", _RANGES[kind].format(**context)
    if kind in ("too_short", "string_too_short"):
        return "must not be empty", "at least one"
    if kind == "string_too_long":
        return "too long", f"at most {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return "not a valid name", IN_WORDS.get(context["pattern"], "organisation/name")
    if kind.endswith(("_type", "_parsing", "_from_float")) and base in _TYPES:
        quoted = base in ("int", "float") and isinstance(value, str) and _WRITTEN_NUMBER.fullmatch(value)
        return "no value is given" if value is None else "wrong type", _TYPES[base] + (", without quotes" if quoted else "")
    return "not valid here", None


def _fields_at(section: type[BaseModel], location: Location) -> tuple[str, ...]:
    """The keys that the section at ``location`` inside ``section`` knows."""
    found = _section_at(section, location)
    if found is None:
        return ()
    written = (field.alias or name for name, field in found.model_fields.items() if name not in getattr(found, "FILLED_IN", ()))
    return (*written, *getattr(found, "INSTEAD", ()))


def _section_at(section: type[BaseModel], location: Location) -> type[BaseModel] | None:
    current, steps = section, list(location)
    while steps:
        field = current.model_fields.get(str(steps.pop(0)))
        inner, containers = _section_in(None if field is None else field.annotation)
        if inner is None:
            return None
        current, steps = inner, steps[containers:]
    return current


def _section_in(annotation: object) -> tuple[type[BaseModel] | None, int]:
    """The section class that an annotation mentions (each mentions at most one), and how many containers hold it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, 0
    for argument in typing.get_args(annotation):
        inner, containers = _section_in(argument)
        if inner is not None:
            return inner, containers + (typing.get_origin(annotation) in (dict, tuple))
    return None, 0
