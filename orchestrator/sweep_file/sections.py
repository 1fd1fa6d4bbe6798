"""A sweep file section by section: each is read on its own, so that one bad section does not hide the problems of the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from orchestrator.errors import InputError, Problem
from orchestrator.strict import Entry
from orchestrator.sweep_file.problems import problem_at, unknown_name
from orchestrator.sweep_file.schema import GridEntry, SweepSettings
from orchestrator.sweep_file.yaml_text import Document

Entries = TypeVar("Entries", bound=BaseModel)
Path = tuple[str | int, ...]

_INSTEAD = {"depths": ("depths", "layers"), "layers": ("depths", "layers")}
"""Keys of a grid that replace more than the key of their own name."""


class Sections:
    """The top level of a document, or one grid laid over it. ``problems`` gathers what is wrong; views of one file share it."""

    def __init__(self, document: Document, grid: int | None = None, problems: list[Problem] | None = None) -> None:
        self.document = document
        self.problems: list[Problem] = [] if problems is None else problems
        self.path: Path = () if grid is None else ("grids", grid)
        data = document.data if isinstance(document.data, dict) else {}
        self._top: Mapping[str, object] = data
        grids = data.get("grids")
        given = grids[grid] if grid is not None and isinstance(grids, list) else {}
        self._own = {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else {}

    def grids(self) -> list[Sections]:
        """A view for each grid; without ``grids`` the top level is the one grid."""
        listed = self._top.get("grids")
        if not isinstance(listed, list) or not listed:
            return [self]
        return [Sections(self.document, number, self.problems) for number in range(len(listed))]

    def at(self, key: str, *more: str | int) -> Path:
        """Where ``key`` stands: in the grid if it gives the key itself, else at the top level."""
        return (*self.path, key, *more) if self._own_gives(key) else (key, *more)

    def valid(self, key: str) -> Any:
        """The value of a key or its default, None when it is not valid by itself."""
        own = self._own_gives(key) or key not in SweepSettings.model_fields
        section: type[BaseModel] = GridEntry if own else SweepSettings
        field = section.model_fields[key]
        data = self._own if own else self._top
        if key not in data:
            return None if field.is_required() else field.get_default(call_default_factory=True)
        try:
            fields: Any = {"value": (field.annotation, field)}
            alone: Any = create_model("Alone", __base__=Entry, **fields)
            return alone(value=data[key]).value
        except ValidationError:
            return None

    def own(self, key: str) -> Any:
        """The value of a key that the grid itself gives; None otherwise."""
        return self.valid(key) if self.path and self._own_gives(key) else None

    def given(self, key: str) -> bool:
        """Whether the grid or the top level gives a key at all, valid or not."""
        return self._own.get(key) is not None or self._top.get(key) is not None

    def whole(self, *keys: str) -> bool:
        """Whether no item of the lists of these keys was left out as wrong by itself."""
        places = tuple(map(self.at, keys))
        return not any(item[: len(place)] == place for item in self.document.left_out for place in places)

    def raw(self, key: str) -> Mapping[str, object]:
        """A mapping section of the top level as it was written; empty when it is none."""
        found = self._top.get(key)
        return found if isinstance(found, dict) else {}

    def entries(self, key: str, kind: type[Entries]) -> Iterator[tuple[str, Entries]]:
        """The entries of a mapping section of the top level that are valid by themselves."""
        for name, raw in self.raw(key).items():
            try:
                yield name, kind.model_validate(raw)
            except ValidationError:
                continue

    def report(self, path: Sequence[str | int], message: str, value: object = None, **more: str | None) -> None:
        """Note a problem with what lies at ``path``; ``more``: ``allowed`` and ``nearest``."""
        self.problems.append(problem_at(self.document, path, message, value, **more))

    def report_unknown(self, path: Sequence[str | int], name: object, kind: str, names: Sequence[str]) -> None:
        """Note a name that is none of ``names``."""
        self.problems.append(unknown_name(self.document, path, name, kind, names))

    def report_within(self, error: InputError, *path: str) -> None:
        """Note problems that were found without the document; each may name the field of the entry that it is about."""
        for problem in error.problems:
            at = (*path[:-1], *(problem.field or path[-1]).split(".", 1))
            self.report(at, problem.message, problem.value, allowed=problem.allowed, nearest=problem.nearest)

    def _own_gives(self, key: str) -> bool:
        return any(name in self._own for name in _INSTEAD.get(key, (key,)))
