"""A results folder as polars frames, for analysis in a notebook or a script. Nothing in the folder is written or moved."""

from __future__ import annotations

import logging
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from orchestrator.results import schema
from orchestrator.results.compaction import compact
from orchestrator.results.directions_table import StoredDirections
from orchestrator.results.folder import Folder
from orchestrator.results.plan_file import decode_plan
from orchestrator.results.remembered import is_current
from orchestrator.storage import Place, StoredFile, UnreadableFileError

signal.siginterrupt(signal.SIGINT, True)  # polars takes the signal, and has ctrl-C end no wait any more

_LAYOUTS: Mapping[str, schema.Layout[Any]] = {
    "cells.parquet": schema.CELLS,
    "responses.parquet": schema.RESPONSES,
    "directions.parquet": schema.DIRECTIONS,
    "transfer.parquet": schema.TRANSFERS,
    "rates.parquet": schema.RATES,
    "scores.parquet": schema.SCORES,
}
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Frames:
    """What is finished of a sweep; docs/results.md says every column.

    ``cells`` has a column ``layer`` more, the first steered one, and ``directions`` one ``vector``, the unit direction in
    float32: an array of fixed width where all have one, else a list. ``others``: whatever other tables lie in the folder, by the
    name of their file without its ending.
    """

    cells: pl.DataFrame
    responses: pl.DataFrame
    directions: pl.DataFrame
    transfer: pl.DataFrame
    rates: pl.DataFrame
    scores: pl.DataFrame
    others: Mapping[str, pl.DataFrame]

    def __repr__(self) -> str:
        counts = {"cells": self.cells, "responses": self.responses, "directions": self.directions.unique("direction_id")}
        told = ", ".join(f"{frame.height} {name}" for name, frame in counts.items())
        return f"{type(self).__name__}({told})"

    @property
    def prompts(self) -> pl.DataFrame:
        """Every labelled cell prompt by prompt: its responses ``n``, how many succeed, their commonest ``label`` (on a tie the
        first by name), and the share that has it, ``stability``."""
        by = ("cell_id", "behavior", "prompt_id")
        counts = (
            self.responses.drop_nulls("label")
            .group_by(*by, "label", maintain_order=True)
            .agg(pl.len().alias("k"), (pl.col("outcome") == "success").sum().alias("success_n"))
        )
        told = (
            pl.col("k").sum().alias("n"),
            pl.col("success_n").sum(),
            pl.col("label").sort_by("k", "label", descending=[True, False]).first(),
            (pl.col("k").max() / pl.col("k").sum()).alias("stability"),
        )
        return counts.group_by(*by, maintain_order=True).agg(*told)


def load_frames(place: Place) -> Frames:
    """The results at ``place``, of this version or an earlier one, finished or in progress.

    Where the tables there are behind what is finished, they are made of the finished parts, aside. A damaged part is left out
    with a warning. InputError when it is no results folder or a newer version wrote it, ``StorageError`` when the disk
    or the network refuses, ``UnreadableFileError`` for a damaged table.
    """
    there = Folder(place)
    planned = decode_plan(there.plan)
    if is_current(there, planned):
        return _read(there)
    with tempfile.TemporaryDirectory() as scratch:
        aside = _Aside(place, Path(scratch))
        compact(aside, planned)
        return _read(aside)


def asked_once(table: pl.DataFrame) -> pl.DataFrame:
    """The rows of a table but for those of cells that an earlier behavior shares: every response is there once."""
    first = table.select("cell_id", "behavior").unique("cell_id", keep="first", maintain_order=True)
    return table.join(first, on=["cell_id", "behavior"], how="semi", nulls_equal=True, maintain_order="left")


class _Aside(Folder):
    """A results folder whose tables are made in ``scratch``, and in which damaged files stay where they are."""

    def __init__(self, place: Place, scratch: Path) -> None:
        super().__init__(place)
        made = Folder(scratch)
        for name, file in vars(self).items():
            if isinstance(file, StoredFile) and (file.name.endswith(".parquet") or file is self.compacted):
                setattr(self, name, getattr(made, name))
        self.analyses = made.analyses

    def keep(self, file: StoredFile, content: bytes) -> None:
        """Nothing in the folder is written."""

    def quarantine(self, error: UnreadableFileError) -> None:
        _LOG.warning("damaged, left out: %s", error)


def _read(folder: Folder) -> Frames:
    tables = folder.cells.files
    found = {name: _frame(StoredFile(tables, name)) for name in sorted(tables.names("")) if name.endswith(".parquet")}
    cells, responses, directions, transfer, rates, scores = (found.pop(name) for name in _LAYOUTS)
    cells = cells.with_columns(pl.col("layers").list.first().alias("layer"))
    others = {name.removesuffix(".parquet"): frame for name, frame in found.items()}
    return Frames(cells, responses, _with_vectors(directions, StoredDirections(folder)), transfer, rates, scores, others)


def _frame(file: StoredFile) -> pl.DataFrame:
    table, layout = schema.read_table(file), _LAYOUTS.get(file.name)
    return cast("pl.DataFrame", pl.from_arrow(table if layout is None else layout.completed(table, file)))


def _with_vectors(directions: pl.DataFrame, stored: StoredDirections) -> pl.DataFrame:
    at = directions.select("direction_id", "layer").iter_rows()
    found = [stored.at(direction_id, layer) for direction_id, layer in at]
    widths = {one.vector.size for one in found if one is not None}
    kind = pl.Array(pl.Float32, *widths) if len(widths) == 1 else pl.List(pl.Float32)
    vectors = [None if one is None else pl.Series(one.vector) for one in found]
    return directions.with_columns(pl.Series("vector", vectors, pl.List(pl.Float32)).cast(kind))
