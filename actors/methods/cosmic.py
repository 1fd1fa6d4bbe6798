"""COSMIC (Siu et al. 2025, arXiv 2506.00085) as its authors released it: candidates are tried on the model and scored.

A candidate is the difference of class means at one template position and one block *input*. It is scored by what it does to
held-out prompts: positive ones with the candidate ablated should look negative, negative ones with it added should look
positive, in the layers where the classes differ most.

The input of block b is the output of block b-1, so the candidate of block input b is our layer b-1: steering "from layer b-1
on" first changes what block b reads. Block input 0, the embeddings, has no layer of that kind and is no candidate: the
template tokens there are the same for all prompts, so the class means are equal. The last block's output is no block's
input; like all layers beyond the depth limit it is not scored.

The release adds in place: when block b-1's output is an evaluation layer, it holds what linear addition adds at block input b.
So it does here. Affine addition works on a copy there, and is not seen in that output; nor is it here.

Where the release and our convention differ (the record's ``conventions`` name the first two): the last block's output is taken
before the final norm, in the release after it; the KL is the divergence itself, in the release 1e-6 is added to every
probability first; a list of fewer than ten layers still has one evaluation layer; the depth limit is ``b < 0.8 L`` (the release
rounds ``0.8 L`` down); linear ablation acts on what is really added to the residual stream (the release on the outputs of
attention and MLP, which is the same except where these pass a norm before they are added, as in Gemma 2); the release also drops
late candidates of the last position by a rule on the peaks of the other positions, which we do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from actors.errors import JobError
from actors.methods.contrast import Asked, Contrast, Found, Reading, Trial
from actors.methods.options import MethodOptions
from actors.methods.separation import separation
from actors.types import Prompt, Steering

Array = npt.NDArray[np.float64]
CONVENTIONS = "the last block's output before the final norm (release: after it); KL without an epsilon (release: 1e-6)"
"""Choices where the release made others, as a record names them."""

_SEVERAL = "whose blocks carry several streams at once"
NOT_EVERYWHERE = {"gemma3n": _SEVERAL, "gemma3n_text": _SEVERAL}
"""model_type -> why linear ablation cannot reach its residual stream everywhere, as far as that is known beforehand. In any other
model the worker finds the places, or says why it does not."""

LEAST_GAIN = 0.1
"""A selected candidate whose two scores together close less than this share of the distance between the classes does nothing."""

CANDIDATE_COLUMNS = ("position", "layer", "ablation", "addition", "kl", "passes")
"""The columns of ``record["candidates"]``, best candidate first."""


class CosmicOptions(MethodOptions):
    """``ablation``: "linear" removes the candidate everywhere; "affine" acts at the candidate's layer alone and restores the
    negative mean's component there (its addition, too, starts from that component).

    ``positions``: how many template tokens, counted from the last (None: all that follow the user's text). ``kl_limit``: nats
    (None: no limit). ``depth_limit``: block inputs b < ``depth_limit`` x L are candidates. ``evaluation_share`` of the L layers
    is looked at. ``held_out``: share of each class that is kept for scoring (at least one prompt; 0: score on the extraction
    prompts themselves), drawn with ``seed``; classes of equal size lose the same pairs. ``layer``: select this layer, whatever
    its depth; only the position is chosen.
    """

    ablation: Literal["linear", "affine"] = "linear"
    positions: int | None = Field(default=None, ge=1)
    kl_limit: float | None = Field(default=0.1, gt=0)
    depth_limit: float = Field(default=0.8, gt=0, le=1)
    evaluation_share: float = Field(default=0.1, gt=0, le=1)
    held_out: float = Field(default=0.4, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)
    layer: int | None = Field(default=None, ge=0)


@dataclass(frozen=True, eq=False)
class _Class:
    """One class, split: the extraction prompts' activations ``[n, P, L, d]``, their mean, and the prompts for scoring."""

    last: Array
    mean: Array
    held: tuple[Prompt, ...]


@dataclass(frozen=True, eq=False)
class _Candidate:
    """``difference`` ``[d]`` of the class means at ``position`` (-1: the last token) and ``layer``; ``reference``: the negative
    mean's component along it."""

    position: int
    layer: int
    difference: Array
    reference: float

    @property
    def norm(self) -> float:
        return float(np.linalg.norm(self.difference))


@dataclass(frozen=True)
class _CandidateScore:
    """Cosines with the other class's target after ablation and after addition, and the ablation's KL; NaN is possible."""

    candidate: _Candidate
    ablation: float
    addition: float
    kl: float

    @property
    def total(self) -> float:
        return self.ablation + self.addition

    def passes(self, limit: float | None) -> bool:
        """Whether it may be selected; a candidate whose numbers are not finite never may."""
        return bool(np.isfinite([self.total, self.kl]).all()) and (limit is None or self.kl <= limit)


def cosmic_unfit(asked: Asked, options: CosmicOptions) -> str | None:
    """Why COSMIC cannot do what is asked; None when it can."""
    fewest = min(asked.n_positive, asked.n_negative)
    if options.held_out and fewest < 2:
        return f"cosmic scores on held-out prompts, so it needs 2 of each class, got {fewest} (held_out: 0 needs none)"
    if options.layer is not None and options.layer >= asked.n_layers:
        return f"cosmic: layer {options.layer} is outside 0..{asked.n_layers - 1}"
    if not _candidate_layers(asked.n_layers, options):
        return (
            f"cosmic has no candidate: of {asked.n_layers} blocks none but the first lies below depth {options.depth_limit:.0%}"
        )
    if options.ablation == "linear" and asked.model_type in NOT_EVERYWHERE:
        why = f"in {asked.model_type!r}, {NOT_EVERYWHERE[asked.model_type]}"
        return f"cosmic: no linear ablation {why}; 'ablation: affine' needs no such place"
    return None


def cosmic(contrast: Contrast, options: CosmicOptions) -> Found:
    """Directions ``[L, d]``, and the layer of the candidate with the highest score among those that pass the filters.

    At a scored layer the direction is that of its best position; at the others that of the best candidate's position. When no
    candidate passes, none is selected and the record says so; the layers still have their directions. Raises ``JobError`` when
    the classes are too small to split or the model is too shallow to have a candidate.
    """
    if reason := cosmic_unfit(contrast.asked, options):
        raise JobError(reason)
    positive = _split(contrast.positive, contrast.positive_prompts, options)
    negative = _split(contrast.negative, contrast.negative_prompts, options)
    positions = min(options.positions or positive.mean.shape[0], positive.mean.shape[0])
    differences = (positive.mean - negative.mean)[-positions:]
    evaluated = _evaluation_layers(positive.last, negative.last, options.evaluation_share)
    candidates = [
        _Candidate(position, layer, difference, _along(negative.mean[position, layer], difference))
        for layer in _candidate_layers(contrast.n_layers, options)
        for position in range(-positions, 0)
        if (difference := differences[position, layer]).any()
    ]
    if not candidates:
        raise JobError("cosmic: the class means are equal at every layer and position")
    scores, unedited = _scores(contrast, candidates, (positive.held, negative.held), evaluated, options.ablation)
    ranked = sorted(scores, key=lambda score: _rank(score, options.kl_limit), reverse=True)
    vectors = differences[ranked[0].candidate.position].copy()
    for score in reversed(ranked):
        vectors[score.candidate.layer] = score.candidate.difference
    selected = ranked[0].candidate.layer if ranked[0].passes(options.kl_limit) else None
    record = _record(ranked, options, positions, evaluated, {"positive": positive.held, "negative": negative.held})
    doubts = {} if selected is None else _doubts(contrast, ranked[0], unedited)
    return Found(vectors, selected, {**record, **doubts})


def _doubts(contrast: Contrast, best: _CandidateScore, unedited: float) -> dict[str, str]:
    """What speaks for and against the selected candidate: whether its place tells the classes apart, over all prompts, and how
    much of the distance between the classes its edits close (0: as near as without any edit; 1: all of it)."""
    position, layer = best.candidate.position, best.candidate.layer
    found = separation(*(side[:, position, layer].astype(np.float64) for side in (contrast.positive, contrast.negative)))
    gain = (best.total - 2 * unedited) / (2 - 2 * unedited) if unedited < 1 else 0.0
    idle = f"its edits close {max(gain, 0.0):.0%} of the distance between the classes" if gain < LEAST_GAIN else None
    told = "; ".join(text for text in (found.warning, idle) if text)
    evidence = {"p": _rounded(found.p), "least_p": _rounded(found.least), "gain": _rounded(gain)}
    record = {"separation": json.dumps({**evidence, "unedited": _rounded(2 * unedited)})}
    return {**record, "warning": f"cosmic selected layer {layer}, position {position}, but {told}"} if told else record


def _split(activations: npt.NDArray[np.float32], prompts: Sequence[Prompt], options: CosmicOptions) -> _Class:
    n = len(prompts)
    held = min(n - 1, max(1, round(options.held_out * n))) if options.held_out else 0
    order = np.random.default_rng(options.seed).permutation(n)
    scoring, kept = np.sort(order[:held] if held else order), np.sort(order[held:])
    mean = activations[kept].mean(axis=0, dtype=np.float64)
    return _Class(mean[-1], mean, tuple(prompts[index] for index in scoring))


def _evaluation_layers(positive: Array, negative: Array, share: float) -> tuple[int, ...]:
    """The layers (at least one) whose last-token class means ``[L, d]`` have the lowest cosine, ascending."""
    cosines = [_cosine(one, other) for one, other in zip(positive, negative, strict=True)]
    count = max(1, int(round(share * len(cosines), 9)))
    return tuple(sorted(int(layer) for layer in np.argsort(cosines, kind="stable")[:count]))


def _candidate_layers(n_layers: int, options: CosmicOptions) -> list[int]:
    """Layers b - 1 of the candidate block inputs b >= 1."""
    if options.layer is not None:
        return [options.layer]
    return [block - 1 for block in range(1, n_layers) if block < round(options.depth_limit * n_layers, 9)]


def _scores(
    contrast: Contrast,
    candidates: Sequence[_Candidate],
    held: tuple[tuple[Prompt, ...], tuple[Prompt, ...]],
    evaluated: tuple[int, ...],
    mode: Literal["linear", "affine"],
) -> tuple[list[_CandidateScore], float]:
    """All candidates' scores, from one run of the probe, and the cosine of the unedited classes."""
    positive, negative = held
    trials = [Trial(None, positive, evaluated), Trial(None, negative, evaluated)]
    for candidate in candidates:
        ablation, addition = _steerings(candidate, contrast.n_layers, mode)
        trials.append(Trial(ablation, positive, evaluated, negative, everywhere=mode == "linear"))
        trials.append(Trial(addition, negative, evaluated, in_place=mode == "linear"))
    readings = contrast.probe.run(trials)
    positive_target, negative_target = (_mean(reading) for reading in readings[:2])
    scores = [
        _CandidateScore(
            candidate,
            _cosine(_mean(ablated), negative_target),
            _cosine(_mean(added), positive_target),
            np.nan if ablated.kl is None else ablated.kl,
        )
        for candidate, ablated, added in zip(candidates, readings[2::2], readings[3::2], strict=True)
    ]
    return scores, _cosine(positive_target, negative_target)


def _steerings(candidate: _Candidate, n_layers: int, mode: Literal["linear", "affine"]) -> tuple[Steering, Steering]:
    """(ablation, addition). Addition adds the difference itself, not its unit vector, once at the candidate's layer."""
    unit = (candidate.difference / candidate.norm).astype(np.float32)[None]
    here, norm, reference = (candidate.layer,), candidate.norm, candidate.reference
    if mode == "linear":
        everywhere = np.broadcast_to(unit, (n_layers, unit.shape[1]))
        return Steering(tuple(range(n_layers)), everywhere, 1.0, "ablation"), Steering(here, unit, norm)
    return (
        Steering(here, unit, 1.0, "affine_ablation", (reference,)),
        Steering(here, unit, 1.0, "affine_ablation", (reference + norm,)),
    )


def _rank(score: _CandidateScore, limit: float | None) -> tuple[bool, float]:
    """Order within a layer: what passes the filters first, then the higher score; NaN last."""
    return score.passes(limit), score.total if np.isfinite(score.total) else -np.inf


def _record(
    ranked: Sequence[_CandidateScore],
    options: CosmicOptions,
    positions: int,
    evaluated: Sequence[int],
    held: Mapping[str, Sequence[Prompt]],
) -> dict[str, str]:
    """What a reader needs to see why the first of ``ranked`` was selected, or why none was, as compact JSON."""
    best, passed = ranked[0], sum(score.passes(options.kl_limit) for score in ranked)
    lowest = min((score.kl for score in ranked if score.passes(None)), default=np.nan)
    selection: dict[str, object] = {"passed": passed, "candidates": len(ranked), "lowest_kl": _rounded(lowest)}
    if passed:
        place = {"layer": best.candidate.layer, "position": best.candidate.position}
        selection = {**place, "score": _rounded(best.total), "kl": _rounded(best.kl), **selection}
    else:
        selection["none"] = f"no candidate has finite scores and a KL of at most {options.kl_limit} nats"
    rows = [
        [
            score.candidate.position,
            score.candidate.layer,
            *(_rounded(value) for value in (score.ablation, score.addition, score.kl)),
            int(score.passes(options.kl_limit)),
        ]
        for score in ranked
    ]
    return {
        "positions": str(positions),
        "selection": json.dumps(selection),
        "evaluation_layers": json.dumps(list(evaluated)),
        "held_out_prompts": json.dumps({name: [prompt.id for prompt in prompts] for name, prompts in held.items()}),
        "conventions": CONVENTIONS,
        "scored_on": "held-out prompts" if options.held_out else "the extraction prompts",
        "candidates": json.dumps({"columns": CANDIDATE_COLUMNS, "rows": rows}, separators=(",", ":")),
    }


def _rounded(value: float) -> float | None:
    """Six significant digits; None where JSON has no number."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _mean(reading: Reading) -> Array:
    if reading.mean is None:
        raise JobError("cosmic: the probe returned no activations")
    return reading.mean


def _along(vector: Array, direction: Array) -> float:
    norm = np.linalg.norm(direction)
    return float(vector @ direction / norm) if norm else 0.0


def _cosine(one: Array, other: Array) -> float:
    """NaN where a vector is zero or not finite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
