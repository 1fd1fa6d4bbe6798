"""What a script or a notebook asks of a results folder: its tables as frames, a direction as an array, a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.cells import CellKey
from orchestrator.compare.answer import Request, comparisons
from orchestrator.compare.comparison import Comparison, Outcomes, Question
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.filters import matches, value_text
from orchestrator.results.frames import Frames, load_frames
from orchestrator.results.rate_rows import RateRow
from orchestrator.results.rows import CellRow
from orchestrator.results.schema import CELLS, RATES
from orchestrator.results.which import results_named
from orchestrator.scoring import Label

_TOLD = ("model", "quantization", "dtype", "behavior", "method", "method_options", "extractor")
"""The columns that tell direction sets apart, for people."""


class Results(Frames):
    """What is finished of a sweep: the polars frames ``cells``, ``responses``, ``scores``, ``rates``, ``directions`` and
    ``transfer``, of which docs/results.md says every column."""

    def direction(self, layer: int | None = None, **chosen: str) -> npt.NDArray[np.float32]:
        """The unit vector ``[d]`` at ``layer`` of the one direction set that ``chosen`` means by columns of ``directions``
        (``model``, ``behavior``, ``method``, ...); where ``layer`` is None ``[L, d]``, of all its layers (those of a file, or of
        another site, may be some of the model's) in the order of ``directions``.

        InputError for a name that is not there, with the nearest, and where several sets are meant.
        """
        frame = self.directions
        for column, value in chosen.items():
            if column not in frame.columns:
                raise _unknown("direction", column, frame.columns, "there is no such column")
            known = list(dict.fromkeys(value_text(one) for one in frame[column]))
            frame = frame.filter([matches(one, str(value)) for one in frame[column]])
            if frame.is_empty():
                raise _unknown(column, value, known, "none of the direction sets has it")
        sets = frame.unique("direction_id", maintain_order=True)
        if sets.height != 1:
            differing = {name: known for name in _TOLD if len(known := list(dict.fromkeys(map(str, sets[name])))) > 1}
            told = "; ".join(f"{name}={' or '.join(known)}" for name, known in differing.items())
            raise InputError.because(f"{sets.height} direction sets are meant", "direction", chosen or None, told or "one set")
        if layer is not None and layer not in frame["layer"]:
            raise InputError.because("there is no such layer", "layer", layer, _ranges(sorted(frame["layer"])))
        vectors = np.stack([np.asarray(one, np.float32) for one in frame["vector"]])
        return vectors if layer is None else vectors[frame["layer"].to_list().index(layer)]

    def compare(
        self, *sides: str, by: str | None = None, against: object = None, where: str = "", label: str = "outcome:success"
    ) -> tuple[Comparison, ...]:
        """Two selections of cells against each other, or every level of the column ``by`` with the level ``against``: what
        ``python -m orchestrator compare`` does, in its words. InputError as there."""
        question = Question(label)
        reference = None if against is None else str(against)
        request = Request(("these results", *sides), by, reference, where, question=question)
        return tuple(comparisons(request, self.rows, self._rates, lambda row: self._outcomes(row, question)))

    @cached_property
    def rows(self) -> list[CellRow]:
        """``cells`` as typed rows."""
        return CELLS.typed(self.cells.drop("layer").to_arrow())

    @cached_property
    def _rates(self) -> list[RateRow]:
        return RATES.typed(self.rates.to_arrow())

    @cached_property
    def _labels(self) -> Mapping[CellKey, list[Label]]:
        columns = ("cell_id", "behavior", "prompt_id", "label", "evidence", "classifier", "answer", "outcome", "sample")
        found: dict[CellKey, list[Label]] = {}
        for cell_id, behavior, *label in self.responses.drop_nulls("label").select(columns).iter_rows():
            found.setdefault((cell_id, behavior), []).append(Label(*label))
        return found

    def _outcomes(self, row: CellRow, question: Question) -> Outcomes:
        return {label.key: question.counts(label) for label in self._labels.get(row.key, ())}


def load_results(results: str | Path) -> Results:
    """The results that are named as for every command: by a results folder or its ``s3://`` URL, a sweep file, or the name of
    either; of this version or an earlier one, finished or in progress.

    Nothing in the folder is written or moved. InputError where there are no such results or a newer version wrote them,
    ``StorageError`` when the disk or the network refuses, ``UnreadableFileError`` for a damaged table.
    """
    return Results(**vars(load_frames(results_named(results))))


def _ranges(layers: Sequence[int]) -> str:
    """``0..29``; where some are missing all that are there, ``3, 7``."""
    whole = len(layers) > 1 and layers[-1] - layers[0] == len(layers) - 1
    return f"{layers[0]}..{layers[-1]}" if whole else ", ".join(map(str, layers))


def _unknown(field: str, value: object, known: Any, message: str) -> InputError:
    return InputError(Problem(field, value, message, ", ".join(known), nearest_name(value, known)))
