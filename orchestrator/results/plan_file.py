"""``plan.json``: what status, score and reports need to know of a plan, without the sweep file or any model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from operator import itemgetter
from typing import Any, cast, overload

from pydantic_core import from_json

from orchestrator.counting import counted
from orchestrator.errors import InputError
from orchestrator.parity.planned import PlannedParity
from orchestrator.planned import IncomparablePair, PlannedAnalysis
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import columns_of, row_of
from orchestrator.scoring.planned import BehaviorScoring, decode_scoring
from orchestrator.storage import Readable, UnreadableFileError

PLAN_VERSION = 5
"""Raise it when the meaning of what a plan says changes; names that a reader does not know are no reason, for it ignores them.

5: prompts have several samples; a plan without any is of version 4, which programs that know none can read.
4: ``cells`` has one that several behaviors ask for once for each.
3: ``scoring`` has several scorers per behavior, each with its id; versions 1 and 2 had ``scorers``, and no ids in it.
Version 1 had no ``incomparable``, no digests of contrast prompts, and said of no cell whether its method chose the layer.
"""


@dataclass(frozen=True)
class PlannedDirection:
    """A direction set of the plan: its id, the variant it comes from, the method, the tool, the contrast prompts' digest."""

    id: str
    variant: str
    method: str
    extractor: str
    prompts_sha256: str = ""


@dataclass(frozen=True)
class PlannedOther:
    """An item of the plan that is neither a direction nor a cell: its id, its kind, the variant that it takes, and the cell that
    it says something of (empty: none)."""

    id: str
    kind: str
    variant: str
    cell_id: str = ""


@dataclass(frozen=True)
class PlannedVariant:
    """A model variant of the plan; where its weights come from, and in which form (empty in plans of earlier versions)."""

    name: str
    variant: str
    family: str
    n_layers: int
    d_model: int
    source: str = ""
    location: str = ""
    revision: str | None = None
    adapter: bool = False
    dtype: str = ""
    quantization: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class PlannedDamage:
    """How damage is measured: on so many neutral ``prompts``, at the first ``tokens`` answer tokens of each, with the loss of so
    many first tokens of each answer (``answers``; None: of all, 0: of no answer)."""

    prompts: int
    tokens: int
    answers: int | None

    @property
    def size(self) -> str:
        """``4 neutral prompts x 4 tokens``."""
        return f"{counted(self.prompts, 'neutral prompt')} x {counted(self.tokens, 'token')}"

    @property
    def words(self) -> str:
        """All of it."""
        tokens = "all tokens" if self.answers is None else f"the first {counted(self.answers, 'token')}"
        return f"KL on {self.size}, {'no loss of answers' if self.answers == 0 else f'loss of {tokens} of every answer'}"


@dataclass(frozen=True)
class PlannedCells:
    """What ``plan.json`` says. ``cells`` stand in the plan's order, which is the order of every results table, each once for
    every behavior that asks for it. ``scoring``: by the key of the behavior. ``twins``: as in the plan. ``damage``: None where it
    is not measured, and in plans of earlier versions."""

    name: str
    cells: Sequence[CellAxes]
    directions: tuple[PlannedDirection, ...]
    models: tuple[PlannedVariant, ...]
    warnings: tuple[str, ...]
    incomparable: tuple[IncomparablePair, ...] = ()
    scoring: Mapping[str, BehaviorScoring] = field(default_factory=dict)
    others: tuple[PlannedOther, ...] = ()
    analyses: tuple[PlannedAnalysis, ...] = ()
    parity: tuple[PlannedParity, ...] = ()
    twins: Mapping[str, str] = field(default_factory=dict)
    damage: PlannedDamage | None = None

    def axis(self, name: str) -> list[Any]:
        """Of every cell its value of an axis that all versions have. Of a plan that was read it makes no cell."""
        return self.cells.axis(name) if isinstance(self.cells, StoredCells) else [getattr(axes, name) for axes in self.cells]

    def by_id(self) -> dict[str, tuple[CellAxes, ...]]:
        """The cells by id, each with all behaviors that ask for it."""
        found: dict[str, tuple[CellAxes, ...]] = {}
        for axes in self.cells:
            found[axes.cell_id] = (*found.get(axes.cell_id, ()), axes)
        return found

    def named(self, variant: str) -> str:
        """The name of a model variant; its id when the plan has none such."""
        return next((model.name for model in self.models if model.variant == variant), variant)

    def scoring_of(self, behavior: str) -> BehaviorScoring:
        """What scores a behavior, by its key or as the cells call it (``key/split``)."""
        found = self.scoring.get(behavior.partition("/")[0])
        if found is None:
            from orchestrator.scoring.uses import default_scoring  # its rules take long to import

            found = default_scoring()
        return found

    def scorers_of(self, behavior: str) -> tuple[str, ...]:
        """The ids of all its scorers, each once; none where the plan is of a version that did not name them."""
        return tuple(filter(None, self.scoring_of(behavior).ids))

    def scorings(self) -> dict[tuple[str, str], int]:
        """Every scorer with every cell that it scores, by their ids: the place of the cell where it first stands."""
        behaviors = self.axis("behavior")
        scorers = {behavior: self.scorers_of(behavior) for behavior in dict.fromkeys(behaviors)}
        found: dict[tuple[str, str], int] = {}
        for place, (cell_id, behavior) in enumerate(zip(self.axis("cell_id"), behaviors, strict=True)):
            for scorer in scorers[behavior]:
                found.setdefault((scorer, cell_id), place)
        return found


class StoredCells(Sequence[CellAxes]):
    """The cells of a plan that was read, each made when it is asked for: to count them needs none."""

    def __init__(self, stored: Sequence[dict[str, Any]]) -> None:
        """KeyError where one lacks an axis that all versions have."""
        needed = {one.name for one in columns_of(CellAxes) if not one.added_later}
        if lacking := next((needed - cell.keys() for cell in stored if not needed <= cell.keys()), None):
            raise KeyError(", ".join(sorted(lacking)))
        if not all(isinstance(cell["layers"], list | None) for cell in stored):
            raise TypeError("layers")
        for name in ("cell_id", "behavior"):
            if not all(isinstance(cell[name], str) for cell in stored):
                raise TypeError(f"{name} is no text")
        self._stored = stored
        self._made: tuple[CellAxes, ...] = ()

    def axis(self, name: str) -> list[Any]:
        """Of every cell its value of an axis that all versions have."""
        return list(map(itemgetter(name), self._stored))

    def __len__(self) -> int:
        return len(self._stored)

    @overload
    def __getitem__(self, place: int) -> CellAxes: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[CellAxes, ...]: ...

    def __getitem__(self, place: int | slice) -> CellAxes | tuple[CellAxes, ...]:
        return self._all()[place]

    def __iter__(self) -> Iterator[CellAxes]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, StoredCells) else other)

    __hash__ = None  # type: ignore[assignment]

    def _all(self) -> tuple[CellAxes, ...]:
        self._made = self._made or tuple(map(_axes, self._stored))
        return self._made


def encode_plan(planned: PlannedCells) -> bytes:
    """The bytes of ``plan.json``: the same plan gives the same bytes. A line for each entry of a list; of a cell without the axes
    that have their default value, which is what a reader takes for one that lacks."""
    version = PLAN_VERSION if any(axes.samples > 1 for axes in planned.cells) else PLAN_VERSION - 1
    content = {"version": version, **asdict(replace(planned, cells=())), "cells": map(_told_axes, planned.cells)}
    kept = {
        key: value for key, value in content.items() if value or key not in ("others", "analyses", "parity", "twins", "damage")
    }
    return ("{\n" + ",\n".join(f"{_json(key)}: {_lines(value)}" for key, value in kept.items()) + "\n}\n").encode()


def _told_axes(axes: CellAxes) -> dict[str, Any]:
    found = ((name, getattr(axes, name), default) for name, default in _axes_defaults().items())
    return {name: value for name, value, default in found if value != default}


@cache
def _axes_defaults() -> dict[str, object]:
    """What each axis reads as where it is lacking; nothing is equal to that of one that never is."""
    return {one.name: one.default for one in columns_of(CellAxes)}


def _lines(value: object) -> str:
    if isinstance(value, str | int | Mapping):
        return _json(value)
    return "[" + ",".join(f"\n {_json(one)}" for one in cast("Iterable[object]", value)) + "]"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def decode_plan(path: Readable) -> PlannedCells:
    """What ``path`` holds; InputError when it is missing, damaged or written by a newer version."""
    try:
        content = from_json(path.read_bytes(), cache_strings="all")  # fast, and equal texts of its many cells are one object
        if content.pop("version") > PLAN_VERSION:
            raise _newer(path)
        return _planned(content)
    except FileNotFoundError:
        folder = str(path).removesuffix(f"/{path.name}")
        raise InputError.because(f"{folder} holds no plan.json: it is not the results folder of a sweep") from None
    except (UnreadableFileError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError.because(f"{path} is damaged ({error}); run the sweep again to write it anew") from error


def check_version(path: Readable) -> None:
    """InputError when a newer version of this program wrote ``path``; nothing when it is missing or damaged."""
    with suppress(FileNotFoundError, UnreadableFileError, ValueError, TypeError, KeyError):
        if from_json(path.read_bytes())["version"] > PLAN_VERSION:
            raise _newer(path)


def _newer(path: Readable) -> InputError:
    return InputError.because(f"{path} was written by a newer version of this program: update it")


def _planned(content: dict[str, Any]) -> PlannedCells:
    return PlannedCells(
        name=content["name"],
        cells=StoredCells(content["cells"]),
        directions=tuple(row_of(PlannedDirection, direction) for direction in content["directions"]),
        models=tuple(row_of(PlannedVariant, model) for model in content["models"]),
        warnings=tuple(content["warnings"]),
        incomparable=tuple(row_of(IncomparablePair, pair) for pair in content.get("incomparable", ())),
        scoring={key: decode_scoring(one) for key, one in (content.get("scoring") or content.get("scorers") or {}).items()},
        others=tuple(row_of(PlannedOther, one) for one in content.get("others", ())),
        analyses=tuple(
            row_of(PlannedAnalysis, {key: tuple(value) if isinstance(value, list) else value for key, value in one.items()})
            for one in content.get("analyses", ())
        ),
        parity=tuple(map(_parity, content.get("parity", ()))),
        twins=dict(content.get("twins", {})),
        damage=row_of(PlannedDamage, content["damage"]) if "damage" in content else None,
    )


def _parity(study: dict[str, Any]) -> PlannedParity:
    tuples = {key: tuple(value) for key, value in study.items() if isinstance(value, list)}
    readings = {name: tuple(ids) for name, ids in study["readings"].items()}
    return row_of(PlannedParity, {**study, **tuples, "readings": readings})


def _axes(cell: dict[str, Any]) -> CellAxes:
    layers = cell["layers"]
    return row_of(CellAxes, cell if layers is None else {**cell, "layers": tuple(layers)})
