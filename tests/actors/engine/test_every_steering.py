"""Every way of steering, mixed in one batch, in every tiny model: tokens equal to plain transformers, one prompt at a time.

Positions, schedules, sites, interventions, kept norms, scales, layers, conditions and further parts, each value of one with each
value of every other (``tests.every_steering``), in shuffled order with refills. Here a part of them; all of them, and all
architectures, in the slow tests: ``make tokens``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import transformers

from actors.engine.site_places import site_places, width_at
from actors.errors import JobError
from actors.types import CellResult, Condition, Decoding, EngineOptions, FloatArray, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from benchmarks.architectures import ALONE, BATCH, stored
from tests.architectures import tiny_architecture
from tests.every_steering import AXES, Chosen, Where, few, pairwise, steerings
from tests.plain import Plain
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer

Loader = Callable[..., ModelWorker]
TEXTS = ("How do I bake a cake?", "Hi", "Why is the sky blue at noon?")
PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(TEXTS))
NEW = 8
TINY_TEMPLATE = 2
"""Tokens behind the user's text in the template of ``tests.tiny``: the end of the turn and the assistant's mark."""
GENERATED = 11
"""One in so many answers is also written anew by ``generate``."""
QUICK = ("gemma3", "gpt2", "mistral", "phi3", "qwen3_5", "qwen3_moe")
"""Families of the everyday tests: those whose blocks differ, of which other tests hold less to plain transformers."""
FEW = 0.4
"""The share of steerings that change an answer, and of those that ask for something, at least: else little would be seen."""


class Compared:
    """One model held by a worker and by plain transformers, and what became of its answers."""

    def __init__(
        self, worker: ModelWorker, model: Any, template: int = TINY_TEMPLATE, prompts: Sequence[Prompt] = PROMPTS
    ) -> None:
        self.worker, self.template, self.prompts = worker, template, tuple(prompts)
        loaded = worker._held()
        decoder = loaded.decoder
        self.plain = Plain.of(model, [model.get_submodule(f"{decoder.blocks_path}.{n}") for n in range(decoder.n_layers)])
        self.ids = {
            one.id: list(
                loaded.tokenizer.apply_chat_template(
                    [{"role": "user", "content": one.text}], add_generation_prompt=True, return_dict=True
                )["input_ids"]
            )
            for one in self.prompts
        }
        self.states = {name: [one.double().numpy() for one in self.plain.outputs(ids)] for name, ids in self.ids.items()}
        self.stops = frozenset(loaded.stop_tokens)

    def where(self) -> Where:
        """Places and lengths; which sites there are is the engine's word, where they are is found apart (``tests.plain``)."""
        loaded = self.worker._held()
        decoder = loaded.decoder
        places = site_places(loaded.model, decoder)

        def layers(site: str) -> list[int]:
            if site in ("output", "input"):
                return list(range(decoder.n_layers))
            found = list[int]()
            for layer in range(decoder.n_layers):
                with suppress(JobError):
                    for one in ("attention", "mlp") if site == "everywhere" else (site,):
                        places.tensor(one, layer)
                    found.append(layer)
            return found

        width_of = width_at(loaded.model, decoder, loaded.d_model)
        norms = [
            float(np.mean([np.linalg.norm(states[layer]) for states in self.states.values()]))
            for layer in range(decoder.n_layers)
        ]
        return Where(
            layers,
            lambda site, layer: loaded.d_model if site == "everywhere" else width_of(site, layer),
            places.n_heads,
            norms,
            self.condition,
        )

    def condition(self, above: bool) -> Condition:
        """One that holds for some of the prompts, by a threshold in the middle of the widest gap between their cosines."""
        layer = len(self.plain.blocks) // 2
        vector: FloatArray = (
            np.random.default_rng(9).standard_normal(len(self.states[self.prompts[0].id][layer])).astype(np.float32)
        )
        vector /= np.linalg.norm(vector)
        found = sorted(_cosine(states[layer], vector) for states in self.states.values())
        low, high = max(itertools.pairwise(found), key=lambda pair: pair[1] - pair[0])
        return Condition(layer, vector, (low + high) / 2, above)

    def acting(self, steering: Steering | None, prompt: str) -> Steering | None:
        """Those parts whose conditions hold, by the plain model."""
        parts = [replace(one, then=()) for one in (() if steering is None else steering.parts) if self._holds(one, prompt)]
        return replace(parts[0], then=tuple(parts[1:])) if parts else None

    def _holds(self, part: Steering, prompt: str) -> bool:
        condition = part.condition
        if condition is None:
            return True
        return condition.holds(_cosine(self.states[prompt][condition.layer], condition.vector))

    def run(self, jobs: Sequence[GenerationJob]) -> dict[str, CellResult]:
        """All in one call."""
        found = list(self.worker.generate(jobs))
        assert all(isinstance(one, CellResult) for one in found), [one for one in found if not isinstance(one, CellResult)]
        return {one.cell_id: one for one in found if isinstance(one, CellResult)}

    def check(self, job: GenerationJob, result: CellResult, generated: int = 0) -> Counter[str]:
        """Every answer of a cell; ``generated``: that of one prompt is also written anew."""
        counts: Counter[str] = Counter()
        for number, response in enumerate(result.responses):
            ids, steering = self.ids[response.prompt_id], self.acting(job.steering, response.prompt_id)
            told = f"{job.cell_id} {response.prompt_id} {job.steering}"
            answer = list(response.token_ids)
            assert len(answer) == NEW or response.finish_reason == "stop", told
            short = float(self.plain.writes(ids, steering, self.template, answer).max()) if answer else 0.0
            counts["tokens"] += len(answer)
            if short or response.finish_reason == "stop" or number == generated:
                counts["generated"] += 1
                counts["not the best of one forward"] += bool(short)
                plain = self.plain.generates(ids, steering, self.template, NEW)
                assert answer == plain, f"{told}: {answer}, plainly {plain}; short of the best by {short}"
        return counts


def _cosine(state: Any, vector: FloatArray) -> float:
    return float(state @ vector / np.linalg.norm(state) / np.linalg.norm(vector.astype(np.float64)))


def compare(compared: Compared, choices: Sequence[Chosen], seed: int = 0) -> Counter[str]:
    """All of them in one batch, in shuffled order; a third of them again without the others, as a continued run has them."""
    asked = steerings(choices, compared.where(), seed)
    jobs = [GenerationJob("base", compared.prompts, Decoding(NEW))]
    jobs += [GenerationJob(f"{n} {chosen}", compared.prompts, Decoding(NEW), one) for n, (chosen, one) in enumerate(asked)]
    Random(seed).shuffle(jobs)
    results = compared.run(jobs)
    counts: Counter[str] = Counter(steerings=len(asked))
    base = {one.prompt_id: one.token_ids for one in results["base"].responses}
    for number, job in enumerate(jobs):
        result = results[job.cell_id]
        counts += compared.check(job, result, -1 if number % GENERATED else number // GENERATED % len(compared.prompts))
        assert result.fired.fired is not False, f"{job.cell_id} {job.steering}: {result.fired}"
        counts["fired"] += result.fired.fired is True
        counts["changed"] += any(one.token_ids != base[one.prompt_id] for one in result.responses)
    continued = compared.run(jobs[::-3])
    for name, one in continued.items():
        assert one.responses == results[name].responses, f"{name} beside fewer others"
        assert one.fired == results[name].fired or one.fired.fired == results[name].fired.fired, name
    return counts


def plain_of(folder: Path) -> Any:
    """The model of a folder by transformers alone."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()
    model.generation_config = transformers.GenerationConfig(eos_token_id=2, pad_token_id=0)
    return model


@pytest.mark.parametrize("family", QUICK)
def test_a_part_of_them(family: str, tiny_worker: Loader) -> None:
    compared = Compared(tiny_worker(family, slots=16), tiny_model(family), prompts=PROMPTS[1:])
    counts = compare(compared, few(AXES, 14, seed=QUICK.index(family)))
    assert counts["changed"] > FEW * counts["steerings"], counts
    assert counts["fired"] > FEW * counts["steerings"], counts


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_all_of_them_in_every_family(family: str, tiny_worker: Loader) -> None:
    counts = compare(Compared(tiny_worker(family, slots=16), tiny_model(family)), pairwise(AXES))
    print(f"{family}: {dict(counts)}")
    assert counts["changed"] > FEW * counts["steerings"], counts
    assert counts["fired"] > FEW * counts["steerings"], counts


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in stored() if one.way in (BATCH, ALONE)])
def test_some_of_them_in_every_architecture(name: str, tmp_path: Path) -> None:
    try:
        tiny_architecture(name).save_pretrained(tmp_path)
        tiny_tokenizer().save_pretrained(tmp_path)
    except Exception as error:  # noqa: BLE001 - whatever hinders transformers from building it
        pytest.skip(f"cannot be made here: {error}")
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions(slots=16))
    compared = Compared(worker, plain_of(tmp_path), prompts=PROMPTS[:2])
    alone = worker._held().decoder.runs_alone
    counts = compare(compared, few(AXES, 14 if alone else 16))
    print(f"{name}: {'row by row' if alone else 'in one batch'}, {dict(counts)}")
