"""A parity study as a results folder keeps it: which files hold what, by the ids of its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.types import DType

OTHER_DTYPE = "dtype "
"""How the title of a setting begins that is another dtype than the study's."""


@dataclass(frozen=True)
class PlannedParity:
    """Of a model and a behavior. ``prompts``: contrast prompts of each class. ``readings``: of every tool, by its name, the item
    that reads one prompt at a time, and that which reads all of a class together; ``settings``: the reference tool's in every
    setting, the first of them all of a class together. ``sites_rows``: which prompts of a reading the candidate ``sites`` have.

    ``mistakes``: planted ones of extraction; ``steered``: of every tool that steers; ``steering_mistakes``: planted ones of
    steering, ``layer`` and ``strength`` of both (empty, 0: none). ``rates``: answers with the directions of planted mistakes, at
    ``rated_layer`` and with ``multiplier``.
    """

    model: str
    behavior: str
    dtype: DType
    prompts: tuple[int, int]
    reference: str
    sites: str
    sites_rows: tuple[int, ...]
    readings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    mistakes: str = ""
    steered: Mapping[str, str] = field(default_factory=dict)
    steering_mistakes: str = ""
    layer: int = 0
    strength: float = 0.0
    rates: str = ""
    multiplier: float = 0.0
    rated_layer: int = 0
