"""One model for a script or a notebook: load it, extract directions, steer what it says. A thin face on ``ModelWorker``.

What fails is raised, as a ``WorkerError``. A steered batch runs as in a sweep, and gives the same tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from pydantic import ValidationError

from actors.embedded import EMBEDDED_MODELS
from actors.errors import JobError, ModelLoadError, WorkerError
from actors.interventions.needed import needed
from actors.methods import METHODS
from actors.methods.file import FileOptions
from actors.methods.options import faults_of
from actors.sites import OUTPUT, of_heads
from actors.tensor_files import read_file, read_vectors
from actors.types import (
    CellResult,
    Condition,
    Decoding,
    Direction,
    DirectionSet,
    DType,
    EngineOptions,
    ExtractionJob,
    Failure,
    FloatArray,
    GenerationJob,
    ModelInfo,
    ModelSpec,
    Prompt,
    Quantization,
    Response,
    Steering,
)
from actors.worker import ModelWorker

EMBEDDED = next(iter(EMBEDDED_MODELS))
"""The model that comes with the project."""

_LOG = logging.getLogger(__name__)
_ONE = "answers"


class Model:
    """A model in memory, in the form that ``spec`` says. ``info``: its sizes, its device, and what it runs on.

    May be used in a ``with``; ``close`` gives its memory back.
    """

    def __init__(self, spec: ModelSpec, engine: EngineOptions = EngineOptions()) -> None:  # noqa: B008 # it is frozen
        self._worker = ModelWorker()
        self.spec = spec
        self.info: ModelInfo = self._worker.load(spec, engine)

    @classmethod
    def load(
        cls,
        name: str | Path = EMBEDDED,
        adapter: str | Path | None = None,
        dtype: DType = "float32",
        quantization: Quantization = "none",
        revision: str | None = None,
    ) -> Model:
        """The model ``name``: the embedded one, a folder that is there, or ``organisation/name`` on the hub, with an ``adapter``.

        Raises ``ModelLoadError``. What else a model may be given (a system prompt, template options) a ``ModelSpec`` has:
        ``Model(spec)``.
        """
        located = str(name)
        common: dict[str, Any] = {"adapter": adapter and str(adapter), "dtype": dtype, "quantization": quantization}
        if located in EMBEDDED_MODELS:
            return cls(ModelSpec("embedded", located, **common))
        if Path(located).is_dir():
            return cls(ModelSpec("folder", located, **common))
        if located.count("/") != 1 or located.startswith((".", "/", "~")):
            there_is = f"{', '.join(EMBEDDED_MODELS)}, a folder that is there, or organisation/name on the hub"
            raise ModelLoadError(f"there is no model {located!r}; allowed: {there_is}")
        return cls(ModelSpec("hub", located, revision or "main", **common))

    def extract(
        self,
        positive: Sequence[str | Prompt],
        negative: Sequence[str | Prompt],
        method: str = "dim",
        options: Mapping[str, object] | None = None,
    ) -> DirectionSet:
        """The directions of all layers from the ``negative`` class of prompts to the ``positive`` one, by a ``METHODS`` entry.

        Methods that start from the same prompts share one pass over them. Raises ``JobError``.
        """
        if method in METHODS:
            _check_options(method, options or {})
        classes = as_prompts(positive, "positive"), as_prompts(negative, "negative")
        told = dict(options or {})
        given = None
        if method in METHODS and METHODS[method].given:
            chosen = FileOptions.model_validate(told)
            path = Path(chosen.path)
            given = read_file(path, chosen.convention, (chosen.feature, chosen.layer)).given(path.name)
        return self._worker.extract(ExtractionJob(method, *classes, method, told, given=given))

    def steering(
        self,
        direction: Direction | FloatArray,
        multiplier: float,
        layers: Sequence[int] | None = None,
        intervention: str = "addition",
        *,
        positions: str = "all",
        schedule: str = "constant",
        keep_norm: bool = False,
        when: Condition | None = None,
        site: str = OUTPUT,
        of: DirectionSet | None = None,
    ) -> Steering:
        """``direction`` acting at ``layers`` (None: at its own and every later one, the paper's scope). An array ``[d]`` acts as
        it is, and has no layer of its own.

        ``positions``: at which tokens (``last_prompt``, ``first:8``; see ``actors.positions``). ``schedule``: how it fades along
        the answer (``linear:32``; see ``actors.schedules``). ``keep_norm``: scale what was edited to the norm that it had.
        ``when``: on which prompts it acts (None: on all). ``site``: where in a block (``mlp``, ``head:3``; see ``actors.sites``).
        ``of``: the set that the direction is of, which ``angular`` and targets at the means of its classes need. ``JobError`` for
        what this model cannot be steered with.
        """
        if not of_heads(site):
            _check_direction(direction, self.info.d_model)
        source = direction.layer if isinstance(direction, Direction) else None
        if isinstance(direction, Direction):
            layers = range(direction.layer, self.info.n_layers) if layers is None else layers
            direction = direction.vector
        if layers is None:
            raise JobError("an array does not say at which layer it acts; say layers=[...]")
        _check_types(
            multiplier=multiplier, positions=positions, schedule=schedule, keep_norm=keep_norm, intervention=intervention
        )
        at, vector = tuple(sorted(set(_numbers(layers)))), direction.astype("float32", copy=False)
        vectors = vector[None].repeat(len(at), axis=0)
        references: tuple[float, ...] = ()
        bases: tuple[FloatArray, ...] = ()
        if of is not None and source is not None:
            references, bases = needed(intervention, of, (at, (source,) * len(at)), vectors)
        asked = Steering(
            at,
            vectors,
            multiplier,
            intervention,
            references,
            positions,
            schedule,
            keep_norm,
            bases=bases,
            site=site,
            condition=when,
        )
        self._worker.check(asked)
        return asked

    def together(self, *steerings: Steering) -> Steering:
        """Several steerings as one, in this order: where two act at a layer, the second is given what the first left."""
        if not steerings:
            raise JobError("nothing to steer with; give one steering or more")
        first, *more = (part for one in steerings for part in one.parts)
        return replace(first, then=tuple(replace(part, then=()) for part in more))

    def steering_from(self, file: str | Path, multiplier: float) -> Steering:
        """The vectors of a file (``.gguf``, ``.npz``, ``.safetensors``, ``.pt``; see ``tensor_files``), each added at its layer,
        ``multiplier`` times as long as it is there. ``JobError`` where they do not fit this model."""
        found = read_vectors(Path(file), self.info.n_layers, self.info.d_model)
        return Steering(tuple(found), np.stack(list(found.values())), multiplier)

    @overload
    def generate(  # type: ignore[overload-overlap] # a text is a sequence of texts, too
        self, prompts: str | Prompt, steering: Steering | None = None, decoding: Decoding = ...
    ) -> Response: ...
    @overload
    def generate(
        self, prompts: Sequence[str | Prompt], steering: Steering | None = None, decoding: Decoding = ...
    ) -> tuple[Response, ...]: ...
    def generate(
        self,
        prompts: str | Prompt | Sequence[str | Prompt],
        steering: Steering | None = None,
        decoding: Decoding = Decoding(),  # noqa: B008
    ) -> Response | tuple[Response, ...]:
        """What the model answers to one text, or to each of several; with several ``samples`` all of them, prompt by prompt."""
        if isinstance(prompts, str | Prompt):
            if decoding.samples > 1:
                raise JobError("several samples are several answers: give the prompt in a list")
            return self.generate([prompts], steering, decoding)[0]
        return self.cells(prompts, {_ONE: steering}, decoding)[_ONE].responses

    def cells(
        self,
        prompts: Sequence[str | Prompt],
        steerings: Mapping[str, Steering | None],
        decoding: Decoding = Decoding(),  # noqa: B008
    ) -> dict[str, CellResult]:
        """The answers to ``prompts`` under each of ``steerings`` (None: unsteered), all in one batch: with whether the steering
        fired, by the names given. The first that fails is raised; nothing else is lost by asking again."""
        asked = as_prompts(prompts, "prompts")
        found: dict[str, CellResult] = {}
        for one in self._worker.generate([GenerationJob(name, asked, decoding, it) for name, it in steerings.items()]):
            if isinstance(one, Failure):
                raise _error_of(one)
            if isinstance(one, CellResult):
                found[one.cell_id] = one
                if one.fired.fired is False:
                    _LOG.warning("%s: the steering did not act as asked: %s", one.cell_id, one.fired)
        return {name: found[name] for name in steerings}

    def close(self) -> None:
        """Drop the model and give its memory back."""
        self._worker.unload()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        form = "" if self.spec.quantization == "none" else f", {self.spec.quantization}"
        sizes = f"{self.info.n_layers} blocks of width {self.info.d_model}"
        return f"Model({Path(self.spec.location).name}, {sizes}, {self.info.dtype}{form} on {self.info.device})"


def as_prompts(given: Sequence[str | Prompt], called: str) -> tuple[Prompt, ...]:
    """Plain texts as prompts, by their number; ``JobError`` for a text in place of a list, and for none at all."""
    if isinstance(given, str) or not given:
        raise JobError(f"{called}: {'a text' if given else 'nothing'} where a list of prompts is wanted")
    return tuple(one if isinstance(one, Prompt) else Prompt(f"{called}-{number}", one) for number, one in enumerate(given, 1))


_TYPES = {
    "multiplier": (Real, "a number"),
    "positions": (str, "words, as 'last_prompt' or 'first:8'"),
    "schedule": (str, "words, as 'linear:32'"),
    "keep_norm": (bool, "True or False"),
    "intervention": (str, "a name"),
}


def _check_direction(direction: object, width: int) -> None:
    if isinstance(direction, DirectionSet):
        raise JobError("direction: directions of all layers where that of one is wanted; say .at(LAYER)")
    if not isinstance(direction, Direction | np.ndarray):
        raise JobError(f"direction: a {type(direction).__name__} where a direction or an array [{width}] is wanted")


def _check_types(**given: object) -> None:
    for name, value in given.items():
        kind, wanted = _TYPES[name]
        if not isinstance(value, kind) or (kind is Real and isinstance(value, bool)):
            raise JobError(f"{name}: {value!r} where {wanted} is wanted")


def _numbers(layers: object) -> tuple[int, ...]:
    """``layers`` as whole numbers; ``JobError`` for a number alone, and for anything else."""
    try:
        return tuple(map(index, layers))  # type: ignore[call-overload] # what is no iterable of numbers is told
    except TypeError:
        alone = f"; say layers=[{layers}]" if isinstance(layers, int) else ""
        raise JobError(f"layers: {layers!r} where a list of whole numbers is wanted{alone}") from None


def _check_options(method: str, options: Mapping[str, object]) -> None:
    try:
        METHODS[method].options.model_validate(dict(options))
    except ValidationError as error:
        allowed = ", ".join(METHODS[method].options.model_fields) or "none"
        raise JobError(f"options of {method}: {faults_of(error)}; allowed: {allowed}") from error


def _error_of(failure: Failure) -> WorkerError:
    kinds = {kind.kind: kind for kind in _below(WorkerError)}
    return kinds.get(failure.kind, WorkerError)(f"{failure.item_id}: {failure.message}")


def _below(kind: type[WorkerError]) -> list[type[WorkerError]]:
    return [one for child in kind.__subclasses__() for one in (child, *_below(child))]
