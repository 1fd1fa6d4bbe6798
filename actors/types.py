"""The values that cross the wire between driver and worker: frozen dataclasses over NumPy, no torch.

Shapes: ``L`` blocks (decoder layers), ``d`` = width of the residual stream (d_model), ``k`` = layers of a direction set.
Layer ``l`` is the output of decoder block ``l``, 0-based. It is transformers' ``hidden_states[l + 1]``, but at the last
block, where transformers has applied the final norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
import numpy.typing as npt

from actors.sites import OUTPUT, places_of_steering, point_of, reached
from actors.values import hash_of, in_a_line, same

FloatArray = npt.NDArray[np.float32]

Source = Literal["embedded", "folder", "hub"]
DType = Literal["float32", "float16", "bfloat16"]
Quantization = Literal["none", "int8", "nf4", "nf4-double", "fp4", "fp4-double"]
ExtractorName = Literal["nnsight", "hooks"]
Strength = Literal["absolute", "relative"]
FinishReason = Literal["stop", "length", "thought"]
"""The model stopped; or it used up its tokens: in its answer, or with ``max_thought_tokens`` in a thought."""

DATE = "2024-07-26"
"""The day that chat templates write where a sweep gives no other: the one that Llama 3's own template has."""


@dataclass(frozen=True)
class ModelSpec:
    """One model variant: which weights, in which form. Two equal specs compute the same function.

    ``location`` is the embedded model's name, a folder, or a hub repo id. ``fingerprint`` is the content id of what
    ``location`` and ``adapter`` hold (see ``orchestrator.models.files``); paths never enter an identity, it does. ``date``
    (ISO): the day that it is for the chat template.
    """

    source: Source
    location: str
    revision: str | None = None
    adapter: str | None = None
    dtype: DType = "float32"
    quantization: Quantization = "none"
    trust_remote_code: bool = False
    system_prompt: str | None = None
    template_options: tuple[tuple[str, str | bool | int], ...] = ()
    fingerprint: str = ""
    date: str = DATE


@dataclass(frozen=True)
class Resources:
    """What a worker needs to hold one model: whole or fractional GPUs, the accelerator type Ray should match, and the memory that
    each GPU must have at least, in GB (10^9 bytes; 0: any)."""

    gpus: float = 0.0
    cpus: float = 1.0
    accelerator: str | None = None
    gpu_memory: float = 0.0


@dataclass(frozen=True)
class EngineOptions:
    """How the engine runs. ``slots`` = rows in flight (None: chosen by the worker); part of the provenance, not identity.

    ``devices``: GPUs that the model must have, and is spread over; 0: it asks for none, and takes the best device that there is.
    ``gpu_memory``: GB that each of them must have. ``gpu_share``: the part of a GPU's memory that the worker may take.
    """

    slots: int | None = None
    threads: int | None = None
    devices: int = 0
    gpu_memory: float = 0.0
    gpu_share: float = 1.0


@dataclass(frozen=True)
class Underway:
    """How far a worker is with what it generates: ``tokens`` so far in ``seconds``, and the ``rows`` that have not ended."""

    tokens: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded. ``max_new_tokens``: of a response, thoughts included; with ``max_thought_tokens`` of the answer
    alone, and so many of its thoughts, their marks included. ``temperature`` 0 is greedy; above it ``samples`` answers to each
    prompt are drawn, by ``seed``, from the fewest likeliest tokens whose mass reaches ``top_p``."""

    max_new_tokens: int = 100
    max_thought_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0

    @property
    def content(self) -> dict[str, object]:
        """What it contributes to an identity: of what a later version added only what is not the default."""
        return {"max_new_tokens": self.max_new_tokens} | {
            one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default
        }

    @property
    def most_tokens(self) -> int:
        """Tokens of a response at most, thoughts included."""
        return self.max_new_tokens + (self.max_thought_tokens or 0)


SampleKey = tuple[str, int]
"""A prompt's id, and which of its answers: what tells the responses of a cell apart."""


@dataclass(frozen=True)
class ModelInfo:
    """What a loaded model says of itself. ``provenance`` holds plain strings for the results table."""

    n_layers: int
    d_model: int
    model_type: str
    dtype: str
    device: str
    slots: int
    load_seconds: float
    template_sha256: str
    provenance: Mapping[str, str] = field(default_factory=dict)

    __repr__ = in_a_line


@dataclass(frozen=True)
class Prompt:
    """A user message with its id; the worker renders it with the model's own chat template.

    ``answer``: what the model's turn begins with where a contrast prompt is read inside an answer (CAA); empty: nothing.
    ``weight``: how much a contrast prompt counts where a method weighs them.
    """

    id: str
    text: str
    answer: str = ""
    weight: float = 1.0

    @property
    def content(self) -> list[str]:
        """What it contributes to an identity."""
        if self.weight != 1:
            return [self.id, self.text, self.answer, f"weight {self.weight!r}"]
        return [self.id, self.text, self.answer] if self.answer else [self.id, self.text]


@dataclass(frozen=True)
class Direction:
    """A behaviour's direction at one layer: unit vector float32 ``[d]``, and its raw norm before normalising."""

    layer: int
    vector: FloatArray
    raw_norm: float

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of

    def cosine(self, other: Direction) -> float:
        """Between the two unit vectors."""
        return float(self.vector @ other.vector)


@dataclass(frozen=True)
class Curve:
    """A curve in a subspace of the residual stream at one layer: at the ascending strengths ``levels`` ``[K]`` it passes through
    ``points`` ``[K, D]``, in the orthonormal ``basis`` float32 ``[D, d]``. ``actors.curves`` says where it lies between."""

    levels: npt.NDArray[np.float64]
    basis: FloatArray
    points: npt.NDArray[np.float64]

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of


@dataclass(frozen=True)
class DirectionSet:
    """The directions that one method found in one model: ``directions`` ``[k]`` by ascending layer.

    ``residual_norms`` ``[k]``: mean L2 norm of the last-token residual stream over all extraction prompts, per layer.
    ``selected_layer``: the layer that the method itself picked (None: it picks none, or nothing passed its filters, as the
    record then says).
    ``record``: plain strings: template hash, prompts' token counts, library versions, method diagnostics.
    ``components`` float32 ``[2, L, k]``: along each direction, the mean of the positive and of the negative class's last-token
    residual stream at every layer of the model (None: not known, as in files of earlier versions).
    ``curves``: by layer, of a method that fits them; not of every layer, where one had no two knots that hold.
    """

    directions: tuple[Direction, ...]
    residual_norms: tuple[float, ...]
    selected_layer: int | None = None
    record: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[int, Curve] = field(default_factory=dict)
    components: FloatArray | None = None

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of

    @property
    def vectors(self) -> FloatArray:
        """The unit vectors ``[k, d]``."""
        return np.stack([direction.vector for direction in self.directions])

    @property
    def raw_norms(self) -> tuple[float, ...]:
        """Their lengths before normalising ``[k]``."""
        return tuple(direction.raw_norm for direction in self.directions)

    def at(self, layer: int) -> Direction:
        """The direction of ``layer``; KeyError names the layers there are."""
        for direction in self.directions:
            if direction.layer == layer:
                return direction
        raise KeyError(f"no direction at layer {layer}; have {[d.layer for d in self.directions]}")

    def residual_norm_at(self, layer: int) -> float:
        """Mean last-token residual norm at ``layer`` over the extraction prompts."""
        return self.residual_norms[self.directions.index(self.at(layer))]


@dataclass(frozen=True)
class GivenVectors:
    """Vectors that a user brings: ``vectors`` ``[k, d]`` float32, as long as they are given, of ``layers`` (ascending).
    ``record``: plain strings that say where they come from."""

    layers: tuple[int, ...]
    vectors: FloatArray
    record: Mapping[str, str] = field(default_factory=dict)

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of


@dataclass(frozen=True)
class ExtractionJob:
    """Extract one direction set: contrast prompts, a method by name with its options, and the tool to read with. ``given``: the
    vectors of a method that takes them as they are (None: it finds its own)."""

    job_id: str
    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...]
    method: str
    options: Mapping[str, object] = field(default_factory=dict)
    extractor: ExtractorName = "nnsight"
    given: GivenVectors | None = None

    __repr__ = in_a_line

    @property
    def item_id(self) -> str:
        """The direction set."""
        return self.job_id


@dataclass(frozen=True)
class Action:
    """What is done with a unit direction: an ``intervention`` (a key of ``actors.interventions.INTERVENTIONS``), so strongly, at
    these ``positions`` (the words of ``actors.positions``).

    ``strength``: what the multiplier is of, the unit direction (``absolute``) or one as long as the residual stream is in the
    mean at the layer (``relative``). ``schedule``: how it changes along the answer (the words of ``actors.schedules``).
    ``keep_norm``: whether the edited residual stream is scaled to the norm that it had. ``scales``: factors on the multiplier,
    layer by layer: ``none``, each layer's raw norm (``raw_norm``), or one for each steered layer (``0.5,1,2``). ``site``:
    where in a block (``actors.sites``). ``code``: the text of the file of an intervention of the user's own, whose name has its
    digest.

    A sweep file's grid and a ``Steering`` have the same fields.
    """

    multiplier: float
    intervention: str = "addition"
    positions: str = "all"
    strength: Strength = "absolute"
    schedule: str = "constant"
    keep_norm: bool = False
    scales: str = "none"
    site: str = OUTPUT
    code: str = field(default="", repr=False, compare=False)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The fields that it is told by, the multiplier first."""
        return tuple(one.name for one in fields(cls) if one.compare)

    @property
    def content(self) -> dict[str, object]:
        """What it contributes to an identity: of what a later version added only what is not the default."""
        later = [one for one in fields(self)[2:] if one.compare]
        added = {one.name: getattr(self, one.name) for one in later if getattr(self, one.name) != one.default}
        return {"multiplier": float(self.multiplier), "intervention": self.intervention, **added}

    @property
    def words(self) -> str:
        """How it differs from adding a multiple of the unit direction at every token; empty when it does not."""
        said = "" if self.intervention == "addition" else self.intervention
        at = "" if self.positions == "all" else f"at {self.positions}"
        at = " ".join(filter(None, (at, "" if self.site == OUTPUT else f"in {self.site}")))
        others = [one for one in (self.strength, self.schedule) if one not in ("absolute", "constant")]
        others += [] if self.scales == "none" else [f"scaled by {self.scales}"]
        return " ".join(filter(None, (said, at, *others, "norm kept" if self.keep_norm else "")))


@dataclass(frozen=True)
class Condition:
    """When a part of a steering acts on a row: if the cosine between the unit ``vector`` float32 ``[d]`` and the residual stream
    of the row's unsteered prompt, at its last token after block ``layer``, is above the ``threshold``, or else below it (CAST,
    arXiv 2409.05907; there the cosine's sign is lost).

    ``threshold`` None: learned from the two classes of contrast prompts, ``positive`` and ``negative``, which then are given;
    ``extractor``: the tool that reads them.
    """

    layer: int
    vector: FloatArray
    threshold: float | None = None
    above: bool = True
    positive: tuple[Prompt, ...] = ()
    negative: tuple[Prompt, ...] = ()
    extractor: ExtractorName = "nnsight"

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of

    def holds(self, cosine: float) -> bool:
        """Whether a prompt with this cosine is steered; ``TypeError`` while the threshold is not known."""
        assert self.threshold is not None
        return cosine > self.threshold if self.above else cosine < self.threshold


@dataclass(frozen=True)
class Steering:
    """What is done to the residual stream of a cell's rows.

    ``vectors`` float32 ``[len(layers), d]``: the unit direction that acts at each of ``layers`` (ascending, absolute).
    ``multiplier``, ``intervention``, ``positions``, ``schedule`` and ``keep_norm``: as of an ``Action``.
    ``references``: per layer, the component along the direction that affine ablation restores; empty: all 0.
    ``scales``: per layer, a factor on the multiplier; empty: all 1.
    ``bases``: per layer, orthonormal vectors float32 ``[K, d]`` that the intervention needs beside the direction; empty: none.
    ``code``: the text of the file of an intervention of the user's own. ``site``: where in a block it acts (``actors.sites``);
    the vectors are as wide as the activations there.
    ``condition``: on which rows it acts (None: on all). ``then``: what is done after it, in this order; where several act at a
    layer, each is given what the one before left. None of these has more behind it.
    """

    layers: tuple[int, ...]
    vectors: FloatArray
    multiplier: float
    intervention: str = "addition"
    references: tuple[float, ...] = ()
    positions: str = "all"
    schedule: str = "constant"
    keep_norm: bool = False
    scales: tuple[float, ...] = ()
    bases: tuple[FloatArray, ...] = ()
    code: str = field(default="", repr=False)
    site: str = OUTPUT
    condition: Condition | None = None
    then: tuple[Steering, ...] = ()

    __repr__, __eq__, __hash__ = in_a_line, same, hash_of

    @property
    def parts(self) -> tuple[Steering, ...]:
        """All that is done, in order: itself and what follows."""
        return (self, *self.then)

    @property
    def first_layer(self) -> int:
        """The lowest block whose output, or something behind it, any part acts at; -1: something before the output of the
        first."""
        return min(layer - (part.site != OUTPUT) for part in self.parts for layer in part.layers)

    def points(self, n_layers: int) -> list[tuple[int, int]]:
        """Where it acts, without what follows it, in a model of ``n_layers`` blocks: points (``actors.sites``), and which of its
        vectors acts there."""
        return [(point_of(site, layer, n_layers), index) for site, layer, index in places_of_steering(self.site, self.layers)]

    def first_point(self, n_layers: int) -> int:
        """The first point that it acts at, without what follows it, as the model runs."""
        return min((point for point, _ in self.points(n_layers)), key=lambda one: reached(one, n_layers))

    @classmethod
    def from_layer_on(cls, direction: Direction, n_layers: int, multiplier: float) -> Steering:
        """The paper's scope (eq. 2): ``direction`` acts at its own layer and at every later one of ``n_layers``."""
        layers = tuple(range(direction.layer, n_layers))
        return cls(layers, np.repeat(direction.vector[None], len(layers), axis=0), multiplier)

    def reference_at(self, index: int) -> float:
        """The reference of ``layers[index]``."""
        return self.references[index] if self.references else 0.0

    def basis_at(self, index: int) -> FloatArray:
        """The vectors beside the direction at ``layers[index]``, ``[K, d]``."""
        return self.bases[index] if self.bases else np.zeros((0, self.vectors.shape[1]), np.float32)

    def strength_at(self, index: int) -> float:
        """The multiplier at ``layers[index]``."""
        return self.multiplier * self.scales[index] if self.scales else self.multiplier


@dataclass(frozen=True, eq=False)
class GenerationJob:
    """The rows of one cell: prompts, decoding (with so many samples of each), and a steering (None: the unsteered baseline)."""

    cell_id: str
    prompts: tuple[Prompt, ...]
    decoding: Decoding
    steering: Steering | None = None

    __repr__ = in_a_line

    @property
    def item_id(self) -> str:
        """The cell."""
        return self.cell_id


@dataclass(frozen=True, eq=False)
class JudgingJob:
    """Questions to a model as judge, by their keys; ``replies``: of each thing that is asked the beginnings of replies that are
    compared, none of which is the beginning of another one."""

    item_id: str
    questions: Mapping[str, str]
    replies: tuple[tuple[str, ...], ...]

    __repr__ = in_a_line


FAILED = "failed"
"""In place of what was measured to a question: why it was not."""


@dataclass(frozen=True, eq=False)
class LinearProbeJob:
    """Answers to be read by a model, by their keys, each behind the prompt that it answers, and the linear probe on what it then
    has in mind: ``weights`` float32 ``[layers, d]`` of the outputs of the blocks ``layers``, and ``bias``. ``tokens``: so many of
    an answer are read at most."""

    item_id: str
    answers: Mapping[str, tuple[str, str]]
    layers: tuple[int, ...]
    weights: FloatArray
    bias: float
    tokens: int

    __repr__ = in_a_line


JudgeJob = JudgingJob | LinearProbeJob
"""What a model is asked about answers."""


@dataclass(frozen=True, eq=False)
class CapabilityJob:
    """A task of lm-evaluation-harness under a ``steering`` (None: unsteered): its name there, or the file of one of the user's
    own; its first ``limit`` documents, each after ``shots`` examples (None: all of them; as the task says)."""

    item_id: str
    steering: Steering | None
    task: str
    limit: int | None = None
    shots: int | None = None

    __repr__ = in_a_line


@dataclass(frozen=True)
class Response:
    """One answer to a prompt, of several the ``sample``-th, from 0.

    ``token_ids`` exclude the stop token; ``prompt_tokens`` counts the rendered prompt.
    ``text`` leaves special tokens out. ``marked``: the same with those in it that mark thoughts and channels (None: there are
    none). ``prompt_opens``: the mark that opens the thought in which the rendered prompt ends, such as ``<think>``; empty when
    it ends in none, None when that was not recorded.
    ``cosines`` and ``acted``, where the steering has a condition, of each part of it: the cosine that decided (None: the part has
    no condition; of a stored response such parts are left out), and whether the part acted.
    """

    prompt_id: str
    prompt: str
    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    marked: str | None = None
    prompt_opens: str | None = None
    sample: int = 0
    cosines: tuple[float | None, ...] = ()
    acted: tuple[bool, ...] = ()

    __repr__ = in_a_line

    @property
    def key(self) -> SampleKey:
        """Which of its cell's."""
        return self.prompt_id, self.sample

    @property
    def completion(self) -> str:
        """All that tells the answer from the thoughts: the text with its marks, after the one that the prompt ends in."""
        return (self.prompt_opens or "") + (self.text if self.marked is None else self.marked)


@dataclass(frozen=True, eq=False)
class DamageJob:
    """Measure what a steering (None: none) does beside its effect.

    ``neutral``: prompts at whose first ``tokens`` answer tokens the distributions of the next token are compared.
    ``answers``: tokens of a cell's answers, each with its prompt, whose loss under the unsteered model is wanted.
    """

    item_id: str
    steering: Steering | None
    neutral: tuple[Prompt, ...]
    tokens: int
    answers: tuple[tuple[Prompt, tuple[int, ...]], ...] = ()

    __repr__ = in_a_line


@dataclass(frozen=True, eq=False)
class ActivationsJob:
    """Read the residual stream of every prompt at its last token, after every block; ``positive`` and ``negative`` as of an
    extraction, so that one that reads the same prompts shares the reading."""

    item_id: str
    positive: tuple[Prompt, ...]
    negative: tuple[Prompt, ...] = ()
    extractor: ExtractorName = "nnsight"


@dataclass(frozen=True, eq=False)
class InjectionJob:
    """Add directions at one layer each, and measure on prompts, without generating.

    ``directions`` float32 ``[L, d]``: the unit direction of every layer. ``layers``: at which of them it is added,
    ``multipliers`` times each. ``random``: so many random directions of the same length beside it, drawn by ``seed``.
    """

    item_id: str
    prompts: tuple[Prompt, ...]
    directions: FloatArray
    layers: tuple[int, ...]
    multipliers: tuple[float, ...]
    random: int = 0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class ShiftsJob(InjectionJob):
    """How the activations of ``prompts`` move at every later layer; ``kept``: layers whose activations are wanted whole, under
    the direction itself."""

    kept: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class DivergencesJob(InjectionJob):
    """How far the next token's distribution moves; ``positive`` and ``negative``: as many more random directions are drawn from
    the covariance of their activations within each class."""

    positive: tuple[Prompt, ...] = ()
    negative: tuple[Prompt, ...] = ()
    extractor: ExtractorName = "nnsight"


@dataclass(frozen=True)
class FiredCheck:
    """Did the steering act? Measured on the residual stream at every steered layer of every row: at the last prompt token, and
    with ``positions`` at every token of the prompt after what the template begins with, at the answer's first token, and at the
    last and the next one of a part of the answer.

    ``shift_ratio_min/max``: (measured shift along the asked one) / (asked shift); 1 is exact. ``off_axis_max``: largest
    |measured - asked| / |asked|. ``stray_max``: largest |measured| / |what would be asked| where nothing was, None where no such
    token was looked at. ``fired`` is None for an unsteered cell, for multiplier 0, and where no answer reached its positions.
    """

    fired: bool | None
    shift_ratio_min: float | None = None
    shift_ratio_max: float | None = None
    off_axis_max: float | None = None
    stray_max: float | None = None


@dataclass(frozen=True)
class ConditionThreshold:
    """What a condition was decided by. Of a learned one the balanced accuracy (the mean of the shares of both classes that lie on
    their side of it): ``chosen`` on the contrast prompts that chose it, ``accuracy`` on ``n`` others; the direction was found
    from all of them."""

    value: float
    chosen: float | None = None
    accuracy: float | None = None
    n: int = 0


@dataclass(frozen=True)
class CellResult:
    """All responses of one cell, streamed from a worker as soon as its last row ends.

    ``seconds``: the cell's share of the batch's wall time (each forward shared among its rows). ``residual_norm``: mean
    over rows of the last-prompt-token norm where the first part first acts, before its edit (None when unsteered, or not
    measured there). ``thresholds``, where the
    steering has a condition: of each part of it (None: that part has none).
    """

    cell_id: str
    responses: tuple[Response, ...]
    fired: FiredCheck
    residual_norm: float | None
    seconds: float
    new_tokens: int
    provenance: Mapping[str, str] = field(default_factory=dict)
    thresholds: tuple[ConditionThreshold | None, ...] = ()

    __repr__ = in_a_line


@dataclass(frozen=True)
class Failure:
    """A failure as a value: which item, what kind (``WorkerError.kind`` or the exception's name), its text, which attempt."""

    item_id: str
    kind: str
    message: str
    traceback: str
    attempt: int = 1
    retryable: bool = False
    worker: str = ""
