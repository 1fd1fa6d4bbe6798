"""A study as JSON, for programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from orchestrator.parity.diagnosis import Diagnosis
from orchestrator.parity.findings import Compared, ParityFindings, ToolFound
from orchestrator.report.parity import refused, verdict_of

JSON_VERSION = 1


def parity_json(found: ParityFindings, diagnosis: Diagnosis | None = None) -> dict[str, object]:
    """Everything that a page says, and layer by layer; null where a number is not finite."""
    told = {
        "version": JSON_VERSION,
        "model": found.study.model,
        "dtype": found.study.dtype,
        "behavior": found.study.behavior,
        "tools": {one.name: _tool_json(one, found) for one in found.tools},
        "settings": {title: _compared_json(one) for title, one in found.settings.items()},
        "faults": [
            {
                "names": list(one.candidate.names),
                "batch": one.candidate.batch,
                "cosine": list(map(float, one.cosine)),
                "norm_ratio": list(map(float, one.norm_ratio)),
            }
            for one in found.faults
        ],
        "costs": [
            {"names": None if one.names is None else list(one.names), "successes": one.successes, "n": one.n}
            | {"rate": [one.rate.low, one.rate.high], "kl": one.kl.value, "kl_interval": [one.kl.low, one.kl.high]}
            for one in found.costs(refused)
        ],
        "steering": {
            name: one if isinstance(one, str) else {**asdict(one), "mistake": one.mistake, "words": one.words}
            for name, one in found.steering.items()
        },
        **({} if diagnosis is None else {"diagnosis": _diagnosis_json(diagnosis)}),
    }
    return {key: _finite(value) for key, value in told.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tool_json(one: ToolFound, found: ParityFindings) -> dict[str, object]:
    return {
        "verdict": verdict_of(one, found),
        "alone": one.alone and _compared_json(one.alone),
        "batched": one.together and _compared_json(one.together),
        "sites": one.sites and [[match.layer, match.site, match.block, match.distance] for match in one.sites],
        "diagnosis": one.diagnosis and _diagnosis_json(one.diagnosis),
    }


def _diagnosis_json(one: Diagnosis) -> dict[str, Any]:
    nearest, after = one.nearest, one.next
    return {
        "verdict": one.verdict,
        "mistakes": list(one.names),
        "nearest": [list(nearest.names), nearest.batch, nearest.distance],
        "next": after and [list(after.names), after.batch, after.distance],
        "clean_distance": one.clean.distance,
        "flipped": one.flipped,
        "sure": one.sure,
        "hidden": list(one.hidden),
        "words": one.words,
    }


def _compared_json(one: Compared) -> dict[str, object]:
    parts = {"activations": one.activations, "directions": one.directions}
    told: dict[str, object] = {
        name: {key: list(value) for key, value in vars(part).items()} for name, part in parts.items() if part is not None
    }
    return {**told, "spread": one.spread}
