"""A worker without a model: deterministic answers, and failures on cue.

Cues are in the data, so that they work in another process too. A location ``broken`` cannot be loaded. A prompt text
with ``[job error]`` fails its cell alone, ``[raise]`` ends the whole task, ``[memory]`` ends it as out of memory, ``[device]`` as
a device whose context is dead,
``[die]`` ends the process, ``[die once PATH]`` does so only when it can create PATH; ``[slow]`` takes 0.2 s;
``[kill once PATH]`` kills it as the kernel does when memory is short, ``[hog once PATH]`` asks for more memory than it may
have; ``[wait PATH]`` waits until PATH exists; ``[warn TEXT]`` logs TEXT as a warning; ``[first machine fails PATH]`` says that
the disk of the machine is full that first creates PATH.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import resource
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from actors.boundary import Answered, as_failure, outcome_of
from actors.errors import JobError, ModelLoadError, OutOfMemoryError, WorkerError
from actors.types import (
    ActivationsJob,
    CapabilityJob,
    CellResult,
    DamageJob,
    Direction,
    DirectionSet,
    DivergencesJob,
    EngineOptions,
    ExtractionJob,
    Failure,
    FiredCheck,
    FloatArray,
    GenerationJob,
    JudgeJob,
    LinearProbeJob,
    ModelInfo,
    ModelSpec,
    Prompt,
    Response,
    ShiftsJob,
)

N_LAYERS = 8
D_MODEL = 4
SLOTS = 4


class FakeWorker:
    """Answers as an unsteered model would, and refuses from multiplier 2 on; garbles from 8 on."""

    def __init__(self) -> None:
        self.spec: ModelSpec | None = None

    def load(self, spec: ModelSpec, engine: EngineOptions) -> ModelInfo:
        """Hold ``spec``."""
        self.spec = None
        self.act_on_cue(spec.location)
        if "broken" in spec.location:
            raise ModelLoadError(f"{spec.location}: no such model")
        self.spec = spec
        threads = {"threads": str(engine.threads), "omp": os.environ.get("OMP_NUM_THREADS", ""), "pid": str(os.getpid())}
        threads["variables"] = " ".join(sorted(os.environ))
        return ModelInfo(N_LAYERS, D_MODEL, "fake", spec.dtype, "cpu", engine.slots or SLOTS, 5.0, "template", threads)

    def extract(self, job: ExtractionJob) -> DirectionSet:
        """The first axis at every layer."""
        assert self.spec is not None
        self.act_on_cue(job.positive[0].text)
        if "[job error]" in job.positive[0].text:
            raise JobError("no difference between the classes")
        vector = np.eye(1, D_MODEL, dtype=np.float32)[0]
        directions = tuple(Direction(layer, vector, float(layer + 1)) for layer in range(N_LAYERS))
        return DirectionSet(directions, (2.0,) * N_LAYERS, None, {"extractor": job.extractor})

    def generate(self, jobs: Sequence[GenerationJob], often: float = 0.0) -> Iterator[CellResult | Failure]:
        """One result per job, in order."""
        assert self.spec is not None
        for job in jobs:
            for prompt in job.prompts:
                self.act_on_cue(prompt.text)
            if any("[job error]" in prompt.text for prompt in job.prompts):
                yield as_failure(job.cell_id, JobError("this cell fails on cue"))
            else:
                yield _result(job)

    def damage(self, jobs: Sequence[DamageJob]) -> Iterator[Answered | Failure]:
        """One nat at the first neutral prompt, two at the second; a tenth of a nat for each token that is shown of an answer, and
        ten times that at its worst. ``[job error once PATH]`` in the first prompt fails the job that can create PATH."""
        for job in jobs:
            once = re.search(r"\[job error once (.+?)\]", job.neutral[0].text)
            if "[job error]" in job.neutral[0].text or (once and _create(Path(once[1]))):
                yield as_failure(job.item_id, JobError("cannot be measured"))
                continue
            kl = [0.0 if job.steering is None else float(number) for number, _ in enumerate(job.neutral, start=1)]
            losses = [len(tokens) / 10 if tokens else None for _, tokens in job.answers]
            windows = [None if one is None else 10 * one for one in losses]
            found = {"kl": kl, "losses": losses, "windows": windows, "spans": windows}
            yield Answered(job.item_id, json.dumps(found).encode())

    def judge(self, jobs: Sequence[JudgeJob]) -> Iterator[Answered | Failure]:
        """Finds the reply that says ``refuse`` likelier than all others where the question holds a refusal, else the last one;
        a probe finds a refusal as likely as that.

        What was asked is written down in the file that the variable ``ASKED`` names.
        """
        assert self.spec is not None
        once = set[str]()
        for job in jobs:
            found: dict[str, dict[str, object] | WorkerError] = {}
            if isinstance(job, LinearProbeJob):
                questions: Mapping[str, str] = {key: "".join(both) for key, both in job.answers.items()}
            else:
                questions = job.questions
            for key, question in questions.items():
                if (dying := re.search(r"\[judge dies once (.+?)\]", question)) and _create(Path(dying[1])):
                    self.die()
                if (asked := os.environ.get("ASKED")) and key not in once:
                    once.add(key)
                    with Path(asked).open("a") as file:
                        file.write(f"{key}\n")
                if "[judge fails]" in question:
                    found[key] = JobError("this question is too long for the judge")
                    continue
                refused = "I can't help" in question
                if isinstance(job, LinearProbeJob):
                    found[key] = {"log_odds": 20.0 if refused else -20.0, "tokens": 100, "seconds": 0.5}
                    continue
                wanted = "refuse" if refused else "nothing"
                logs = [[0.0 if wanted in one else -1.0 - (one != replies[-1]) for one in replies] for replies in job.replies]
                found[key] = {"log_likelihoods": logs, "prompt_tokens": 100, "reply_tokens": 10, "seconds": 0.5}
            yield outcome_of(job.item_id, found)

    def capability(self, jobs: Sequence[CapabilityJob]) -> Iterator[Answered | Failure]:
        """Of a task a metric that falls with the multiplier."""
        for job in jobs:
            acc = 0.75 - (0.0 if job.steering is None else job.steering.multiplier / 100)
            told = {"version": "1.0", "n": job.limit or 7, "metrics": {"acc,none": acc, "acc_norm,none": 0.5}}
            yield Answered(job.item_id, json.dumps({Path(job.task).stem: told}).encode())

    def activations(self, jobs: Sequence[ActivationsJob]) -> Iterator[Answered | Failure]:
        """Of each prompt its own numbers, the positive ones apart from the negative ones."""
        for job in jobs:
            states = [_state(one.text, apart) for prompts, apart in ((job.positive, 3.0), (job.negative, 0.0)) for one in prompts]
            yield Answered(job.item_id, save({"activations": np.stack(states)}))

    def shifts(self, jobs: Sequence[ShiftsJob]) -> Iterator[Answered | Failure]:
        """Every shift is of the length of what was added, half along it."""
        for job in jobs:
            shape = len(job.layers), len(job.multipliers), 1 + job.random, len(job.prompts), N_LAYERS
            length = np.ones(shape, np.float32) * np.abs(np.array(job.multipliers, np.float32))[:, None, None, None]
            base = np.stack([_state(one.text, 0.0) for one in job.prompts])[:, list(job.kept)]
            states = base + np.array(job.multipliers, np.float32)[None, :, None, None, None] * np.ones((shape[0], 1, 1, 1, 1))
            told = {"layers": np.array(job.layers), "multipliers": np.array(job.multipliers, np.float64)}
            shifts = {"own": length / 4, "self": length / 2, "length": length, "base": base, "states": states}
            yield Answered(job.item_id, save({**told, **shifts}))

    def divergences(self, jobs: Sequence[DivergencesJob]) -> Iterator[Answered | Failure]:
        """The more, the later a direction stands."""
        for job in jobs:
            shape = len(job.layers), len(job.multipliers), 2 + 2 * job.random, len(job.prompts)
            told = {"layers": np.array(job.layers), "multipliers": np.array(job.multipliers, np.float64)}
            kl = np.ones(shape) * np.arange(1.0, shape[2] + 1)[:, None]
            yield Answered(job.item_id, save({**told, "kl": kl}))

    def act_on_cue(self, text: str) -> None:
        """Do what the cue in ``text`` asks for."""
        once = re.search(r"\[(die|kill|hog) once (.+?)\]", text)
        if "[slow]" in text:
            time.sleep(0.2)
        if waiting := re.search(r"\[wait (.+?)\]", text):
            while not Path(waiting[1]).exists():
                time.sleep(0.05)
        if warning := re.search(r"\[warn (.+?)\]", text):
            logging.getLogger("actors.fake").warning("%s", warning[1])
        if full := re.search(r"\[first machine fails (.+?)\]", text):
            fail_on_the_first_machine(Path(full[1]))
        if "[raise]" in text:
            raise ZeroDivisionError("raised on cue")
        if "[memory]" in text:
            raise OutOfMemoryError("out of memory on cue")
        if "[device]" in text:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb)`")
        word = once[1] if once and _create(Path(once[2])) else ""
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "hog":
            hog()
        if "[die]" in text or word == "die":
            self.die()

    def die(self) -> None:
        """End the process as a crash would."""
        os._exit(1)


def fail_on_the_first_machine(path: Path) -> None:
    """Where Ray says that this is the machine that came here first, which is written down at ``path``."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    if _create(path):
        path.write_text(here)
    if path.read_text() == here:
        raise ModelLoadError("cannot load the model: the disk is full") from OSError(errno.ENOSPC, "No space left on device")


def hog() -> None:
    """Ask for more memory than this process may have for the moment."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, limits[1]))
    try:
        bytearray(2**30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _create(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _state(text: str, apart: float) -> FloatArray:
    random = np.random.default_rng(list(text.encode()))
    return (random.normal(size=(N_LAYERS, D_MODEL)) + apart).astype(np.float32)


def _result(job: GenerationJob) -> CellResult:
    multiplier = 0.0 if job.steering is None else job.steering.multiplier
    each = range(job.decoding.samples)
    responses = tuple(replace(_response(prompt, multiplier), sample=sample) for prompt in job.prompts for sample in each)
    fired = FiredCheck(None) if multiplier == 0 else FiredCheck(True, 1.0, 1.0, 0.0)
    tokens = sum(len(response.token_ids) for response in responses)
    norm = None if job.steering is None else 2.0
    return CellResult(job.cell_id, responses, fired, norm, seconds=0.1, new_tokens=tokens, provenance={"worker": "fake"})


def _response(prompt: Prompt, multiplier: float) -> Response:
    if multiplier >= 8:
        text = "the the the the the the the the the the the the the the the the"
    elif multiplier >= 2:
        text = "I'm sorry, but I can't help with that request."
    else:
        text = f"Of course. Here is a short answer to your question about {prompt.id}, with one useful detail."
    words = tuple(range(len(text.split())))
    return Response(prompt.id, prompt.text, text, words, prompt_tokens=12, finish_reason="stop")
