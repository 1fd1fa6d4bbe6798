"""Fields that a person writes, read without any guessing: the base of sections and options, and lists as tuples."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Entry(BaseModel):
    """Base of a sweep file's sections and of scorers' options: frozen, no unknown keys, no conversion between types. ``INSTEAD``:
    keys that may stand alone, in place of all others. ``FILLED_IN``: those that nobody writes, as they follow from others."""

    INSTEAD: ClassVar[tuple[str, ...]] = ()
    FILLED_IN: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


FromList = BeforeValidator(_as_tuple)
"""A tuple is written as a list."""

FromListOrOne = BeforeValidator(lambda value: (value,) if isinstance(value, str) else _as_tuple(value))
"""The same; one text may stand without its brackets."""
