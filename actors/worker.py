"""``ModelWorker``: holds one model; loads, extracts and generates. A plain class: no Ray, no sweep, no results folder."""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from actors.analysis.activations import read_activations
from actors.analysis.injection import measure_divergences, measure_shifts
from actors.boundary import Answered, as_failure
from actors.conditions import Thresholds
from actors.damage import DamageMeter
from actors.device_record import device_record, full_precision, reserved_memory
from actors.engine.engine import Engine, batch_dependence
from actors.engine.engine_model import EngineModel
from actors.engine.firing import check_of
from actors.engine.memory import peak_bytes, return_freed_memory, take_share
from actors.engine.packed_blocks import with_blocks
from actors.engine.packing import Packing, pack
from actors.engine.probes import probe_of
from actors.engine.rows import CAPACITY_STEP, Acting, Row
from actors.engine.sampling import RowDraws
from actors.engine.site_places import width_at
from actors.errors import JobError, NonFiniteActivationError, UnsupportedModelError, WorkerError
from actors.extraction import EXTRACTORS
from actors.extraction.capture import CaptureKey, Captures
from actors.families import context_limit
from actors.faults import says_nothing_of_the_work
from actors.generation import not_applied, sentence
from actors.interventions.own import fault_in
from actors.judging import judge
from actors.linear_probe import probe_answers
from actors.load_check import checked
from actors.loading import LoadedModel, devices_of, load_model
from actors.methods import METHODS, Contrast, Probe
from actors.parity.jobs import ParityJob
from actors.parity.measuring import measure as measure_parity
from actors.prompts import Rendered
from actors.sites import OUTPUT
from actors.steering import check_steering
from actors.tensor_files import misfit
from actors.thought_budget import ThoughtBudget
from actors.thoughts import Marks, marks_thoughts, opened_by
from actors.types import (
    ActivationsJob,
    CapabilityJob,
    CellResult,
    ConditionThreshold,
    DamageJob,
    Decoding,
    Direction,
    DirectionSet,
    DivergencesJob,
    EngineOptions,
    ExtractionJob,
    Failure,
    GenerationJob,
    JudgeJob,
    JudgingJob,
    LinearProbeJob,
    ModelInfo,
    ModelSpec,
    Response,
    ShiftsJob,
    Steering,
    Underway,
)

_LOG = logging.getLogger(__name__)

SteeredJob = TypeVar("SteeredJob", CapabilityJob, DamageJob)

NOMINAL_CAPACITY = 5 * CAPACITY_STEP
"""Tokens per row for which ``ModelInfo.slots`` is stated; the engine measures anew for the rows it is given."""


class ModelWorker:
    """Holds at most one model variant at a time."""

    def __init__(self) -> None:
        self._loaded: LoadedModel | None = None
        self._engine: Engine | None = None
        self._captures: Captures | None = None
        self._probe: Probe | None = None
        self._damage: DamageMeter | None = None
        self._thresholds: Thresholds | None = None
        self._marks: Marks | None = None
        self._thoughts_told = False
        self._provenance: dict[str, str] = {}

    def load(self, spec: ModelSpec, engine: EngineOptions) -> ModelInfo:
        """Replace the model held by ``spec``; raises ``ModelLoadError`` and then holds none."""
        self.unload()
        started = time.perf_counter()
        if engine.threads is not None:
            torch.set_num_threads(engine.threads)
        full_precision()
        if torch.cuda.is_available():
            take_share(engine.gpu_share)
        try:
            loaded = load_model(spec, engine.devices, engine.gpu_memory)
        except (IndexError, NotImplementedError, AssertionError) as error:
            raise UnsupportedModelError(f"cannot load {spec.location!r}: {type(error).__name__}: {error}") from error
        info = self.hold(loaded, engine)
        return replace(info, load_seconds=time.perf_counter() - started)

    def hold(self, loaded: LoadedModel, engine: EngineOptions) -> ModelInfo:
        """Take up a model that is in memory already, as tried here; raises ``UnsupportedModelError``."""
        started = time.perf_counter()
        spread = loaded.decoder.spread
        packing = Packing(reason="spread over several devices") if spread else pack(loaded.model, loaded.device)
        packing = with_blocks(loaded.model, loaded.decoder, packing)
        engine_model = _for_engine(loaded, packing)
        verdict = checked(engine_model, loaded)
        loaded = verdict.loaded
        engine_model = replace(
            engine_model, decoder=loaded.decoder, batch_dependence=verdict.dependence, token_bytes=verdict.token_bytes
        )
        self._engine = Engine(engine_model, engine.slots)
        self._probe = probe_of(engine_model, loaded.renderer.render)
        self._captures = Captures(loaded)
        self._thresholds = Thresholds(self._captures)
        self._damage = DamageMeter(loaded, self._engine)
        self._loaded, self._marks, self._thoughts_told = loaded, Marks(loaded.tokenizer), False
        slots = self._engine.slots(NOMINAL_CAPACITY)
        self._provenance = {
            **_provenance(loaded, verdict.dependence, verdict.placing),
            "products": self._engine.products,
            "checked": verdict.record,
        }
        for remark in _remarks(loaded):
            _LOG.warning("%s: %s", Path(loaded.spec.location).name, remark)
        gc.freeze()  # a full collection looks at every object of every library, and all lanes wait for it
        return ModelInfo(
            n_layers=loaded.decoder.n_layers,
            d_model=loaded.d_model,
            model_type=str(loaded.model.config.model_type),
            dtype=loaded.spec.dtype,
            device=str(loaded.device),
            slots=slots,
            load_seconds=time.perf_counter() - started,
            template_sha256=loaded.renderer.template_sha256,
            provenance=self._provenance,
        )

    def unload(self) -> None:
        """Drop the model and give its memory back."""
        self._loaded = self._engine = self._captures = self._probe = self._damage = self._thresholds = None
        gc.unfreeze()
        gc.collect()
        return_freed_memory()
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call] # its allocator refuses to reset anything before that
            torch.cuda.empty_cache()
            for number in range(torch.cuda.device_count()):  # what the next model takes is told of it alone
                torch.cuda.reset_peak_memory_stats(number)

    def extract(self, job: ExtractionJob) -> DirectionSet:
        """All layers' directions by one method; raises ``JobError`` or ``NonFiniteActivationError``.

        The methods that start from the same prompts share one pass over them, for as long as this model is loaded.
        """
        loaded = self._held()
        if job.method not in METHODS:
            raise JobError(f"method {job.method!r} is unknown; allowed: {', '.join(METHODS)}")
        if job.extractor not in EXTRACTORS:
            raise JobError(f"extractor {job.extractor!r} is unknown; allowed: {', '.join(EXTRACTORS)}")
        method = METHODS[job.method]
        assert self._captures is not None
        contrast = self._contrast(job, method.reads_positions)
        found = method.find(contrast, method.options.model_validate(dict(job.options)))
        layers = list(range(contrast.n_layers) if found.layers is None else found.layers)
        vectors, norms = found.vectors, np.linalg.norm(found.vectors, axis=-1)
        degenerate = np.flatnonzero(norms == 0)
        if job.options.get("site") == "input" and degenerate.tolist() == [
            0
        ]:  # of one token after every prompt, the same embedding
            layers, vectors, norms, degenerate = layers[1:], vectors[1:], norms[1:], degenerate[1:]
        if len(degenerate):
            raise JobError(f"{job.method} found no difference between the classes at layers {degenerate.tolist()}")
        norms[np.isclose(norms, 1.0, rtol=0.0, atol=1e-6)] = 1.0  # of length 1 already: the same numbers to the bit
        directions = tuple(
            Direction(layer, (vector / norm).astype(np.float32), float(norm))
            for layer, vector, norm in zip(layers, vectors, norms, strict=True)
        )
        lengths = np.linalg.norm(np.concatenate(contrast.last), axis=-1)
        record = {
            **self._provenance,
            "template_sha256": loaded.renderer.template_sha256,
            "n_positive": str(len(job.positive)),
            "n_negative": str(len(job.negative)),
            "prompts_per_forward": "one" if self._captures.alone else "several",
            **found.record,
        }
        if "warning" in record:
            _LOG.warning("%s", record["warning"])
        norms_there = tuple(float(norm) for norm in lengths.mean(axis=0)[layers])
        means = np.stack([states.mean(axis=0) for states in contrast.last])
        components = (means @ np.stack([one.vector for one in directions]).T).astype(np.float32)
        return DirectionSet(directions, norms_there, found.selected_layer, record, found.curves, components)

    def generate(self, jobs: Sequence[GenerationJob], often: float = math.inf) -> Iterator[CellResult | Failure | Underway]:
        """Run all rows of ``jobs`` in one batch of slots; yield each cell when its last row has ended, and how far they are when
        there was nothing to yield for ``often`` seconds.

        A job that cannot run, or whose logits are not finite, becomes a ``Failure``; the others go on.
        """
        loaded, engine = self._held(), self._engine
        assert engine is not None
        steerings: list[Steering] = []
        waiting: dict[int, list[Row]] = {}
        for number, job in enumerate(jobs):
            try:
                waiting[number] = self._rows(number, job, steerings)
            except WorkerError as error:
                yield as_failure(job.cell_id, error)
        rows = [row for cell in waiting.values() for row in cell]
        left = {number: len(cell) for number, cell in waiting.items()}
        began = told = time.monotonic()
        for row in engine.stepwise(rows, steerings):
            if row is None:
                if (now := time.monotonic()) - told >= often:
                    yield Underway(sum(len(one.tokens) for one in rows), sum(one.finish is None for one in rows), now - began)
                    told = time.monotonic()
                continue
            left[row.job] -= 1
            if left[row.job] == 0:
                yield self._result(jobs[row.job], waiting.pop(row.job), loaded)
                told = time.monotonic()

    def judge(self, jobs: Sequence[JudgeJob]) -> Iterator[Answered | Failure]:
        """How likely the replies are to this model that questions about other answers allow, and what probes say of answers that
        it reads; see ``judging.judge`` and ``linear_probe.probe_answers``."""
        loaded, engine = self._held(), self._engine
        assert engine is not None
        yield from judge(loaded, engine, [job for job in jobs if isinstance(job, JudgingJob)])
        yield from probe_answers(loaded, engine.packing, [job for job in jobs if isinstance(job, LinearProbeJob)])

    def capability(self, jobs: Sequence[CapabilityJob]) -> Iterator[Answered | Failure]:
        """What steerings do to what this model can do; see ``actors.capability``."""
        loaded, engine = self._held(), self._engine
        assert engine is not None
        from actors.capability import measure  # an extra, which imports much

        return measure(loaded, engine, [_with(job, self._settled) for job in jobs])

    def activations(self, jobs: Sequence[ActivationsJob]) -> Iterator[Answered | Failure]:
        """The residual stream of prompts at their last token, every one by itself; see ``actors.analysis.activations``."""
        self._held()
        assert self._captures is not None
        return read_activations(self._captures, jobs)

    def shifts(self, jobs: Sequence[ShiftsJob]) -> Iterator[Answered | Failure]:
        """How directions that are added at one layer move the activations of later ones; see ``actors.analysis.injection``."""
        self._held()
        assert self._probe is not None
        return measure_shifts(self._probe, jobs)

    def divergences(self, jobs: Sequence[DivergencesJob]) -> Iterator[Answered | Failure]:
        """How far directions that are added move the next token, beside random ones; see ``actors.analysis.injection``."""
        self._held()
        assert self._probe is not None
        assert self._captures is not None
        return measure_divergences(self._probe, self._captures, jobs)

    def damage(self, jobs: Sequence[DamageJob]) -> Iterator[Answered | Failure]:
        """What steerings do beside their effect; see ``actors.damage``."""
        self._held()
        assert self._damage is not None
        yield from self._damage.measure([_with(job, self._settled) for job in jobs])

    def parity(self, jobs: Sequence[ParityJob]) -> Iterator[Answered | Failure]:
        """What tools read of this model, and what planted mistakes make of a direction; see ``actors.parity``."""
        return measure_parity(self._held(), self, jobs)

    def _result(self, job: GenerationJob, rows: list[Row], loaded: LoadedModel) -> CellResult | Failure:
        broken = dict.fromkeys(row.rendered.prompt.id for row in rows if not row.finite)
        if broken and (fault := fault_in(job.steering)):
            return as_failure(job.cell_id, JobError(fault))
        if broken:
            return as_failure(job.cell_id, NonFiniteActivationError(f"logits are not finite for prompts {', '.join(broken)}"))
        norms = [row.residual_norm for row in rows if row.residual_norm is not None]
        new_tokens = sum(len(row.tokens) for row in rows)
        return CellResult(
            cell_id=job.cell_id,
            responses=tuple(_response(row, loaded, self._marks) for row in rows),
            fired=check_of(rows),
            residual_norm=float(np.mean(norms)) if norms else None,
            seconds=sum(row.seconds for row in rows),
            new_tokens=new_tokens,
            thresholds=self._thresholds_of(job.steering),
            provenance={
                **self._provenance,
                "template_sha256": loaded.renderer.template_sha256,
                "peak_memory_mib": str(peak_bytes(loaded.device) // 2**20),
                **reserved_memory(loaded.device),
                "decoding": self._engine.decoding if self._engine else "",
                "slots": ", ".join(str(slots) for slots in sorted({row.slots for row in rows})),
            },
        )

    def _rows(self, number: int, job: GenerationJob, steerings: list[Steering]) -> list[Row]:
        """The rows of a job; its steering, if any, is appended to ``steerings``."""
        loaded = self._held()
        if not job.prompts:
            raise JobError(f"cell {job.cell_id} has no prompts")
        rendered = [loaded.renderer.render(prompt) for prompt in job.prompts]
        if job.decoding.max_thought_tokens is not None:
            self._remark_on_thoughts(loaded, rendered)
        limit = context_limit(loaded.model.config)
        for prompt in rendered:
            if limit is not None and len(prompt.token_ids) + job.decoding.most_tokens > limit:
                budgets = ", ".join(f"{name} {value}" for name, value in job.decoding.content.items())
                raise JobError(
                    f"prompt {prompt.prompt.id!r} has {len(prompt.token_ids)} tokens; with {budgets} that "
                    f"passes the model's limit of {limit}"
                )
        steering_number, first_layer, first_point = 0, None, None
        acts: tuple[Acting, ...] = (Acting(),)
        if job.steering is not None:
            self.check(job.steering)
            steerings.append(self._settled(job.steering))
            steering_number, first_layer, acts = len(steerings), job.steering.first_layer, Acting.of(steerings[-1])
            first_point = job.steering.first_point(loaded.decoder.n_layers)
        return [
            Row(
                number,
                prompt,
                steering_number,
                first_layer,
                job.decoding.most_tokens,
                self._budget(job.decoding, prompt),
                sample,
                RowDraws.of(job.decoding, prompt.prompt, sample),
                acts,
                first_point=first_point,
            )
            for prompt in rendered
            for sample in range(job.decoding.samples)
        ]

    def check(self, steering: Steering) -> None:
        """Refuse a steering that this model cannot run; ``JobError`` names the field, the value and what is allowed."""
        loaded = self._held()
        _check_range(steering, loaded.dtype)
        check_steering(steering, loaded.decoder.n_layers, loaded.d_model, self._width_at)

    def _width_at(self, site: str, layer: int) -> int:
        """Numbers of an activation at a site; ``JobError`` where this model has none."""
        loaded = self._held()
        return width_at(loaded.model, loaded.decoder, loaded.d_model)(site, layer)

    def _settled(self, steering: Steering) -> Steering:
        """The same with every threshold of its conditions known."""
        assert self._thresholds is not None
        return steering if all(part.condition is None for part in steering.parts) else self._thresholds.settled(steering)

    def _thresholds_of(self, steering: Steering | None) -> tuple[ConditionThreshold | None, ...]:
        """Of each part; none where no part has a condition."""
        conditions = [] if steering is None else [part.condition for part in steering.parts]
        if self._thresholds is None or not any(one is not None for one in conditions):
            return ()
        return tuple(None if one is None else self._thresholds.of(one) for one in conditions)

    def _remark_on_thoughts(self, loaded: LoadedModel, prompts: Sequence[Rendered]) -> None:
        """Say once of a model that nothing shows it to mark thoughts, which have a budget here."""
        texts = [str(loaded.tokenizer.get_chat_template()), *(one.text for one in prompts)]
        if self._thoughts_told or (self._marks is not None and self._marks.there) or any(map(marks_thoughts, texts)):
            return
        self._thoughts_told = True
        told = "neither chat template nor tokenizer has marks of thoughts: max_thought_tokens may bound nothing"
        _LOG.warning("%s: %s", Path(loaded.spec.location).name, told)

    def _budget(self, decoding: Decoding, prompt: Rendered) -> ThoughtBudget | None:
        """What a row counts its thoughts' tokens with, where these have a budget of their own."""
        if decoding.max_thought_tokens is None:
            return None
        return ThoughtBudget(decoding.max_thought_tokens, decoding.max_new_tokens, _opens(prompt), self._with_marks)

    def _with_marks(self, token_ids: Sequence[int]) -> str:
        """The text of generated tokens as the driver tells thoughts by it."""
        assert self._marks is not None
        marked = self._marks.text(token_ids)
        return self._held().renderer.decode(token_ids) if marked is None else marked

    def _contrast(self, job: ExtractionJob, every_position: bool) -> Contrast:
        """The activations of the job's prompts, and the means to try steerings on this model."""
        if not job.positive or not job.negative:
            raise JobError(
                f"a contrast needs both classes, got {len(job.positive)} positive and {len(job.negative)} negative prompts"
            )
        assert self._captures is not None
        assert self._probe is not None
        site = str(job.options.get("site") or OUTPUT)
        if site != OUTPUT:
            if every_position:
                raise JobError(f"method {job.method} reads block outputs; allowed: site output, or another method")
            widths = {self._width_at(site, layer) for layer in range(self._held().decoder.n_layers)}
            if len(widths) > 1:
                raise JobError(f"site {site}: blocks have activations of {sorted(widths)} numbers there; allowed: equal ones")
        key = CaptureKey(job.positive, job.negative, job.extractor, site)
        positive, negative = self._captures.of(key, every_position)
        if job.given is not None and (wrong := misfit(job.given, positive.shape[2], positive.shape[3])):
            raise JobError(f"{job.method}: {wrong}")
        return Contrast(positive, negative, job.positive, job.negative, self._probe, job.given)

    def _held(self) -> LoadedModel:
        if self._loaded is None:
            raise JobError("the worker holds no model: load one first")
        return self._loaded


def _with(job: SteeredJob, settled: Callable[[Steering], Steering]) -> SteeredJob:
    return job if job.steering is None else replace(job, steering=settled(job.steering))


def _for_engine(loaded: LoadedModel, packing: Packing) -> EngineModel:
    try:
        dependence = None if loaded.decoder.runs_alone else batch_dependence(loaded.model, packing)
    except (AssertionError, ValueError, RuntimeError) as error:
        if says_nothing_of_the_work(error):
            raise
        what = f"model_type {loaded.model.config.model_type!r} in quantization {loaded.spec.quantization!r}"
        raise UnsupportedModelError(f"{what}: its linear layers do not multiply on this machine: {error}") from error
    parts = (loaded.model, loaded.decoder, loaded.device, loaded.dtype, loaded.d_model, loaded.stop_tokens)
    return EngineModel(*parts, dependence, packing)


def _response(row: Row, loaded: LoadedModel, marks: Marks | None) -> Response:
    assert row.finish is not None
    assert marks is not None
    prompt = row.rendered.prompt
    text, marked = loaded.renderer.decode(row.tokens), marks.text(row.tokens)
    tokens, read = tuple(row.tokens), len(row.rendered.token_ids)
    acted = tuple(map(row.holds, range(len(row.acts)))) if row.conditional else ()
    told = (marked, _opens(row.rendered), row.sample, row.cosines, acted)
    return Response(prompt.id, prompt.text, text, tokens, read, row.finish, *told)


def _opens(prompt: Rendered) -> str:
    return opened_by(prompt.text, prompt.prompt.text)


def _check_range(steering: Steering, dtype: torch.dtype) -> None:
    """Refuse a shift that the model's numbers cannot hold: it would be infinite, and every answer with it."""
    for part in steering.parts:
        _check_part_range(part, dtype)


def _check_part_range(steering: Steering, dtype: torch.dtype) -> None:
    strongest = abs(steering.multiplier) * max((abs(scale) for scale in steering.scales), default=1.0)
    shift = strongest * float(np.abs(steering.vectors).max(initial=0.0))
    limits = {strongest: torch.finfo(torch.float32).max, shift: torch.finfo(dtype).max}
    for number, most in limits.items():
        if number > most:
            message = f"multiplier {steering.multiplier:g} is too large for {str(dtype).removeprefix('torch.')}"
            raise JobError(f"{message}: it takes numbers of {number:.3g}, the largest is {most:.3g}")


def _provenance(loaded: LoadedModel, dependence: str | None, placing: str) -> dict[str, str]:
    """What a reader needs to trust or repeat a number; plain strings, no paths. ``placing``: see ``load_check.Verdict``."""
    why_alone = loaded.decoder.why_alone
    return {
        **{package: version(package) for package in ("torch", "transformers", "nnsight", "bitsandbytes")},
        **device_record(loaded.device),
        "threads": str(torch.get_num_threads()),
        "attention": f"the model's own, row by row: {why_alone}" if why_alone else "slot_attention (grouped, float32 softmax)",
        "batch_invariant": "yes (measured)" if dependence is None else "; ".join(filter(None, (f"no: {dependence}", placing))),
        "model_commit": loaded.commit,
        **loaded.renderer.record,
        **({"generation_config": f"not applied: {left}"} if (left := not_applied(_generation_settings(loaded))) else {}),
        **loaded.record,
        **({"spread": f"over {', '.join(devices_of(loaded.model))}: exact, not fast"} if loaded.decoder.spread else {}),
    }


def _remarks(loaded: LoadedModel) -> list[str]:
    """What a person should know of a model before its answers are there."""
    said = sentence(_generation_settings(loaded))
    return [*loaded.renderer.remarks, *([said] if said else [])]


def _generation_settings(loaded: LoadedModel) -> dict[str, object]:
    settings: dict[str, object] = loaded.model.generation_config.to_dict()
    return settings
