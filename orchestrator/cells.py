"""Cells and direction specs, and the content ids that name them.

An id is a versioned hash of everything that changes the answer and of nothing else: not of the
names in the YAML, worker counts, GPU kinds, batch sizes or paths. The same YAML gives the same ids on every machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import ClassVar, Final, Literal

from actors.interventions import INTERVENTIONS, Needs
from actors.types import DATE, Action, Decoding, ModelSpec, Prompt
from actors.values import in_a_line

ID_VERSION = 1
"""Raise it when the meaning of an answer changes (an engine fix that alters tokens); every cell then runs anew."""

Scope = Literal["from_layer", "single", "list", "own", "all"]
Options = tuple[tuple[str, object], ...]

SELECTED: Final = "selected"
"""The source layer that the method itself selected: known when the direction set is there (``DirectionSet.selected_layer``)."""

CONTRAST_KEYS = ("harmful", "harmless")
"""What the positive and the negative class are called in ids and direction files, since the first version."""

SourceLayer = int | Literal["selected"] | None

CellKey = tuple[str, str]
"""A cell's id, which says nothing of the behavior, and the behavior: several that ask the same share a cell."""


def content_id(kind: str, content: Mapping[str, object]) -> str:
    """The id of ``content``: kind, a dash, 20 hex digits of a SHA-256 over its canonical JSON and ``ID_VERSION``."""
    return _named(kind, _canonical({"kind": kind, "version": ID_VERSION, **content}))


def _named(kind: str, canonical: str) -> str:
    return f"{kind}-{hashlib.sha256(canonical.encode()).hexdigest()[:20]}"


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)


def model_identity(model: ModelSpec) -> dict[str, object]:
    """What a model variant contributes to an identity: content, never a path."""
    identity = asdict(model)
    del identity["trust_remote_code"]
    if model.source == "folder":
        del identity["location"]
    if model.date == DATE:  # as when there was no other
        del identity["date"]
    identity["adapter"] = model.adapter is not None
    return identity


@lru_cache(maxsize=4096)
def variant_id(model: ModelSpec) -> str:
    """The id of a model variant (weights + adapter + dtype + quantization + prompt form)."""
    return content_id("model", model_identity(model))


def _prompts(prompts: tuple[Prompt, ...]) -> list[list[str]]:
    return [prompt.content for prompt in prompts]


@lru_cache(maxsize=4096)
def _model_json(model: ModelSpec) -> str:
    return _canonical(model_identity(model))


@lru_cache(maxsize=4096)
def _decoding_json(decoding: Decoding) -> str:
    return _canonical(decoding.content)


_KEPT = 1024
_prompts_kept: dict[int, tuple[tuple[Prompt, ...], str]] = {}
"""Encoded prompts by the identity of their tuple, which is kept beside them: many cells share one, and to hash it is slow."""


def _prompts_json(prompts: tuple[Prompt, ...]) -> str:
    kept = _prompts_kept.get(id(prompts))
    if kept is not None and kept[0] is prompts:
        return kept[1]
    if len(_prompts_kept) >= _KEPT:
        _prompts_kept.clear()
    encoded = _canonical(_prompts(prompts))
    _prompts_kept[id(prompts)] = (prompts, encoded)
    return encoded


@dataclass(frozen=True)
class DirectionSpec:
    """Where a direction comes from: the source model, the contrast prompts, the method and the tool that reads.

    One spec names the directions of all layers: one forward pass serves them all, so a new layer extracts nothing anew.
    ``file``: where the vectors of a method lie that takes them from the user; ``options`` have the digest of what it holds.
    """

    model: ModelSpec
    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...]
    method: str
    options: Options = ()
    extractor: Literal["nnsight", "hooks"] = "nnsight"
    file: str | None = field(default=None, compare=False)
    kind: ClassVar[str] = "extraction"
    __repr__ = in_a_line
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def variant(self) -> str:
        """The model variant that it comes from."""
        return variant_id(self.model)

    @property
    def rows(self) -> int:
        """Prompts to read."""
        return len(self.positive) + len(self.negative)

    budget = rows

    @cached_property
    def id(self) -> str:
        """Content id; names ``directions/<id>.safetensors``."""
        return content_id(
            "direction",
            {
                "model": model_identity(self.model),
                **contrast_content(self),
                "method": self.method,
                "options": [list(option) for option in self.options],
                "extractor": self.extractor,
                **changed_since(self),
            },
        )


def contrast_content(spec: DirectionSpec) -> dict[str, list[list[str]]]:
    """The contrast prompts as ids and direction files have them, by ``CONTRAST_KEYS``."""
    return dict(zip(CONTRAST_KEYS, (_prompts(spec.positive), _prompts(spec.negative)), strict=True))


def changed_since(spec: DirectionSpec) -> dict[str, str]:
    """Names what computes a direction otherwise than the first version did: only the directions that it concerns get another id.

    INT8 models are read one prompt per forward; COSMIC's trials see an addition in the output that it is added to.
    """
    changed = {"prompts_per_forward": "one"} if spec.model.quantization == "int8" else {}
    return {**changed, "addition": "in place"} if spec.method == "cosmic" else changed


@dataclass(frozen=True)
class LayerSpan:
    """What turns a selected layer into steered ones: the ``scope`` and the numbers of layers of source and target."""

    scope: Literal["from_layer", "single"]
    n_source: int
    n_target: int


@dataclass(frozen=True)
class ConditionSpec:
    """Which rows a part of a steering acts on: those whose unsteered prompt's cosine with the direction of ``layer`` there is
    above the ``threshold``, or else below it. None: it is learned from the direction's contrast prompts."""

    direction: DirectionSpec
    layer: int
    threshold: float | None = None
    above: bool = True

    def content(self) -> dict[str, object]:
        """What the condition contributes to a cell's identity."""
        side = "above" if self.above else "below"
        return {"direction": self.direction.id, "layer": self.layer, "threshold": self.threshold, "side": side}


@dataclass(frozen=True)
class SteeringSpec:
    """How a direction is applied: the ``action`` at ``layers`` of the target (absolute, ascending).

    ``source_layer`` is the layer whose direction is used everywhere; None means that each layer uses its own. With
    ``SELECTED`` the method picks it: ``layers`` is then empty and ``span`` says which layers follow (``rows.steered_at``).
    ``condition``: which rows it acts on (None: all). ``then``: the further parts that follow it, in order, none of which has more
    behind it. ``orthogonal``: whether each later part's direction is made orthogonal to those of the earlier ones.
    """

    direction: DirectionSpec
    source_layer: SourceLayer
    layers: tuple[int, ...]
    action: Action
    span: LayerSpan | None = None
    condition: ConditionSpec | None = None
    then: tuple[SteeringSpec, ...] = ()
    orthogonal: bool = False

    @property
    def parts(self) -> tuple[SteeringSpec, ...]:
        """All that is done, in order: itself and what follows."""
        return (self, *self.then)

    @property
    def directions(self) -> tuple[DirectionSpec, ...]:
        """Those of all parts and conditions, each once."""
        if not self.then and self.condition is None:
            return (self.direction,)
        conditions = (part.condition.direction for part in self.parts if part.condition is not None)
        return tuple({one.id: one for one in (*(part.direction for part in self.parts), *conditions)}.values())

    @property
    def where(self) -> tuple[object, ...]:
        """All that decides which vectors act at which layers, and what else is needed of their sets: equal for steerings that
        differ in nothing but how they act."""
        own = (self.direction.id, self.source_layer, self.layers, self.span, self.needs)
        return (own, self.orthogonal, *(part.where for part in self.then)) if self.then else own

    @property
    def needs(self) -> Needs:
        """What its intervention needs of the direction set beside the direction; one of the user's own needs nothing."""
        name = self.action.intervention
        return INTERVENTIONS[name].needs if name in INTERVENTIONS else ""

    def content(self) -> dict[str, object]:
        """What the steering contributes to a cell's identity."""
        content: dict[str, object] = {
            "direction": self.direction.id,
            "source_layer": self.source_layer,
            "layers": list(self.layers),
            **self.action.content,
        }
        if self.span is not None:
            content["span"] = asdict(self.span)
        if self.condition is not None:
            content["condition"] = self.condition.content()
        if self.then:
            content |= {"then": [part.content() for part in self.then]} | ({"orthogonal": True} if self.orthogonal else {})
        return content


@dataclass(frozen=True)
class CellLabels:
    """The sweep's own names for a cell's axes: shown in tables, no part of its identity. ``search``: the grid that asked for it
    as a ``trial`` of this number. ``asked``: the behavior whose test prompts are asked, where that is another one than is scored;
    ``categories``: of these prompts that have one, by their ids. ``steers``, ``conditions``: of each part of its steering the
    behavior that it steers, and the one that its condition is of (empty: none). ``meant``: of each part, whether it is to act on
    prompts of a category, as far as the contrast prompts of its condition tell."""

    model: str
    behavior: str
    family: str = ""
    source_model: str = ""
    scope: Scope | None = None
    depth: float | None = None
    search: str | None = None
    trial: int | None = None
    asked: str = ""
    categories: Mapping[str, str] = field(default_factory=dict, compare=False)
    steers: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    meant: tuple[Mapping[str, bool], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Cell:
    """One point of the sweep: a target model, its test prompts, a decoding, and a steering (None: unsteered baseline)."""

    target: ModelSpec
    prompts: tuple[Prompt, ...]
    decoding: Decoding
    steering: SteeringSpec | None
    labels: CellLabels
    kind: ClassVar[str] = "generation"
    __repr__ = in_a_line

    @property
    def variant(self) -> str:
        """The model variant that answers."""
        return variant_id(self.target)

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The directions without which it cannot start."""
        return () if self.steering is None else tuple(one.id for one in self.steering.directions)

    @property
    def rows(self) -> int:
        """Responses to generate."""
        return len(self.prompts) * self.decoding.samples

    @property
    def budget(self) -> int:
        """Tokens at most."""
        return self.rows * self.decoding.most_tokens

    @cached_property
    def id(self) -> str:
        """Content id; names ``responses/<id>.parquet``."""
        # content_id("cell", {decoding, prompts, steering, target}), with the parts that many cells share encoded once
        steering = None if self.steering is None else self.steering.content()
        parts = {
            "decoding": _decoding_json(self.decoding),
            "kind": '"cell"',
            "prompts": _prompts_json(self.prompts),
            "steering": _canonical(steering),
            "target": _model_json(self.target),
            "version": str(ID_VERSION),
        }
        return _named("cell", "{" + ", ".join(f'"{name}": {part}' for name, part in parts.items()) + "}")

    @property
    def key(self) -> CellKey:
        """As the behavior of its labels counts it."""
        return self.id, self.labels.behavior

    @property
    def is_transfer(self) -> bool:
        """True when the direction comes from another model variant than the one it steers."""
        return self.steering is not None and variant_id(self.steering.direction.model) != variant_id(self.target)
