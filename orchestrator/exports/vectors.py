"""The vectors that leave a results folder: of a steering as its cells had it, or all layers' of a direction set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.types import FloatArray
from orchestrator.errors import InputError
from orchestrator.loaded import Results
from orchestrator.results.rows import CellRow
from orchestrator.storage.local import write_for_people

CONVENTION = "layer l is the output of decoder block l, counted from 0"
_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, eq=False)
class LayerVectors:
    """Unit vectors by layer, what they are called, and in words where they come from: ``told``. ``scale``: what to multiply them
    with to have what a cell had (None: they are no cell's)."""

    name: str
    at: dict[int, FloatArray]
    scale: float | None
    told: dict[str, str]


Writer = Callable[[LayerVectors, Path], None]


def each_vectors(write: Writer, suffix: str) -> Callable[[Results, Sequence[CellRow] | None, Path], list[Path]]:
    """An export that writes one file for each of ``vectors_of``."""

    def written(results: Results, chosen: Sequence[CellRow] | None, folder: Path) -> list[Path]:
        found = vectors_of(results, chosen)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{one.name}{suffix}" for one in found]
        for one, path in zip(found, paths, strict=True):
            beside = path.with_name(f".{path.name}.new")
            write(one, beside)
            write_for_people(path, beside.read_bytes())
            beside.unlink()
        return paths

    return written


def vectors_of(results: Results, chosen: Sequence[CellRow] | None) -> list[LayerVectors]:
    """One for each steering of the cells ``chosen``; None: for each direction set, all its layers. InputError where there is
    none, and for a steering that is not just adding a multiple at every token: a file of vectors cannot say it."""
    templates = {row.variant: row.template_sha256 or "" for row in results.rows}
    sets = _sets(results, templates)
    if chosen is None:
        found = list(sets.values())
    else:
        steered = [row for row in chosen if row.steered]
        if other := next((row for row in steered if row.action), None):
            what = f"{other.cell_id} is steered otherwise ({other.action}): a file of vectors can say none of it"
            allowed = "cells with plain additions at every token: positions=all,strength=absolute,schedule=constant"
            raise InputError.because(what, allowed=allowed)
        found = [_of_cell(row, sets[row.direction_id]) for row in steered if row.direction_id in sets]
    if not found:
        raise InputError.because("there is no direction to export", allowed="a selection with steered cells, or none")
    return list({one.name: one for one in found}.values())


def _sets(results: Results, templates: dict[str, str]) -> dict[str | None, LayerVectors]:
    found: dict[str | None, LayerVectors] = {}
    for row in results.directions.iter_rows(named=True):
        told = {
            key: str(row[key]) for key in ("direction_id", "model", "quantization", "dtype", "behavior", "method", "extractor")
        }
        told |= {"layer_convention": CONVENTION, "operation": "addition", "template_sha256": templates.get(row["variant"], "")}
        named = "-".join(str(row[key]) for key in ("model", "behavior", "method"))
        name = file_name(f"{named}-{row['direction_id'].removeprefix('direction-')[:6]}")
        one = found.setdefault(row["direction_id"], LayerVectors(name, {}, None, told))
        if row["vector"] is not None:
            one.at[row["layer"]] = np.asarray(row["vector"], np.float32)
    return found


def _of_cell(row: CellRow, source: LayerVectors) -> LayerVectors:
    layers = row.layers or ()
    at = {layer: source.at[layer if row.source_layer is None else row.source_layer] for layer in layers}
    steered = {"steered_model": row.model, "source_layer": str(row.source_layer), "layers": json.dumps(list(layers))}
    name = file_name(f"{source.name}-{row.model}-{row.scope}-layer{row.direction_layer}-x{row.multiplier:g}")
    return LayerVectors(name, at, row.multiplier, {**source.told, **steered})


def file_name(text: str) -> str:
    """``text`` with nothing in it that a path or a shell would read."""
    return _NAME.sub("-", text)
