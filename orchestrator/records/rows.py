"""The rows of the results tables as frozen dataclasses. Knows no file and no pyarrow; ``schema`` gives the columns their types.

A field that does not apply is None: a baseline has no steering axes, an unlabelled cell has no tally.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from actors.types import CellResult, DirectionSet, ModelSpec
from orchestrator.cells import Cell, SteeringSpec, variant_id
from orchestrator.scoring import LABELS, Label, LabelName
from orchestrator.statistics import wilson

if TYPE_CHECKING:
    from orchestrator.planning.models import ModelShape


@dataclass(frozen=True)
class SteeredAt:
    """Where a cell was steered: absolute ``layers``, ascending, and the layer whose direction acted (None: each its own)."""

    layers: tuple[int, ...]
    source_layer: int | None


@dataclass(frozen=True, kw_only=True)
class CellAxes:
    """Where a cell lies in the sweep: its ids and every axis. ``n`` counts its prompts; layers are absolute, 0-based.

    ``model``, ``behavior``, ``family``, ``source_model``, ``scope`` and ``depth`` are the sweep's own words.
    ``location`` is a hub repo id, an embedded model's name, or the base name of a folder (paths stay out of results).
    ``source_layer`` is None for the scope ``own``. ``method_options`` is a JSON object. ``layer_selected``: the method
    chose the layer; ``layers`` and ``source_layer`` are then None until the cell is finished. ``in_sample``: the cell's
    prompts are those that chose its setting (False: held-out prompts; None: the sweep chooses nothing).
    """

    cell_id: str
    direction_id: str | None
    variant: str
    model: str
    source: str
    location: str
    revision: str | None
    adapter: bool
    dtype: str
    quantization: str
    system_prompt: str | None
    model_fingerprint: str
    family: str
    n_layers: int | None
    d_model: int | None
    behavior: str
    n: int
    max_new_tokens: int
    method: str | None
    method_options: str | None
    extractor: str | None
    source_model: str | None
    is_transfer: bool
    scope: str | None
    source_layer: int | None
    depth: float | None
    layers: tuple[int, ...] | None
    intervention: str | None
    multiplier: float | None
    layer_selected: bool = False
    in_sample: bool | None = None


@dataclass(frozen=True, kw_only=True)
class CellMeasures:
    """What the run measured in a cell.

    ``direction_raw_norm`` and ``extraction_residual_norm`` belong to the direction's layer in its source model (with the
    scope ``own``: to the first steered layer). ``residual_norm`` is the target's, at the first steered layer of the
    cell's own prompts, and ``norm_ratio`` = multiplier / residual_norm. ``fired`` and the three numbers after it: see
    ``actors.types.FiredCheck``. ``provenance`` is a JSON object of strings; ``finished_at`` is UTC.
    """

    direction_raw_norm: float | None
    extraction_residual_norm: float | None
    residual_norm: float | None
    norm_ratio: float | None
    fired: bool | None
    shift_ratio_min: float | None
    shift_ratio_max: float | None
    off_axis_max: float | None
    new_tokens: int
    seconds: float
    attempt: int
    worker: str | None
    template_sha256: str | None
    provenance: str
    finished_at: datetime


@dataclass(frozen=True, kw_only=True)
class CellTally:
    """What the labels say of a cell: counts, rates (0 to 1) and their 95 % Wilson intervals. ``labelled_at`` is UTC.

    Four fields for every label of ``scoring.LABELS``; rates are shares of all its responses, whatever their label.
    """

    classifier: str | None = None
    labelled_at: datetime | None = None
    coherent_refusal_n: int | None = None
    coherent_refusal_rate: float | None = None
    coherent_refusal_low: float | None = None
    coherent_refusal_high: float | None = None
    garbled_n: int | None = None
    garbled_rate: float | None = None
    garbled_low: float | None = None
    garbled_high: float | None = None
    normal_n: int | None = None
    normal_rate: float | None = None
    normal_low: float | None = None
    normal_high: float | None = None
    no_answer_n: int | None = None
    no_answer_rate: float | None = None
    no_answer_low: float | None = None
    no_answer_high: float | None = None


@dataclass(frozen=True, kw_only=True)
class CellGeometry:
    """What the stored files say of a cell beside its own measures.

    ``prompts_sha256``: digest of its test prompts (``digest_of``). ``direction_cosine_to_full_precision``: between the
    direction that steered and that of the same model unquantized (None: not quantized, or none at hand). ``cross_cosine``
    of a transfer cell: between that direction and the target's own at the corresponding layer. With the scopes ``own`` and
    ``list`` both are those of the first steered layer.
    """

    prompts_sha256: str | None = None
    direction_cosine_to_full_precision: float | None = None
    cross_cosine: float | None = None


@dataclass(frozen=True, kw_only=True)
class CellRow(CellAxes, CellMeasures, CellTally, CellGeometry):
    """One row of ``cells.parquet``: a finished cell of the plan."""

    def count(self, label: LabelName) -> int:
        """Responses with ``label``; 0 for an unlabelled cell (ask ``labelled`` first)."""
        count: int | None = getattr(self, f"{label}_n")
        return count or 0

    @property
    def labelled(self) -> bool:
        """Whether the cell's responses have labels."""
        return getattr(self, f"{LABELS.target}_n") is not None

    @property
    def steered(self) -> bool:
        """False for a baseline."""
        return self.multiplier is not None

    @property
    def layer(self) -> int | None:
        """The first steered layer."""
        return self.layers[0] if self.layers else None

    @property
    def direction_layer(self) -> int | None:
        """The layer of the source model whose direction acted; with a direction per layer, the first."""
        return self.layer if self.source_layer is None else self.source_layer

    @property
    def relative_depth(self) -> float | None:
        """The first steered layer as a share of the depth: as asked in the sweep, else layer / layers."""
        if self.depth is not None or self.layer is None or not self.n_layers:
            return self.depth
        return self.layer / self.n_layers


def axes_of(cell: Cell, shape: ModelShape | None = None, in_sample: bool | None = None) -> CellAxes:
    """The axes of ``cell``; ``shape`` is its target's (None: sizes unknown)."""
    target, labels, steering = cell.target, cell.labels, cell.steering
    at = planned_at(steering)
    return CellAxes(
        cell_id=cell.id,
        variant=variant_id(target),
        model=labels.model,
        source=target.source,
        location=_location(target),
        revision=target.revision,
        adapter=target.adapter is not None,
        dtype=target.dtype,
        quantization=target.quantization,
        system_prompt=target.system_prompt,
        model_fingerprint=target.fingerprint,
        family=labels.family,
        n_layers=None if shape is None else shape.n_layers,
        d_model=None if shape is None else shape.d_model,
        behavior=labels.behavior,
        n=len(cell.prompts),
        max_new_tokens=cell.decoding.max_new_tokens,
        source_model=None if steering is None else labels.source_model or labels.model,
        is_transfer=cell.is_transfer,
        scope=labels.scope,
        depth=labels.depth,
        direction_id=None if steering is None else steering.direction.id,
        method=None if steering is None else steering.direction.method,
        method_options=None if steering is None else canonical_json(dict(steering.direction.options)),
        extractor=None if steering is None else steering.direction.extractor,
        source_layer=None if at is None else at.source_layer,
        layers=None if at is None else at.layers,
        intervention=None if steering is None else steering.intervention,
        multiplier=None if steering is None else float(steering.multiplier),
        layer_selected=steering is not None and at is None,
        in_sample=in_sample,
    )


def planned_at(steering: SteeringSpec | None) -> SteeredAt | None:
    """Where a plan says that a cell is steered; None for a baseline and where the method chooses the layer."""
    if steering is None or isinstance(steering.source_layer, str):
        return None
    return SteeredAt(steering.layers, steering.source_layer)


@dataclass(frozen=True)
class Steered:
    """The direction set that steered a cell (None: not at hand) and where it acted (None: baseline, or not known)."""

    found: DirectionSet | None
    at: SteeredAt | None


def measures_of(cell: Cell, result: CellResult, steered: Steered, attempt: int, finished_at: datetime) -> CellMeasures:
    """What ``result`` measured."""
    raw_norm, extraction_norm = _norms(steered)
    multiplier = None if cell.steering is None else cell.steering.multiplier
    ratio = multiplier / result.residual_norm if multiplier is not None and result.residual_norm else None
    return CellMeasures(
        direction_raw_norm=raw_norm,
        extraction_residual_norm=extraction_norm,
        residual_norm=result.residual_norm,
        norm_ratio=ratio,
        **asdict(result.fired),
        new_tokens=result.new_tokens,
        seconds=float(result.seconds),
        attempt=attempt,
        worker=result.provenance.get("worker"),
        template_sha256=result.provenance.get("template_sha256"),
        provenance=canonical_json(dict(result.provenance)),
        finished_at=finished_at,
    )


def tally_of(labels: Sequence[Label], labelled_at: datetime) -> CellTally:
    """Counts, rates and intervals of a cell's labels; ``UnknownLabelError`` for one that is not in the set."""
    counts: dict[str, int | float | None] = {}
    n = len(labels)
    for name, k in LABELS.counts(label.label for label in labels).items():
        interval = wilson(k, n)
        counts |= {f"{name}_n": k, f"{name}_rate": k / n if n else None}
        counts |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
    classifiers = ", ".join(sorted({label.classifier for label in labels})) or None
    return CellTally(classifier=classifiers, labelled_at=labelled_at, **counts)  # type: ignore[arg-type]


def canonical_json(content: Mapping[str, object]) -> str:
    """``content`` as JSON with sorted keys; ValueError for NaN and infinity."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def digest_of(content: object) -> str:
    """A SHA-256 over the canonical JSON of ``content``, 20 hex digits."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def _location(model: ModelSpec) -> str:
    return Path(model.location).resolve().name if model.source == "folder" else model.location


def _norms(steered: Steered) -> tuple[float | None, float | None]:
    found, at = steered.found, steered.at
    if found is None or at is None:
        return None, None
    layer = at.layers[0] if at.source_layer is None else at.source_layer
    return found.at(layer).raw_norm, found.residual_norm_at(layer)
