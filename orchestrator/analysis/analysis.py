"""What an analysis is: what it asks of a worker, and the rows that it makes of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from orchestrator.strict import Entry

Arrays = Mapping[str, npt.NDArray[Any]]
Activations = npt.NDArray[np.floating]
Class = Literal["positive", "negative"]
Entries = TypeVar("Entries", bound=Entry)


class ContrastOptions(Entry):
    """Of every analysis of two classes of prompts: ``label``: the contrast prompts of the behavior; ``behavior``: its test
    prompts, by what the unsteered model does with them (``success`` against all other language)."""

    classes: Literal["label", "behavior"] = "label"


@dataclass(frozen=True, eq=False)
class Material:
    """What an analysis starts from: the ``arrays`` that were measured of prompts, the ``classes`` that these are of (None: of
    neither), and the ``categories`` that they have (None: none). ``kept``: the layers whose states were kept."""

    arrays: Arrays
    classes: tuple[Class | None, ...] = ()
    categories: tuple[str | None, ...] = ()
    kept: tuple[int, ...] = ()

    @property
    def activations(self) -> Activations:
        """Of all prompts at their last token, ``[n, L, d]`` (L layers)."""
        return self.arrays["activations"]

    def of(self, wanted: Class) -> Activations:
        """The activations of one class."""
        return self.activations[self.places(wanted)]

    def categories_of(self, wanted: Class) -> tuple[str | None, ...]:
        """The categories of the prompts of one class."""
        return tuple(self.categories[place] for place in self.places(wanted))

    def places(self, wanted: Class) -> list[int]:
        """Which prompts are of one class."""
        return [place for place, one in enumerate(self.classes) if one == wanted]


@dataclass(frozen=True, kw_only=True)
class AnalysisRow:
    """What the rows of every analysis begin with."""

    analysis_id: Annotated[str, "names the file under `analyses/` that the rows are kept in"]
    model: Annotated[str, "the model variant, as the sweep names it"]
    behavior: Annotated[str, "as the sweep names it"]


Shown = tuple[str, Callable[[Any], str]]
"""A column on the page: its head, and what a row has there."""


@dataclass(frozen=True)
class Analysis(Generic[Entries]):
    """An entry of ``ANALYSES``. ``rows``: the rows of its table, each a ``row`` but for what it begins with, of the material.
    ``says``: its line in the docs. ``shown``: the columns of its table on the page, of the rows that ``on_page`` takes,
    with the ``note`` below it. ``material``: what is measured for it. ``by_category``: it takes prompts that have categories.
    ``version``: raise it when the same material would give other numbers.
    """

    says: str
    options: type[Entries]
    row: type[AnalysisRow]
    rows: Callable[[Material, Entries], Iterable[Mapping[str, object]]]
    shown: tuple[Shown, ...]
    note: str
    on_page: Callable[[Any], bool] = lambda _row: True
    material: Literal["activations", "shifts", "motion", "divergences"] = "activations"
    by_category: bool = False
    version: int = 1


def too_few(material: Material, least: int) -> str | None:
    """Why a contrast cannot be analysed; None where each class has ``least`` prompts."""
    counts = {name: sum(one == name for one in material.classes) for name in ("positive", "negative")}
    short = [f"{count} {name}" for name, count in counts.items() if count < least]
    return f"{' and '.join(short)} prompts: at least {least} of each class are needed" if short else None


def known(value: float | npt.NDArray[np.float64]) -> float | None:
    """A number for a row; None where there is none."""
    return float(value) if np.isfinite(value) else None


def span(value: float | None, low: float | None = None, high: float | None = None, places: int = 2) -> str:
    """``12.3 [10.1, 14.0]``: an estimate with its interval, as the page has it; ``-`` for none."""
    told = "-" if value is None else f"{value:.{places}f}"
    return told if low is None or high is None else f"{told} [{low:.{places}f}, {high:.{places}f}]"
