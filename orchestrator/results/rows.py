"""The rows of the results tables as frozen dataclasses, whose fields declare the columns (see ``columns``). Knows no file.

A field that does not apply is None: a baseline has no steering axes, an unlabelled cell has no tally.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

from actors.interventions import INTERVENTIONS
from actors.types import Action, CellResult, DirectionSet, ModelSpec
from orchestrator.cells import Cell, SteeringSpec, variant_id
from orchestrator.clusters import spread_of, stability
from orchestrator.damage import MeasuredDamage
from orchestrator.models.layers import corresponding_layer, steered_layers
from orchestrator.outcome import COUNTED, OUTCOMES, Outcome
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import Axis, Int16
from orchestrator.results.part_axes import axes_of_parts, decisions_of
from orchestrator.results.rate_rows import INTERVAL, Given
from orchestrator.scoring import LABELS, LabelSet
from orchestrator.statistics import Interval, mean_of

if TYPE_CHECKING:
    from orchestrator.models.files import ModelShape


@dataclass(frozen=True)
class SteeredAt:
    """Where a cell was steered: absolute ``layers``, ascending, and the layer whose direction acted (None: each its own)."""

    layers: tuple[int, ...]
    source_layer: int | None


_COUNTED = f"how many of the `n` responses, as a share of them, and the ends of its {INTERVAL}; null without labels"
_OTHER = "ends of the interval of all other responses, of which there are so many as is left of `n`"
_SPREAD = "of success from response to response, as the standard deviation {}; null without several samples"
_SUCCESS = f"success, responses with the label `target`: {_COUNTED}"
_GARBLED = f"garbled: {_COUNTED}"
_NO_ANSWER = f"the answer had not begun: {_COUNTED}, and in tables of earlier versions"
_KL = (
    "KL(unsteered ‖ steered) of the next token at the first answer tokens of neutral prompts, in nats: the mean, and the ends "
    "of its 95 % t interval over the prompts, which has no part below 0"
)
_MEANT = (
    "responses to prompts on which that direction is meant to act, as their category is one of the condition's contrast prompts "
    "of that class;"
)
_NOT_MEANT = "of those on which it is meant not to, in the same way,"
_SHIFT = "the smallest and the largest shift of the residual stream along the one that was asked, as a share of it; 1 is exact"


@dataclass(frozen=True, kw_only=True)
class CellPrompts:
    """What a cell was asked."""

    prompts_sha256: Annotated[
        str | None, "digest of the test prompts: cells with equal digests ran the same prompts in the same order", Axis.PROMPTS
    ] = None


@dataclass(frozen=True, kw_only=True)
class CellTally:
    """What the labels say of a cell: counts, rates (0 to 1) and their 95 % intervals; None without labels.

    Four fields for every outcome but ``other``, which is what is left of ``n``; rates are shares of all the cell's responses,
    whatever their label.
    """

    classifier: Annotated[
        str | None,
        "what decided, the scorer, the target, and what tells language from none: `language@1-1b2c3d4e=fr+coherence@6`",
    ] = None
    labelled_at: Annotated[datetime | None, "when the labels were given"] = None
    target: Annotated[str | None, "the label that counts as success, by its own name"] = None
    success_n: Annotated[int | None, _SUCCESS] = None
    success_rate: Annotated[float | None, _SUCCESS] = None
    success_low: Annotated[float | None, _SUCCESS] = None
    success_high: Annotated[float | None, _SUCCESS] = None
    garbled_n: Annotated[int | None, _GARBLED] = None
    garbled_rate: Annotated[float | None, _GARBLED] = None
    garbled_low: Annotated[float | None, _GARBLED] = None
    garbled_high: Annotated[float | None, _GARBLED] = None
    no_answer_n: Annotated[int | None, _NO_ANSWER] = None
    no_answer_rate: Annotated[float | None, _NO_ANSWER] = None
    no_answer_low: Annotated[float | None, _NO_ANSWER] = None
    no_answer_high: Annotated[float | None, _NO_ANSWER] = None
    other_low: Annotated[float | None, _OTHER] = None
    other_high: Annotated[float | None, _OTHER] = None
    success_between: Annotated[float | None, _SPREAD.format("of the prompts' own rates")] = None
    success_within: Annotated[float | None, _SPREAD.format("within a prompt")] = None
    stability: Annotated[
        float | None, "share of a prompt's responses that have its commonest label, mean over prompts; null as the two before"
    ] = None


@dataclass(frozen=True, kw_only=True)
class CellDamage:
    """What the steering does beside its effect, in nats; None where the sweep does not ask for it, or it is not measured yet."""

    kl: Annotated[float | None, _KL] = None
    kl_low: Annotated[float | None, _KL] = None
    kl_high: Annotated[float | None, _KL] = None
    loss: Annotated[
        float | None,
        "mean negative log-likelihood per token of the answers under the unsteered model, over the answers that have a token; "
        "that of the unsteered answers is in the row of the baseline",
    ] = None


@dataclass(frozen=True, kw_only=True)
class ResponseLoss:
    """How the unsteered model finds an answer, in nats per token; None where that is not measured, and for one without tokens."""

    loss: Annotated[
        float | None, "mean negative log-likelihood per token under the unsteered model, where damage is measured"
    ] = None
    loss_window: Annotated[
        float | None, "the largest such mean over 12 tokens in a row (over all where there are fewer): where the answer breaks"
    ] = None


def losses_of(found: MeasuredDamage) -> tuple[ResponseLoss, ...]:
    """Of each answer, in the order of the cell's responses; none where no answer's was wanted."""
    pairs = zip(found.losses, found.windows, strict=True)
    return tuple(ResponseLoss(loss=loss, loss_window=window) for loss, window in pairs)


def damage_of(found: MeasuredDamage) -> CellDamage:
    """The means of what was measured, and the interval over the neutral prompts."""
    kl = mean_of(found.kl, [str(number) for number in range(len(found.kl))], within=(0.0, None))
    loss = [one for one in found.losses if one is not None]
    return CellDamage(kl=kl.value, kl_low=kl.low, kl_high=kl.high, loss=fmean(loss) if loss else None)


@dataclass(frozen=True, kw_only=True)
class CellDirection:
    """The direction's own norms, at its layer in its source model (with the scope ``own``: at the first steered layer)."""

    direction_raw_norm: Annotated[float | None, "norm of the direction before it was made a unit vector, at its layer"]
    extraction_residual_norm: Annotated[float | None, "mean norm of the residual stream there, over the contrast prompts"]


@dataclass(frozen=True, kw_only=True)
class CellGeometry:
    """What the stored directions say of a cell. With the scopes ``own`` and ``list``: at the first steered layer."""

    direction_cosine_to_full_precision: Annotated[
        float | None,
        "for a quantized model, between the direction that steered and that of the same model unquantized (float32 before "
        "bfloat16 before float16), found by the same method, options, tool and prompts at the same layer; it does not matter "
        "which of the two models finished first",
    ] = None
    cross_cosine: Annotated[
        float | None,
        "for a transfer cell, between the direction that steered and the target's own at the corresponding layer",
    ] = None


@dataclass(frozen=True, kw_only=True)
class CellMeasures(CellDirection):
    """What the run measured in a cell."""

    residual_norm: Annotated[
        float | None,
        "mean norm of the residual stream at the first steered layer, over the test prompts; at another site than a block's "
        "output of what stands there; of several directions where the first one acts",
    ]
    norm_ratio: Annotated[
        float | None,
        "(of several directions, the first one's) multiplier / residual_norm; with relative strength the multiplier times the "
        "mean norm of the residual stream there over the contrast prompts, with scales times the first layer's; null where the "
        "multiplier is no length: a share, an angle, a place on a curve, or a function of one's own",
    ]
    fired: Annotated[bool | None, "whether the steering acted as asked, measured at every steered layer; null without any"]
    shift_ratio_min: Annotated[float | None, _SHIFT]
    shift_ratio_max: Annotated[float | None, _SHIFT]
    off_axis_max: Annotated[float | None, "the largest difference between measured and asked shift, as a share of what was asked"]
    stray_max: Annotated[
        float | None,
        "the largest measured shift at a token where none was asked, as a share of what would be asked there; null where every "
        "token that was looked at is steered (a prompt of which none is runs unsteered)",
    ] = None
    part_cosines: Annotated[
        tuple[float, ...] | None,
        "with several directions, of each pair of them (1 and 2, 1 and 3, ..., 2 and 3, ...): their cosine, before any is made "
        "orthogonal, at the first layer that both steer (else at each one's first); null for one direction, or where one is not "
        "at hand",
    ] = None
    thresholds: Annotated[
        tuple[float, ...] | None, "of the conditions of its directions, in order: what their cosines were compared with"
    ] = None
    threshold_accuracies: Annotated[
        tuple[float, ...] | None,
        "of learned ones, the balanced accuracy on the contrast prompts that did not choose them, which the direction was found "
        "from; null where a threshold was given",
    ] = None
    acted_n: Annotated[int | None, "with a condition, how many of its responses the first conditional direction steered"] = None
    hits: Annotated[int | None, f"{_MEANT} and it did"] = None
    misses: Annotated[int | None, f"{_MEANT} and it did not"] = None
    false_alarms: Annotated[int | None, f"{_NOT_MEANT} and it did"] = None
    correct_rejections: Annotated[int | None, f"{_NOT_MEANT} and it did not"] = None
    new_tokens: Annotated[int, "tokens of all its responses"]
    seconds: Annotated[float, "of work: its share of every forward pass"]
    attempt: Annotated[Int16, "which attempt succeeded, from 1"]
    worker: Annotated[str | None, "the worker that ran it"]
    template_sha256: Annotated[str | None, "digest of the chat template"]
    provenance: Annotated[str, "versions, device and settings as they ran, a JSON object of strings"]
    finished_at: Annotated[datetime, "when the responses were stored"]


@dataclass(frozen=True, kw_only=True, slots=True)
class CellRow(CellMeasures, CellGeometry, CellDirection, CellDamage, CellTally, CellPrompts, CellAxes):
    """One row of ``cells.parquet``: a finished cell of the plan. Its columns are those of the last base first."""

    def count(self, outcome: Outcome) -> int:
        """Responses that count as ``outcome``; 0 for an unlabelled cell (ask ``labelled`` first)."""
        if outcome == "other":
            return self.n - sum(map(self.count, COUNTED)) if self.labelled else 0
        count: int | None = getattr(self, f"{outcome}_n")
        return count or 0

    def interval(self, outcome: Outcome) -> Interval | None:
        """The 95 % interval of that share; None without labels or responses."""
        low, high = getattr(self, f"{outcome}_low"), getattr(self, f"{outcome}_high")
        return None if low is None or not self.n else Interval(low, high)

    @property
    def labelled(self) -> bool:
        """Whether the cell's responses have labels."""
        return self.success_n is not None

    @property
    def steered(self) -> bool:
        """False for a baseline."""
        return self.multiplier is not None

    @property
    def layer(self) -> Int16 | None:
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


NO_ACTION: Mapping[str, object] = dict.fromkeys(Action(0.0).content)
"""A baseline's."""


def axes_of(cell: Cell, shape: ModelShape | None = None, in_sample: bool | None = None) -> CellAxes:
    """The axes of ``cell``; ``shape`` is its target's (None: sizes unknown)."""
    target, labels, steering = cell.target, cell.labels, cell.steering
    at = steered_at(steering)
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
        n=cell.rows,
        **asdict(cell.decoding),
        source_model=None if steering is None else labels.source_model or labels.model,
        is_transfer=cell.is_transfer,
        scope=labels.scope,
        depth=labels.depth,
        search=labels.search,
        trial=labels.trial,
        direction_id=None if steering is None else steering.direction.id,
        method=None if steering is None else steering.direction.method,
        method_options=None if steering is None else canonical_json(dict(steering.direction.options)),
        extractor=None if steering is None else steering.direction.extractor,
        source_layer=None if at is None else at.source_layer,
        layers=None if at is None else at.layers,
        **(NO_ACTION if steering is None else steering.action.content),  # type: ignore[arg-type]
        layer_selected=steering is not None and at is None,
        in_sample=in_sample,
        **axes_of_parts(cell),  # type: ignore[arg-type]
    )


def steered_at(steering: SteeringSpec | None, found: DirectionSet | None = None) -> SteeredAt | None:
    """Where a cell is steered: as planned, or at the layer that the method selected in ``found``, its direction set. None for a
    baseline, and while nothing is selected."""
    if steering is None:
        return None
    span = steering.span
    if span is None or not isinstance(steering.source_layer, str):
        assert not isinstance(steering.source_layer, str)  # a selected layer always has its span
        return SteeredAt(steering.layers, steering.source_layer)
    selected = None if found is None else found.selected_layer
    if selected is None:
        return None
    first = corresponding_layer(selected, span.n_source, span.n_target)
    return SteeredAt(steered_layers(span.scope, first, span.n_target), selected)


def measures_of(
    cell: Cell,
    result: CellResult,
    found: DirectionSet | None,
    attempt: int,
    finished_at: datetime,
    part_cosines: tuple[float, ...] = (),
) -> CellMeasures:
    """What ``result`` measured; ``found``: the direction set that steered it (None: baseline, or not at hand)."""
    thresholds = [one for one in result.thresholds if one is not None]
    accuracies = [one.accuracy for one in thresholds if one.accuracy is not None]
    raw_norm, extraction_norm = _norms(found, steered_at(cell.steering, found))
    length = _length(cell.steering, found)
    ratio = length / result.residual_norm if length is not None and result.residual_norm else None
    return CellMeasures(
        direction_raw_norm=raw_norm,
        extraction_residual_norm=extraction_norm,
        residual_norm=result.residual_norm,
        norm_ratio=ratio,
        **asdict(result.fired),
        part_cosines=part_cosines or None,
        **decisions_of(cell, result),  # type: ignore[arg-type]
        thresholds=tuple(one.value for one in thresholds) or None,
        threshold_accuracies=tuple(accuracies) if accuracies and len(accuracies) == len(thresholds) else None,
        new_tokens=result.new_tokens,
        seconds=float(result.seconds),
        attempt=attempt,
        worker=result.provenance.get("worker"),
        template_sha256=result.provenance.get("template_sha256"),
        provenance=canonical_json(dict(result.provenance)),
        finished_at=finished_at,
    )


def tally_of(given: Given, labelled_at: datetime, declared: LabelSet = LABELS) -> CellTally:
    """Counts, rates and intervals of a cell's labels; ``UnknownLabelError`` for one that is not in the set ``declared``."""
    declared.counts(given.counts)
    shares: dict[str, int | float | None] = {}
    for outcome in OUTCOMES:
        share = given.share(declared.of_outcome(outcome))
        shares |= {f"{outcome}_{name}": value for name, value in share.items()}
    spread = None if given.single else spread_of(given.by_prompt(declared.of_outcome("success")))
    return CellTally(
        classifier=given.by or None,
        labelled_at=labelled_at,
        target=declared.target,
        success_between=None if spread is None else spread.between,
        success_within=None if spread is None else spread.within,
        stability=None if given.single else stability(given.prompts, given.labels),
        **{name: value for name, value in shares.items() if name not in ("other_n", "other_rate")},  # type: ignore[arg-type]
    )


def canonical_json(content: Mapping[str, object]) -> str:
    """``content`` as JSON with sorted keys; ValueError for NaN and infinity."""
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)


def digest_of(content: object) -> str:
    """A SHA-256 over the canonical JSON of ``content``, 20 hex digits."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def _location(model: ModelSpec) -> str:
    return Path(model.location).resolve().name if model.source == "folder" else model.location


def _length(steering: SteeringSpec | None, found: DirectionSet | None) -> float | None:
    """How long a vector the first part adds at its first layer (or puts in the stream's place), with the multiplier's sign; None
    where its multiplier is no length, and where a norm that it is a multiple of is not known."""
    action = None if steering is None else steering.action
    if action is None or action.intervention not in INTERVENTIONS or INTERVENTIONS[action.intervention].unit != "length":
        return None
    at, length = steered_at(steering, found), action.multiplier
    if action.scales not in ("none", "raw_norm"):
        length *= float(action.scales.split(",")[0])
    if action.strength == "absolute" and action.scales != "raw_norm":
        return length
    if found is None or at is None:
        return None
    if action.scales == "raw_norm":
        length *= found.at(at.layers[0] if at.source_layer is None else at.source_layer).raw_norm
    return length * found.residual_norm_at(at.layers[0]) if action.strength == "relative" else length


def _norms(found: DirectionSet | None, at: SteeredAt | None) -> tuple[float | None, float | None]:
    if found is None or at is None:
        return None, None
    layer = at.layers[0] if at.source_layer is None else at.source_layer
    return found.at(layer).raw_norm, found.residual_norm_at(layer)
