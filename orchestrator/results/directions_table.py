"""The stored direction sets side by side: the rows of ``directions.parquet``, and cosines between stored directions.

Everything is computed from what is stored, so it does not matter which model was finished first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np

from actors.types import Direction, DirectionSet, FloatArray
from orchestrator.results.comparison_rows import DirectionRow
from orchestrator.results.direction_file import DirectionSource
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import PlannedCells, PlannedDirection
from orchestrator.results.rows import CellRow
from orchestrator.storage import UnreadableFileError

_T = TypeVar("_T")

SETS_KEPT = 32
PREFERRED = ("float32", "bfloat16", "float16")
"""The full precision that a quantized model is compared with, the first that there is."""


def cosine(first: FloatArray, second: FloatArray) -> float:
    """The cosine of two vectors ``[d]``, in float64; ValueError when their widths differ."""
    if first.shape != second.shape:
        raise ValueError(f"directions of {first.shape[0]} and {second.shape[0]} components have no cosine")
    a, b = first.astype(np.float64), second.astype(np.float64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


class StoredDirections:
    """The direction sets of a results folder, read when they are asked for; a damaged file counts as none."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.damaged: list[str] = []
        """Ids of the sets that were found damaged, and moved away."""
        self._read = lru_cache(maxsize=SETS_KEPT)(self._read_set)
        self.sources: Mapping[str, DirectionSource] = {
            direction_id: source
            for direction_id in sorted(folder.ids("directions"))
            if (source := self._source(direction_id)) is not None
        }

    def at(self, direction_id: str | None, layer: int | None) -> Direction | None:
        """The direction of a set at ``layer``; None when there is none."""
        found = None if direction_id is None or direction_id not in self.sources else self._read(direction_id)
        return None if found is None else next((one for one in found.directions if one.layer == layer), None)

    def set(self, direction_id: str) -> DirectionSet | None:
        """A whole set; None when it is not stored."""
        return self._read(direction_id) if direction_id in self.sources else None

    def cosine(self, first: tuple[str | None, int | None], second: tuple[str | None, int | None]) -> float | None:
        """Between the directions of two (set, layer); None when one is not stored or their widths differ."""
        one, other = self.at(*first), self.at(*second)
        if one is None or other is None or one.vector.shape != other.vector.shape:
            return None
        return cosine(one.vector, other.vector)

    def full_precision(self, direction_id: str) -> str | None:
        """The set that a quantized model's set is compared with; None when it is not quantized or there is none."""
        source = self.sources.get(direction_id)
        if source is None or source.quantization == "none":
            return None
        candidates = [
            (PREFERRED.index(other.dtype), other_id)
            for other_id, other in self.sources.items()
            if other.quantization == "none" and other.dtype in PREFERRED and other.kin == source.kin
        ]
        return min(candidates)[1] if candidates else None

    def _source(self, direction_id: str) -> DirectionSource | None:
        return self._unless_damaged(direction_id, self._folder.direction_source)

    def _read_set(self, direction_id: str) -> DirectionSet | None:
        return self._unless_damaged(direction_id, self._folder.direction)

    def _unless_damaged(self, direction_id: str, read: Callable[[str], _T]) -> _T | None:
        try:
            return read(direction_id)
        except FileNotFoundError:
            return None
        except UnreadableFileError:
            self.damaged.append(direction_id)
            return None


def direction_rows(stored: StoredDirections, planned: PlannedCells) -> list[DirectionRow]:
    """One row per stored direction set of the plan and layer, in the plan's order."""
    users = {cell.direction_id: cell for cell in reversed(planned.cells) if cell.direction_id is not None}
    sizes = {model.variant: model.n_layers for model in planned.models}
    rows: list[DirectionRow] = []
    for direction in planned.directions:
        if direction.id in stored.sources:
            user = users.get(direction.id)
            model = (user.source_model if user else None) or planned.named(direction.variant)
            about = _About(direction, model, user.behavior if user else "", sizes.get(direction.variant))
            rows += _layer_rows(stored, about)
    return rows


def add_cosines(rows: list[CellRow], directions: Iterable[DirectionRow], cross: Callable[[CellRow], float | None]) -> None:
    """Give ``rows`` the cosine of their direction to full precision, and the transfer cells ``cross`` of them."""
    to_full: dict[tuple[str | None, int | None], float | None] = {
        (one.direction_id, one.layer): one.full_precision_cosine for one in directions
    }
    for place, row in enumerate(rows):
        if row.steered:
            rows[place] = replace(
                row,
                direction_cosine_to_full_precision=to_full.get((row.direction_id, row.direction_layer)),
                cross_cosine=cross(row) if row.is_transfer else None,
            )


@dataclass(frozen=True)
class _About:
    """What the plan says of a direction set."""

    direction: PlannedDirection
    model: str
    behavior: str
    n_layers: int | None


def _layer_rows(stored: StoredDirections, about: _About) -> Iterator[DirectionRow]:
    direction_id, source = about.direction.id, stored.sources[about.direction.id]
    found, reference = stored.set(direction_id), stored.full_precision(direction_id)
    if found is None:
        return
    for direction, residual_norm in zip(found.directions, found.residual_norms, strict=True):
        layer = direction.layer
        same = stored.at(reference, layer)
        yield DirectionRow(
            direction_id=direction_id,
            variant=about.direction.variant,
            model=about.model,
            quantization=source.quantization,
            dtype=source.dtype,
            behavior=about.behavior,
            prompts_sha256=source.prompts_sha256,
            method=source.method,
            method_options=source.options,
            extractor=source.extractor,
            layer=layer,
            n_layers=about.n_layers,
            depth=layer / about.n_layers if about.n_layers else None,
            raw_norm=direction.raw_norm,
            residual_norm=residual_norm,
            selected=layer == found.selected_layer,
            full_precision_direction_id=None if same is None else reference,
            full_precision_cosine=stored.cosine((direction_id, layer), (reference, layer)),
            full_precision_raw_norm=None if same is None else same.raw_norm,
            warning=found.record.get("warning") if layer == found.selected_layer else None,
        )
