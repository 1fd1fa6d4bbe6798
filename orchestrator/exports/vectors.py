"""The vectors that leave a results folder: of a steering as its cells had it, or all layers' of a direction set."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.sites import HEADS, OUTPUT, head_of
from actors.types import Action, FloatArray
from orchestrator.errors import InputError
from orchestrator.loaded import Results
from orchestrator.results.cell_axes import parts_after
from orchestrator.results.rows import CellRow
from orchestrator.storage.local import write_for_people

_READ = {
    OUTPUT: "the output of decoder block l",
    "input": "the input of decoder block l",
    "attention": "what attention of decoder block l adds to the residual stream",
    "mlp": "what the MLP of decoder block l adds to the residual stream",
    HEADS: "the outputs of the heads of decoder block l side by side, as the output projection of attention reads them",
}
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


def convention(site: str) -> str:
    """What a layer's number means in a file of vectors of ``site``, in words."""
    head = head_of(site)
    what = _READ[site] if head is None else f"the output of head {head} of decoder block l, as the output projection reads it"
    return f"layer l is {what}, counted from 0"


def each_vectors(
    write: Writer, suffix: str, outputs_only: bool = False
) -> Callable[[Results, Sequence[CellRow] | None, Path], list[Path]]:
    """An export that writes one file for each of ``vectors_of``; ``outputs_only``: the form can say no site but block outputs,
    and vectors of another are an InputError."""

    def written(results: Results, chosen: Sequence[CellRow] | None, folder: Path) -> list[Path]:
        found = vectors_of(results, chosen)
        if outputs_only and (other := next((one for one in found if one.told["site"] != OUTPUT), None)):
            what = f"{other.name} is of site {other.told['site']}: this form is for what is added to block outputs"
            raise InputError.because(what, allowed="npz or pt, or a selection of cells that are steered at block outputs")
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
        if other := next((row for row in steered if not _plain(row)), None):
            what = f"{other.cell_id} is steered otherwise ({other.action}): a file of vectors can say none of it"
            allowed = "cells with plain additions at every token: positions=all,strength=absolute,schedule=constant"
            raise InputError.because(what, allowed=allowed)
        found = [one for row in steered for one in _of_cell(row, sets)]
    if not found:
        raise InputError.because("there is no direction to export", allowed="a selection with steered cells, or none")
    return list({one.name: one for one in found}.values())


def _sets(results: Results, templates: dict[str, str]) -> dict[str | None, LayerVectors]:
    found: dict[str | None, LayerVectors] = {}
    for row in results.directions.iter_rows(named=True):
        told = {
            key: str(row[key]) for key in ("direction_id", "model", "quantization", "dtype", "behavior", "method", "extractor")
        }
        site = str(json.loads(row["method_options"] or "{}").get("site", OUTPUT))
        told |= _at_site(site) | {"operation": "addition", "template_sha256": templates.get(row["variant"], "")}
        parts = (row["model"], row["behavior"], row["method"], "" if site == OUTPUT else site)
        named = "-".join(str(part) for part in parts if part)
        name = file_name(f"{named}-{row['direction_id'].removeprefix('direction-')[:6]}")
        one = found.setdefault(row["direction_id"], LayerVectors(name, {}, None, told))
        if row["vector"] is not None:
            one.at[row["layer"]] = np.asarray(row["vector"], np.float32)
    return found


def _at_site(site: str) -> dict[str, str]:
    return {"site": site, "layer_convention": convention(site)}


def _plain(row: CellRow) -> bool:
    """Whether all that it does is to add multiples of directions as they were found, always and at every token."""
    more = parts_after(row)
    if row.when or row.orthogonal or any("when" in part for part in more):
        return False
    first = Action(**{name: getattr(row, name) for name in Action.names()})
    return not any(one.words for one in (first, *map(_action, more)))


def _action(part: Mapping[str, Any]) -> Action:
    return Action(1.0, **{name: part[name] for name in Action.names() if name in part})


def _of_cell(row: CellRow, sets: Mapping[str | None, LayerVectors]) -> Iterator[LayerVectors]:
    """Of each direction that steers the cell, where there are several with which of them it is."""
    more, multiplier = parts_after(row), row.multiplier or 0.0
    several = 1 + len(more)
    listed = row.layers or ()
    first = "-".join(map(str, listed)) if row.scope == "list" else row.direction_layer
    places = [(row.direction_id, row.source_layer, listed, f"{row.scope}-layer{first}", multiplier)]
    for part, strength in zip(more, row.then_multipliers or (), strict=True):
        layers = tuple(part["layers"])
        places.append((part["direction_id"], part["source_layer"], layers, f"layer{layers[0]}", strength))
    for number, (direction, source_layer, layers, where, strength) in enumerate(places, start=1):
        if direction not in sets:
            continue
        source = sets[direction]
        at = {layer: source.at[layer if source_layer is None else source_layer] for layer in layers}
        told = {"steered_model": row.model, "source_layer": str(source_layer), "layers": json.dumps(list(layers))}
        told |= {"part": f"{number} of {several}", "cell_id": row.cell_id} if several > 1 else {}
        mark = f"-part{number}of{several}-{row.cell_id.removeprefix('cell-')[:6]}" if several > 1 else ""
        name = file_name(f"{source.name}-{row.model}-{where}-x{strength:g}{mark}")
        read = {} if source.told["site"] == OUTPUT else {"direction_read_at": source.told["site"]}
        yield LayerVectors(name, at, strength, {**source.told, **_at_site(OUTPUT), **read, **told})


def file_name(text: str) -> str:
    """``text`` with nothing in it that a path or a shell would read."""
    return _NAME.sub("-", text)
