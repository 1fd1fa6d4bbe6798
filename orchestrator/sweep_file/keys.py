"""Which keys the sections of a sweep file know, and where a key belongs that stands in the wrong section."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence

from pydantic import BaseModel

from actors.methods import METHODS
from orchestrator.analysis import ANALYSES
from orchestrator.scoring.registry import SCORERS
from orchestrator.sweep_file.schema import SweepSettings

Location = tuple[int | str, ...]

_GRIDS = "grids[N]."
_TOLD = 3
"""Places of a key that are told at most: the shortest ones."""


def fields_at(section: type[BaseModel], location: Location) -> tuple[str, ...]:
    """The keys that the section at ``location`` inside ``section`` knows."""
    found = section_at(section, location)
    return () if found is None else (*_written(found), *getattr(found, "INSTEAD", ()))


def section_at(section: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The section at ``location`` inside ``section``; None where there is none."""
    current, steps = section, list(location)
    while steps:
        field = current.model_fields.get(str(steps.pop(0)))
        inner, containers = _section_in(None if field is None else field.annotation)
        if inner is None:
            return None
        current, steps = inner, steps[len(containers) :]
    return current


def places_of(key: str, whole: type[BaseModel], inside: Sequence[str | int]) -> list[str]:
    """Where in a file that is ``whole`` the ``key`` belongs, in words, seen from the section at ``inside``; empty where nothing
    has such a key. Sections of the name of one that is around come first, then the shortest paths."""
    every = (*_paths(whole), *(_paths_of_options() if whole is SweepSettings else ()))
    paths = dict.fromkeys(path for path in every if path.rpartition(".")[2] == key)
    once = [path for path in paths if path.removeprefix(_GRIDS) == path or path.removeprefix(_GRIDS) not in paths]
    nearest = sorted(once, key=lambda path: (path.partition(".")[0] not in inside, path.count(".")))
    return [_in_words(path, inside[:1] == ("grids",) and f"{_GRIDS}{path}" not in paths) for path in nearest[:_TOLD]]


def _in_words(path: str, above: bool) -> str:
    """``above``: what it is seen from is a grid, which has no such path itself."""
    own = path.removeprefix(_GRIDS)
    if path != own:
        return path if "." in own else f"of a grid (grids: [{{{own}: ...}}])"
    if "." not in path:
        return "of the top level"
    return f"{path} of the top level" if above else path


def _paths(section: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every key of ``section`` and of what it holds: ``decoding.samples``, ``behaviors.NAME.limit``, ``grids[N].search``."""
    for name, key in _keys(section):
        yield f"{before}{key}"
        inner, containers = _section_in(section.model_fields[name].annotation)
        if inner is not None:
            steps = "".join(".NAME" if container is dict else "[N]" for container in containers)
            yield from _paths(inner, f"{before}{key}{steps}.")


def _paths_of_options() -> Iterator[str]:
    """The same of what the schema leaves to the registries."""
    yield "behaviors.NAME.scorers[N].target"
    for place, registry in (
        ("behaviors.NAME.scorers[N].", SCORERS),
        ("methods[N].options.", METHODS),
        ("analyses[N].", ANALYSES),
    ):
        for entry in registry.values():
            yield from _paths(entry.options, place)


def _keys(section: type[BaseModel]) -> list[tuple[str, str]]:
    """The fields of a section that somebody writes, each with the key that stands for it."""
    filled_in = getattr(section, "FILLED_IN", ())
    return [(name, field.alias or name) for name, field in section.model_fields.items() if name not in filled_in]


def _written(section: type[BaseModel]) -> tuple[str, ...]:
    return tuple(key for _, key in _keys(section))


def _section_in(annotation: object) -> tuple[type[BaseModel] | None, tuple[object, ...]]:
    """The section class that an annotation mentions (each mentions at most one), and the containers that hold it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ()
    for argument in typing.get_args(annotation):
        inner, containers = _section_in(argument)
        if inner is not None:
            holder = typing.get_origin(annotation)
            return inner, (*((holder,) if holder in (dict, tuple) else ()), *containers)
    return None, ()
