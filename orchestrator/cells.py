"""Cells and direction specs, and the content ids that name them.

An id is a versioned hash of everything that changes the answer and of nothing else (DESIGN.md, idea 2): not of the
names in the YAML, worker counts, GPU kinds, batch sizes or paths. The same YAML gives the same ids on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from actors.types import Decoding, ModelSpec, Prompt

ID_VERSION = 1
"""Raise it when the meaning of an answer changes (an engine fix that alters tokens); every cell then runs anew."""

Scope = Literal["from_layer", "single", "list", "own"]
Options = tuple[tuple[str, object], ...]


def content_id(kind: str, content: Mapping[str, object]) -> str:
    """The id of ``content``: kind, a dash, 20 hex digits of a SHA-256 over its canonical JSON and ``ID_VERSION``."""
    canonical = json.dumps({"kind": kind, "version": ID_VERSION, **content}, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return f"{kind}-{hashlib.sha256(canonical.encode()).hexdigest()[:20]}"


def model_identity(model: ModelSpec) -> dict[str, object]:
    """What a model variant contributes to an identity: content, never a path."""
    identity = asdict(model)
    del identity["trust_remote_code"]
    if model.source == "folder":
        del identity["location"]
    identity["adapter"] = model.adapter is not None
    return identity


def variant_id(model: ModelSpec) -> str:
    """The id of a model variant (weights + adapter + dtype + quantization + prompt form)."""
    return content_id("model", model_identity(model))


def _prompts(prompts: tuple[Prompt, ...]) -> list[list[str]]:
    return [[prompt.id, prompt.text] for prompt in prompts]


@dataclass(frozen=True)
class DirectionSpec:
    """Where a direction comes from: the source model, the contrast prompts, the method and the tool that reads.

    One spec names the directions of all layers: one forward pass serves them all, so a new layer extracts nothing anew.
    """

    model: ModelSpec
    harmful: tuple[Prompt, ...]
    harmless: tuple[Prompt, ...]
    method: str
    options: Options = ()
    extractor: Literal["nnsight", "hooks"] = "nnsight"

    @cached_property
    def id(self) -> str:
        """Content id; names ``directions/<id>.safetensors``."""
        return content_id(
            "direction",
            {
                "model": model_identity(self.model),
                "harmful": _prompts(self.harmful),
                "harmless": _prompts(self.harmless),
                "method": self.method,
                "options": [list(option) for option in self.options],
                "extractor": self.extractor,
            },
        )


@dataclass(frozen=True)
class SteeringSpec:
    """How a direction is applied: at ``layers`` of the target (absolute, ascending), scaled by ``multiplier``.

    ``source_layer`` is the layer whose direction is used everywhere; None means that each layer uses its own.
    """

    direction: DirectionSpec
    source_layer: int | None
    layers: tuple[int, ...]
    multiplier: float
    intervention: str = "addition"

    def content(self) -> dict[str, object]:
        """What the steering contributes to a cell's identity."""
        return {
            "direction": self.direction.id,
            "source_layer": self.source_layer,
            "layers": list(self.layers),
            "multiplier": float(self.multiplier),
            "intervention": self.intervention,
        }


@dataclass(frozen=True)
class CellLabels:
    """The sweep's own names for a cell's axes: shown in tables, no part of its identity."""

    model: str
    behavior: str
    family: str = ""
    source_model: str = ""
    scope: Scope | None = None
    depth: float | None = None


@dataclass(frozen=True)
class Cell:
    """One point of the sweep: a target model, its test prompts, a decoding, and a steering (None: unsteered baseline)."""

    target: ModelSpec
    prompts: tuple[Prompt, ...]
    decoding: Decoding
    steering: SteeringSpec | None
    labels: CellLabels

    @cached_property
    def id(self) -> str:
        """Content id; names ``responses/<id>.parquet``."""
        return content_id(
            "cell",
            {
                "target": model_identity(self.target),
                "prompts": _prompts(self.prompts),
                "decoding": asdict(self.decoding),
                "steering": None if self.steering is None else self.steering.content(),
            },
        )

    @property
    def is_transfer(self) -> bool:
        """True when the direction comes from another model variant than the one it steers."""
        return self.steering is not None and variant_id(self.steering.direction.model) != variant_id(self.target)
