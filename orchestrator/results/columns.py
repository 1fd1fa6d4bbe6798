"""A column of the results tables is declared once, as a field of a row dataclass; this reads the declarations. No pyarrow.

The field's type gives the column's, ``| None`` lets it be null, the string in ``Annotated`` is its line in docs/results.md. A
field with a default was added later: where a file of an earlier version lacks the column, it reads as that default. A field
without one is a column that every version has.

To add a column, add the field, with a default, and run ``python -m tests.docs.results_columns``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import datetime
from enum import IntEnum, auto
from functools import lru_cache
from types import NoneType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Bits:
    count: int


Int16: TypeAlias = Annotated[int, _Bits(16)]
"""A column of small integers; ``int`` is one of 32 bits."""


class Axis(IntEnum):
    """What cells differ in. A column that tells cells apart is declared with its axis (see ``conditions``)."""

    VARIANT = auto()
    """The model as a whole, by its id."""
    MODEL = auto()
    QUANTIZATION = auto()
    TEST = auto()
    PROMPTS = auto()
    METHOD = auto()
    TOOL = auto()
    ORIGIN = auto()
    STEERING = auto()
    """How the direction is applied, but for what follows."""
    PLACE = auto()
    STRENGTH = auto()
    FURTHER = auto()
    """How strong the further directions are."""


_SCALARS: Mapping[object, str] = {str: "string", bool: "bool", int: "int32", float: "float64", datetime: "timestamp"}


@dataclass(frozen=True)
class Column:
    """A column: ``kind`` is string, bool, int16, int32, float64, timestamp (UTC), or ``list<...>`` of one of them.

    ``default``: what a file of an earlier version means by lacking it; ``MISSING`` when every version has it.
    """

    name: str
    kind: str
    nullable: bool
    doc: str
    default: object = field(default=MISSING)

    @property
    def added_later(self) -> bool:
        """Whether files of earlier versions lack it."""
        return self.default is not MISSING

    def or_null(self) -> Column:
        """The same column in a table where it may be null, and that had it in every version."""
        return replace(self, nullable=True, default=MISSING)


def columns_of(row: type, names: Sequence[str] | None = None) -> tuple[Column, ...]:
    """The columns that the dataclass ``row`` declares, in its order; or those of ``names``, properties of it among them."""
    hints = get_type_hints(row, include_extras=True)
    declared = {one.name: _column(one.name, hints[one.name], "", one.default) for one in fields(row)}
    return tuple(declared.values()) if names is None else tuple(declared.get(name) or _computed(row, name) for name in names)


def axes_declared(row: type) -> dict[str, Axis]:
    """The columns and the properties that the class ``row`` declares with an axis."""
    hints = get_type_hints(row, include_extras=True)
    for name, getter in inspect.getmembers(row, lambda one: isinstance(one, property)):
        hints[name] = get_type_hints(getter.fget, include_extras=True)["return"]
    return {name: extra for name, hint in hints.items() for extra in _extras(hint) if isinstance(extra, Axis)}


def row_of(row: type[_T], stored: Mapping[str, object]) -> _T:
    """A ``row`` of stored values: names that it does not know are ignored, for a later version added them.

    TypeError when one is lacking that every version has.
    """
    names = _names_of(cast("type", row))
    return row(**stored if stored.keys() <= names else {name: stored[name] for name in names & stored.keys()})


def values_of(row: object) -> dict[str, Any]:
    """The fields of a ``row`` by their names, as ``vars`` gives those of an object that is no row."""
    return {name: getattr(row, name) for name in _names_of(cast("type", type(row)))}


@lru_cache
def _names_of(row: type) -> frozenset[str]:
    return frozenset(one.name for one in fields(row))


def _computed(row: type, name: str) -> Column:
    getter = getattr(row, name).fget
    return _column(
        name, get_type_hints(getter, include_extras=True)["return"], (inspect.getdoc(getter) or "").rstrip("."), MISSING
    )


def _column(name: str, hint: object, doc: str, default: object) -> Column:
    told = [doc, *(extra for extra in _extras(hint) if isinstance(extra, str))]
    kinds = [kind for kind in get_args(_plain(hint)) if kind is not NoneType]
    optional = NoneType in get_args(_plain(hint))
    return Column(name, _kind(kinds[0] if optional else hint), optional, told[-1], default)


def _kind(hint: object) -> str:
    plain = _plain(hint)
    if get_origin(plain) is tuple:
        return f"list<{_kind(get_args(plain)[0])}>"
    if get_origin(plain) is Literal:
        return "string"
    bits = next((extra.count for extra in _extras(hint) if isinstance(extra, _Bits)), None)
    return _SCALARS[plain] if bits is None else f"int{bits}"


def _plain(hint: object) -> Any:
    """``hint`` without what ``Annotated`` says of it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _extras(hint: object) -> Iterator[object]:
    yield from get_args(hint)[1:] if get_origin(hint) is Annotated else ()
