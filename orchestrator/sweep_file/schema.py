"""The sweep file's schema: which keys there are, of which type, in which range. What is not listed here is refused.

The ``Literal`` types below are the tables of valid names. Methods and interventions are named by the actors' own registries,
which import no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from actors.types import DATE, DType, ExtractorName, Quantization
from actors.types import Strength as StrengthUnit
from orchestrator.cells import Scope
from orchestrator.devices import ACCELERATORS
from orchestrator.errors import fault, nearest_name
from orchestrator.models.shapes import MAX_LAYERS, MAX_SIZE
from orchestrator.strict import Entry
from orchestrator.sweep_file.fields import (
    SHA256,
    Day,
    Depth,
    Depths,
    InterventionName,
    Layers,
    MethodName,
    Name,
    PathText,
    PositionsAxis,
    Repository,
    Row,
    RowOrOne,
    Scales,
    ScheduleAxis,
    SiteAxis,
    SteeredPositions,
    Strength,
    Text,
    Variable,
    named,
    one_of,
    one_or_some,
    schedule_of,
    site_text,
)

ClassifierName = Literal["text"]
PoolName = Literal["ray", "local"]
TrackerName = Literal["none", "wandb"]

NEUTRAL_PROMPTS = 32
"""Shipped (``orchestrator.behaviors.NEUTRAL``)."""

RESERVED_TEMPLATE_OPTIONS = (
    *("add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "max_length", "messages"),
    *("padding", "raise_exception", "return_assistant_tokens_mask", "return_dict", "return_tensors", "sanitize_control_tokens"),
    *("strftime_now", "tokenize", "tokenizer_kwargs", "tools", "truncation"),
)
"""Arguments of the chat template, and of what renders it, that the project sets itself."""


def _one_strength(value: object) -> object:
    if isinstance(value, list):
        raise fault("a grid has one strength", "absolute or relative; a grid for each under 'grids'")
    return value


OneStrength = Annotated[StrengthUnit, BeforeValidator(_one_strength)]


class ShapeEntry(Entry):
    """A model's sizes, for planning where its config.json is not at hand."""

    n_layers: int = Field(ge=1, le=MAX_LAYERS)
    d_model: int = Field(ge=1, le=MAX_SIZE)
    n_heads: int = Field(ge=1, le=MAX_SIZE)
    d_ff: int = Field(ge=1, le=MAX_SIZE)
    vocab_size: int = Field(ge=1, le=MAX_SIZE)
    n_kv_heads: int | None = Field(default=None, ge=1, le=MAX_SIZE)
    head_dim: int | None = Field(default=None, ge=1, le=MAX_SIZE)
    model_type: Text | None = None
    tied_embeddings: bool | None = None

    CONFIG_KEYS: ClassVar[Mapping[str, str]] = {
        "n_layers": "num_hidden_layers",
        "d_model": "hidden_size",
        "n_heads": "num_attention_heads",
        "d_ff": "intermediate_size",
        "n_kv_heads": "num_key_value_heads",
        "tied_embeddings": "tie_word_embeddings",
    }

    def as_config(self) -> dict[str, object]:
        """The same under the names of a transformers config.json."""
        return {self.CONFIG_KEYS.get(name, name): value for name, value in self if value is not None}


MOST_GPUS = 16
"""GPUs of one model: it is spread over those of one machine, which has no more."""


class ModelEntry(Entry):
    """One model: where its weights are (``embedded``, ``folder`` or ``hub``), in which forms it runs, and what it needs.
    ``steered``: whether grids that name no models run it; one that only judges is not."""

    embedded: Literal["smollm2-135m-instruct"] | None = None
    folder: PathText | None = None
    hub: Repository | None = None
    revision: Text | None = None
    adapter: PathText | None = None
    dtype: DType = "float32"
    quantizations: RowOrOne[Quantization] = ("none",)
    steered: bool = True
    family: Name | None = None
    shape: ShapeEntry | None = None
    system_prompt: str | None = None
    template_options: dict[str, object] = Field(default_factory=dict)
    trust_remote_code: bool = False
    gpus: float = Field(default=0.0, ge=0, le=MOST_GPUS, allow_inf_nan=False)
    cpus: float = Field(default=1.0, gt=0, le=1024, allow_inf_nan=False)
    accelerator: str | None = None
    gpu_memory: float = Field(default=0.0, ge=0, le=1024, allow_inf_nan=False)

    @field_validator("template_options")
    @classmethod
    def _scalars(cls, options: dict[str, object]) -> dict[str, object]:
        for name, value in options.items():
            if name in RESERVED_TEMPLATE_OPTIONS:
                raise fault(f"'{name}' is set by the project itself", "other options of the chat template")
            if not isinstance(value, str | bool | int):
                raise fault(f"the template option '{name}' has the wrong type", "text, true or false, or a whole number")
        return options

    @field_validator("gpus")
    @classmethod
    def _whole(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise fault("a worker gets a part of one GPU, or whole ones", "a whole number above 1; a part from 0 to 1")
        return gpus

    @field_validator("accelerator")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None and name not in ACCELERATORS:
            raise fault("unknown accelerator type", ", ".join(ACCELERATORS))
        return name

    @model_validator(mode="after")
    def _coherent(self) -> ModelEntry:
        given = [name for name in ("embedded", "folder", "hub") if getattr(self, name) is not None]
        if len(given) != 1:
            raise fault(f"a model comes from one place, here {' and '.join(given) or 'none'}", "one of embedded, folder, hub")
        if given != ["hub"] and self.revision is not None:
            raise fault("'revision' goes with 'hub'", "revision only beside hub", field="revision")
        if given == ["embedded"] and (self.trust_remote_code or self.shape is not None):
            beside = "shape" if self.shape is not None else "trust_remote_code"
            raise fault(f"'{beside}' does not go with 'embedded'", f"{beside} only beside hub or folder", field=beside)
        if self.accelerator is not None and self.gpus == 0:
            raise fault("'accelerator' is given but 'gpus' is 0", "gpus: 1, or no accelerator", field="accelerator")
        if self.gpu_memory and self.gpus == 0:
            raise fault("'gpu_memory' is given but 'gpus' is 0", "gpus: 1, or no gpu_memory", field="gpu_memory")
        return self


Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Splits(Entry):
    """How test prompts are dealt into splits: by ``shares`` of them, drawn by ``seed``, or by ``prompts``' ids."""

    FILLED_IN: ClassVar[tuple[str, ...]] = ("shares", "prompts")

    shares: dict[Name, Share] = Field(default_factory=dict)
    prompts: dict[Name, Row[Text]] = Field(default_factory=dict)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _coherent(self) -> Splits:
        if bool(self.shares) == bool(self.prompts):
            raise fault("splits are made by shares or by prompts", "{select: 0.5, report: 0.5}, or {select: [T1, ...], ...}")
        if sum(self.shares.values()) > 1 + 1e-9:
            raise fault("the shares of the splits add up to more than 1", "shares that add up to at most 1")
        return self


def _splits(value: object) -> object:
    """``{select: 0.5, report: 0.5, seed: 7}`` or ``{select: [T1], report: [T2]}``, sorted into ``Splits``."""
    if not isinstance(value, dict):
        return value
    seed = {name: given for name, given in value.items() if name == "seed"}
    named = {name: given for name, given in value.items() if name != "seed"}
    by_id = any(isinstance(given, list) for given in named.values())
    return {"prompts" if by_id else "shares": named, **seed}


class SetEntry(Entry):
    """A published set of prompts by ``name``; ``files``: copies of it on this machine, ``sha256``: of a copy of a set that has no
    pinned one."""

    name: Text
    files: Row[PathText] | None = None
    sha256: Annotated[str, Field(pattern=SHA256)] | None = None


class BehaviorEntry(Entry):
    """A behavior file (``test``: a second one, with the test prompts, where the first has none; ``holdout``: how many of its
    pairs, or which share of them, become test prompts; ``set``: a published set in place of either), which of the test prompts
    to use (by id, by split, the first ``limit`` of them), and what scores the answers: ``{name: ..., options}``; the first one's
    ``target`` decides."""

    file: PathText | None = None
    published: Annotated[SetEntry | None, named("name")] = Field(default=None, alias="set")
    test: PathText | None = None
    holdout: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    prompts: Row[Text] | None = None
    splits: Annotated[Splits, BeforeValidator(_splits)] | None = None
    split: Text | None = None
    limit: int | None = Field(default=None, ge=1)
    scorers: Row[Annotated[dict[str, object], named("name")]] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> BehaviorEntry:
        if self.file is None and self.published is None:
            raise fault("no prompts are named", "file: a file of prompts, or set: a published one")
        apart = self.test if self.file is None or self.test is not None else self.published
        if (apart is not None and self.holdout is not None) or None not in (self.file, self.published, self.test):
            raise fault("test prompts come from one place", "test, set, or holdout")
        return self


class BehaviorUse(Entry):
    """A behavior of the sweep in one grid: its own selection of prompts, or one ``split`` of it."""

    split: Text | None = None


class MethodEntry(Entry):
    """An extraction method by name, with its options (checked against the method's own); or ``{file: vectors.gguf}``."""

    INSTEAD: ClassVar[tuple[str, ...]] = ("file",)

    name: MethodName
    options: dict[str, object] = Field(default_factory=dict)


class Multipliers(Entry):
    """Multipliers for every model, or other ones by family or by model (the more specific list replaces the other)."""

    default: Row[Strength] | None = None
    families: dict[str, Row[Strength]] = Field(default_factory=dict)
    models: dict[str, Row[Strength]] = Field(default_factory=dict)

    def of(self, model: str, family: str) -> tuple[float, ...] | None:
        """The multipliers of one model; None when neither it nor its family nor a default is listed."""
        return self.models.get(model) or self.families.get(family) or self.default


class DecodingEntry(Entry):
    """How answers are decoded: greedily, or with a temperature by drawing ``samples`` answers to each prompt. With
    ``max_thought_tokens`` these are of what a model thinks, and ``max_new_tokens`` of what it answers; without it those are of
    both."""

    max_new_tokens: int = Field(default=100, ge=1, le=32768)
    max_thought_tokens: int | None = Field(default=None, ge=1, le=131072)
    temperature: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    samples: int = Field(default=1, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _drawn(self) -> DecodingEntry:
        idle = [name for name in ("top_p", "samples", "seed") if getattr(self, name) != type(self).model_fields[name].default]
        if idle and not self.temperature:
            allowed = "temperature: 0.7, or none of it"
            raise fault(f"'{idle[0]}' needs a temperature: greedy decoding draws nothing", allowed, field=idle[0])
        return self


class Pair(Entry):
    """One transfer: directions of ``source`` in ``target``; each a model's key, or ``key/quantization`` for one variant of it."""

    source: Text
    target: Text


class Transfer(Entry):
    """The transfer pairs; ``everything``: each variant into each other one."""

    FILLED_IN: ClassVar[tuple[str, ...]] = ("pairs", "everything")

    pairs: Row[Pair] | None = None
    everything: bool = False


class Choose(Entry):
    """Settings taken from the finished cells of an earlier grid, per model variant, behavior and method.

    Among the settings of grid ``from`` whose garbled rate is at most ``max_garbled`` (a response without an answer counts as
    garbled) and whose KL on neutral prompts is at most ``max_kl``: the best success rate, then the highest multiplier, then the
    earliest layer. ``layer`` and ``multiplier`` say what is taken over; ``around``: factors of the multiplier to run. ``method``
    and ``quantization``: take another method's choice, another variant's. ``kl``: in place of the best multiplier the one that
    does so much damage, at the layer that succeeds most at it; garbling is then bounded only where ``max_garbled`` is given.
    """

    origin: Name = Field(alias="from")
    layer: Literal["best"] | None = None
    multiplier: Literal["calibrated"] | None = None
    max_garbled: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    max_kl: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    kl: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    around: Row[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    method: MethodName | None = None
    quantization: Quantization | None = None

    @property
    def most_garbled(self) -> float:
        """The bound that holds."""
        return 1.0 if self.kl is not None and "max_garbled" not in self.model_fields_set else self.max_garbled

    @model_validator(mode="after")
    def _coherent(self) -> Choose:
        if self.layer is None and self.multiplier is None:
            raise fault("nothing is chosen", "layer: best, multiplier: calibrated, or both")
        if self.around is not None and self.multiplier is None:
            raise fault("'around' goes with a chosen multiplier", "multiplier: calibrated beside around", field="around")
        if self.kl is not None:
            missing = [key for key in ("layer", "multiplier") if getattr(self, key) is None]
            if missing:
                allowed = "layer: best, multiplier: calibrated beside kl"
                raise fault(f"'kl' decides the multiplier and the layer, and '{missing[0]}' is missing", allowed)
            beside = [key for key in ("max_kl", "around") if getattr(self, key) is not None]
            if beside:
                does = "bounds" if beside[0] == "max_kl" else "varies"
                message = f"'kl' says how much damage there is, so nothing {does} it"
                raise fault(message, f"no {' and no '.join(beside)} beside kl", field=beside[0])
        return self


def _transfer(value: object) -> object:
    if value == "all":
        return {"everything": True}
    if isinstance(value, list):
        return {"pairs": value}
    raise fault(
        "not a list of transfer pairs", "all, or a list of {source: ..., target: ...}", "all" if isinstance(value, str) else ""
    )


class CapabilityEntry(Entry):
    """``tasks`` of lm-evaluation-harness by name, or YAML files of one's own; the first ``limit`` documents of each, after
    ``shots`` examples; unsteered, and ``for`` the ``chosen`` steerings or ``all``."""

    tasks: Row[Text]
    limit: int | None = Field(default=None, ge=1)
    shots: int | None = Field(default=None, ge=0, le=1000)
    which: Literal["chosen", "all"] = Field(default="chosen", alias="for")


class ParityEntry(Entry):
    """Each model read by several ``tools`` (none: all), with the first ``prompts`` contrast prompts of each class;
    ``faults``: the known mistakes planted, with ``pairs`` also by two; ``steering``: the tools also add the direction; ``rates``:
    the multiplier with which test prompts are answered with the direction of every planted mistake (none: they are not)."""

    tools: Row[Text] | None = None
    prompts: int = Field(default=8, ge=1)
    faults: bool = True
    pairs: bool = True
    steering: bool = True
    rates: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class TrackingEntry(Entry):
    """Where progress is reported beside the results folder."""

    tool: TrackerName = "none"
    project: Text | None = None
    entity: Text | None = None
    group: Text | None = None
    tags: Row[Annotated[Text, Field(max_length=64)]] | None = None

    @model_validator(mode="after")
    def _complete(self) -> TrackingEntry:
        if self.tool == "wandb" and self.project is None:
            raise fault("wandb needs a project", "{tool: wandb, project: ...}")
        if self.tool == "none" and (self.project or self.entity or self.group or self.tags):
            raise fault("project, entity, group and tags go with a tool", "{tool: wandb, project: ...}")
        return self


class EngineEntry(Entry):
    """``slots``: rows in flight (chosen by the worker when left out); ``threads``: CPU threads of one worker."""

    slots: int | None = Field(default=None, ge=1, le=4096)
    threads: int | None = Field(default=None, ge=1, le=1024)


class PoolEntry(Entry):
    """What runs the workers, and how many (as many as the resources allow when left out). ``env``: variables of the driver's
    environment that workers get besides those that all need."""

    kind: PoolName = "ray"
    workers: int | None = Field(default=None, ge=1, le=10000)
    env: Row[Variable] | None = None


def _uses(value: object) -> object:
    """``[french, ...]`` is short for ``{french: {}, ...}``."""
    names = [value] if isinstance(value, str) else value
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return {name: {} for name in names}
    return value


def _of_file(value: object) -> object:
    """``{file: vectors.gguf}`` is short for ``{name: file, options: {path: vectors.gguf}}``."""
    if not isinstance(value, dict) or value.keys() != {"file"}:
        return value
    given = value["file"]
    return {"name": "file", "options": given if isinstance(given, dict) else {"path": given}}


Methods = Row[Annotated[MethodEntry, named("name"), BeforeValidator(_of_file)]]


def _multipliers(value: object) -> object:
    """``[8, 15]`` is short for ``{default: [8, 15]}``."""
    if isinstance(value, list):
        return {"default": value}
    if not isinstance(value, dict):
        raise fault("not a list of multipliers", "multipliers: [8, 15], or {default: [8, 15], families: ..., models: ...}")
    return value


MultiplierLists = Annotated[Multipliers, BeforeValidator(_multipliers)]


class SearchEntry(Entry):
    """A search for the best setting in place of a grid's multipliers: each arm (a model variant, behavior and method) runs
    ``trials`` cells, ``batch`` at a time, at layers of the grid and at multipliers between the two that are given, drawn evenly
    or evenly in their logarithm (``scale``). The best success rate is sought among the settings within ``max_garbled`` and
    ``max_kl``, as a choice has them."""

    multiplier: MultiplierLists
    scale: Literal["linear", "log"] = "linear"
    trials: int = Field(default=24, ge=1, le=10_000)
    batch: int = Field(default=8, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    max_garbled: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    max_kl: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @field_validator("multiplier")
    @classmethod
    def _spans(cls, spans: Multipliers) -> Multipliers:
        for span in (*filter(None, [spans.default]), *spans.families.values(), *spans.models.values()):
            if len(span) != 2 or span[0] >= span[1]:
                raise fault("not a range of multipliers", "the lowest and the highest one, as [2, 30]")
        return spans

    @model_validator(mode="after")
    def _one_sign(self) -> SearchEntry:
        spans = [*filter(None, [self.multiplier.default]), *self.multiplier.families.values(), *self.multiplier.models.values()]
        if self.scale == "log" and any(low * high <= 0 for low, high in spans):
            raise fault("a range of both signs has no logarithm", "scale: linear, or a range on one side of 0")
        return self


def _threshold(value: object) -> object:
    """``auto`` as None."""
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise fault("not a threshold", "auto, or a cosine from -1 to 1")
    return float(value)


class _OnePlace(Entry):
    """Something at one place of a model: an absolute ``layer``, or a ``depth``."""

    layer: int | None = Field(default=None, ge=0)
    depth: Depth | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.layer is not None and self.depth is not None:
            raise fault("a layer and a depth say it twice", "layer: 15, or depth: 0.5")
        return self


class WhenEntry(_OnePlace):
    """On which prompts a part of a steering acts (CAST): those whose unsteered activation at a layer has a cosine with the
    direction of ``behavior`` there on this ``side`` of the ``threshold``; ``auto``: learned from its contrast prompts."""

    behavior: Name
    method: Annotated[MethodEntry, named("name")] = MethodEntry(name="dim")
    threshold: Annotated[float | None, BeforeValidator(_threshold)] = None
    side: Literal["above", "below"] = "above"


class SteerEntry(_OnePlace):
    """One of the directions that steer a cell together: whose it is, how strongly and how it acts, and ``when``. What it does not
    give is as in the grid."""

    behavior: Name
    multiplier: Annotated[Row[Strength], one_or_some]
    method: Annotated[MethodEntry, named("name")] | None = None
    scope: Literal["from_layer", "single", "own"] | None = None
    intervention: InterventionName | None = None
    positions: SteeredPositions | None = None
    strength: StrengthUnit | None = None
    schedule: Annotated[str, BeforeValidator(schedule_of)] | None = None
    keep_norm: bool | None = None
    scales: Scales | None = None
    site: Annotated[str, BeforeValidator(site_text)] | None = None
    when: Annotated[WhenEntry, named("behavior")] | None = None


TransferPairs = Annotated[Transfer, BeforeValidator(_transfer)]


class GridEntry(Entry):
    """One grid of a sweep. What it does not give is as at the top level; either of ``depths`` and ``layers`` replaces both."""

    name: Name | None = None
    models: RowOrOne[Text] | None = None
    quantizations: RowOrOne[Quantization] | None = None
    behaviors: Annotated[dict[Name, BehaviorUse], BeforeValidator(_uses), Field(min_length=1)] | None = None
    methods: Methods | None = None
    extractor: ExtractorName | None = None
    depths: Depths | None = None
    layers: Layers | None = None
    multipliers: MultiplierLists | None = None
    choose: Choose | None = None
    search: SearchEntry | None = None
    scope: RowOrOne[Scope] | None = None
    intervention: InterventionName | None = None
    positions: PositionsAxis | None = None
    strength: OneStrength | None = None
    schedule: ScheduleAxis | None = None
    keep_norm: bool | None = None
    scales: Scales | None = None
    site: SiteAxis | None = None
    decoding: DecodingEntry | None = None
    baseline: bool | None = None
    transfer: TransferPairs | None = None
    steer: Row[SteerEntry] | None = None
    orthogonalize: bool | None = None


ANSWERS = "all, none, {first: 8}"


def _answers(value: object) -> object:
    """``{first: 8}`` as 8."""
    if isinstance(value, dict):
        word, number = one_of(value, ANSWERS)
        if word != "first":
            raise fault(f"unknown key '{word}'", ANSWERS, nearest_name(word, ("first",)) or "", word)
        if number < 1:
            raise fault("out of range", "{first: 8}, a whole number of tokens from 1", field=word)
        return number
    if not isinstance(value, str) or value not in ("all", "none"):
        raise fault("it says of which answer tokens the loss is measured", ANSWERS)
    return value


def _neutral(value: object) -> object:
    if isinstance(value, str) or (type(value) is int and 1 <= value <= NEUTRAL_PROMPTS):
        return value
    raise fault("neither a file nor a number of shipped prompts", f"a file of test prompts, or 1 to {NEUTRAL_PROMPTS}")


class DamageEntry(Entry):
    """What steerings do beside their effect: ``prompts``: a file of neutral prompts, or how many of the shipped ones; ``tokens``:
    first tokens of each answer; ``answers``: whether the loss of the cells' own answers is measured, and of how many first tokens
    (``all`` of them, ``none``)."""

    prompts: Annotated[PathText | int, BeforeValidator(_neutral)] = 8
    tokens: int = Field(default=4, ge=1, le=256)
    answers: Annotated[Literal["all", "none"] | int, BeforeValidator(_answers)] = "all"


def _damage(value: object) -> object:
    """``true`` is short for ``{}``."""
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict):
        raise fault("damage is measured or not", "true, false, {prompts: 8, tokens: 4, answers: all}")
    return value


class SweepSettings(Entry):
    """A sweep file, key by key."""

    name: Name | None = None
    models: dict[Name, ModelEntry] = Field(min_length=1)
    behaviors: dict[Name, BehaviorEntry] = Field(min_length=1)
    methods: Methods = (MethodEntry(name="dim"),)
    extractor: ExtractorName = "nnsight"
    depths: Depths | None = None
    layers: Layers | None = None
    multipliers: MultiplierLists | None = None
    scope: RowOrOne[Scope] = ("from_layer",)
    intervention: InterventionName = "addition"
    positions: PositionsAxis = ("all",)
    strength: OneStrength = "absolute"
    schedule: ScheduleAxis = ("constant",)
    keep_norm: bool = False
    scales: Scales = "none"
    site: SiteAxis = ("output",)
    decoding: DecodingEntry = DecodingEntry()
    date: Day = DATE
    baseline: bool = True
    transfer: TransferPairs = Transfer()
    steer: Row[SteerEntry] | None = None
    orthogonalize: bool = False
    grids: Row[GridEntry] | None = None
    classifier: ClassifierName = "text"
    capability: CapabilityEntry | None = None
    analyses: Row[Annotated[dict[str, object], named("name")]] | None = None
    parity: ParityEntry | None = None
    tracking: Annotated[TrackingEntry, named("tool")] = TrackingEntry()
    results: PathText | None = None
    engine: EngineEntry = EngineEntry()
    pool: Annotated[PoolEntry, named("kind")] = PoolEntry()
    damage: Annotated[DamageEntry | None, BeforeValidator(_damage)] = None
    max_failures: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @field_validator("max_failures")
    @classmethod
    def _count_or_share(cls, limit: float | None) -> float | None:
        if limit is not None and limit > 1 and not limit.is_integer():
            raise fault("neither a count nor a share", "a whole number of failures, or a share of the cells between 0 and 1")
        return limit
