"""How the values of this project show themselves and compare: in a line whatever they hold, and arrays by their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

WIDTH = 120
"""Characters of a line at most."""
_TEXT = 40
_FEW = 3


def in_a_line(value: Any) -> str:
    """``Name(field=..., ...)`` of a dataclass, for its ``__repr__``: long fields by their size, and cut at ``WIDTH``."""
    told = ", ".join(f"{one.name}={_short(getattr(value, one.name))}" for one in fields(value) if one.repr)
    text = f"{type(value).__name__}({told})"
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 5]} ...)"


def same(one: Any, other: Any) -> bool:
    """Whether two dataclass instances are of one class and have equal fields, for their ``__eq__``; arrays are equal where their
    types, shapes and numbers are."""
    if type(one) is not type(other):
        return NotImplemented
    names = [field.name for field in fields(one) if field.compare]
    return all(_equal(getattr(one, name), getattr(other, name)) for name in names)


def hash_of(value: Any) -> int:
    """The hash that goes with ``same``."""
    return hash(tuple(_hashable(getattr(value, field.name)) for field in fields(value) if field.compare))


def _equal(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _hashable(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, tuple):
        return tuple(map(_hashable, value))
    return len(value) if isinstance(value, Mapping) else value


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{len(value)} entries}}" if len(value) > _FEW else _cut(repr(dict(value)))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) > _FEW:
        if isinstance(value[0], int) and list(value) == list(range(value[0], value[0] + len(value))):
            return f"{value[0]}..{value[-1]}"
        return f"({len(value)} of {type(value[0]).__name__})"
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."
