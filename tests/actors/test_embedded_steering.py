"""The embedded model, for real: directions and steered tokens against plain transformers, on the quickstart's own prompts.

Rows of the quickstart are checked token by token, all of them in the slow tests: greedy decoding takes the best logit at every
step, so a plain forward with hooks over prompt and answer must rank each answered token first. Some also go through ``generate``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from actors.types import CellResult, Condition, Decoding, EngineOptions, ExtractionJob, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from orchestrator.behaviors import load_behavior
from tests.actors.engine.test_every_steering import FEW, Compared, compare
from tests.every_steering import AXES, pairwise
from tests.oracle import TIE, edits_of, first_difference, generate_alone, plain_hooks

pytestmark = pytest.mark.embedded
SWEEPS = Path(__file__).parents[2] / "sweeps"
BEHAVIOR = load_behavior("refusal", SWEEPS / "behaviors" / "refusal.jsonl")
TEST_PROMPTS = tuple(Prompt(prompt.id, prompt.text) for prompt in BEHAVIOR.test[:10])
NEW_TOKENS = 48
CHECKED = 16
"""So many tokens of a row are compared with what ``generate`` writes."""
GRID = [(layer, multiplier) for layer in (9, 15, 21) for multiplier in (4.0, 8.0, 12.0, 20.0)]
SOME = [(9, 20.0), (15, 4.0), (15, 12.0), (21, 8.0)]


@pytest.fixture(scope="module")
def worker() -> Iterator[ModelWorker]:
    held = ModelWorker()
    adapter = str(SWEEPS / "models" / "smollm2-135m-refusal")
    held.load(ModelSpec("embedded", "smollm2-135m-instruct", adapter=adapter), EngineOptions())
    yield held
    held.unload()


@pytest.fixture(scope="module")
def expected(worker: ModelWorker) -> npt.NDArray[np.float64]:
    """Differences in means of plain hidden states ``[L, d]``, of the last layer before the final norm."""
    loaded = worker._held()
    norm = loaded.decoder.final_norm
    assert norm is not None
    before_norm: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(lambda _module, args: before_norm.append(args[0][0, -1].double()))

    def last_token(prompt: Prompt) -> torch.Tensor:
        ids = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt.text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        with torch.no_grad():
            states = loaded.model(input_ids=ids, output_hidden_states=True).hidden_states
        raw = before_norm.pop()
        normed = norm.forward(raw.float())
        torch.testing.assert_close(normed, states[-1][0, -1])  # the last hidden state, with the final norm undone
        return torch.stack([*(state[0, -1].double() for state in states[1:-1]), raw])

    try:
        means = [torch.stack([last_token(p) for p in prompts]).mean(0) for prompts in (BEHAVIOR.positive, BEHAVIOR.negative)]
    finally:
        handle.remove()
    return (means[0] - means[1]).numpy()


@pytest.mark.parametrize("extractor", ["nnsight", "hooks"])
def test_dim_equals_hidden_states_also_in_the_last_layer(
    worker: ModelWorker, expected: npt.NDArray[np.float64], extractor: str
) -> None:
    job = ExtractionJob("x", BEHAVIOR.positive, BEHAVIOR.negative, "dim", {}, extractor)  # type: ignore[arg-type]
    found = worker.extract(job)
    assert len(found.directions) == len(expected) == 30
    for direction, vector in zip(found.directions, expected, strict=True):
        ours = direction.vector.astype(np.float64) * direction.raw_norm
        assert np.linalg.norm(ours - vector) <= 1e-5 * np.linalg.norm(vector), f"layer {direction.layer}"
        assert np.linalg.norm(direction.vector) == pytest.approx(1.0, abs=1e-6)


@pytest.fixture(scope="module", params=["some", pytest.param("all", marks=pytest.mark.slow)])
def cells(worker: ModelWorker, request: pytest.FixtureRequest) -> list[tuple[GenerationJob, CellResult]]:
    """The quickstart's grid, or some of its cells, and its baseline, in one batch."""
    grid, new_tokens = (GRID, NEW_TOKENS) if request.param == "all" else (SOME, CHECKED)
    found = worker.extract(ExtractionJob("x", BEHAVIOR.positive, BEHAVIOR.negative, "dim"))
    steerings: list[Steering | None] = [None]
    steerings += [
        Steering(tuple(range(layer, 30)), np.repeat(found.at(layer).vector[None], 30 - layer, axis=0), multiplier)
        for layer, multiplier in grid
    ]
    jobs = [GenerationJob(f"c{i}", TEST_PROMPTS, Decoding(new_tokens), steering) for i, steering in enumerate(steerings)]
    results = {result.cell_id: result for result in worker.generate(jobs) if isinstance(result, CellResult)}
    return [(job, results[job.cell_id]) for job in jobs]


def test_the_quickstart_s_rows_take_the_best_token_at_every_step(
    worker: ModelWorker, cells: list[tuple[GenerationJob, CellResult]]
) -> None:
    loaded = worker._loaded
    assert loaded is not None
    ties = checked = 0
    for job, result in cells:
        rendered = [list(loaded.renderer.render(prompt).token_ids) for prompt in TEST_PROMPTS]
        stop = [loaded.tokenizer.eos_token_id]
        answers = [[*r.token_ids, *(stop if r.finish_reason == "stop" else [])] for r in result.responses]
        longest = max(len(ids) + len(answer) for ids, answer in zip(rendered, answers, strict=True))
        # Padding on the right: attention is causal, so no real token sees it.
        rows = [ids + answer + [0] * (longest - len(ids) - len(answer)) for ids, answer in zip(rendered, answers, strict=True)]
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, edits_of(job.steering)):
            logits = loaded.model(input_ids=torch.tensor(rows), use_cache=False).logits
        for row, (ids, answer) in enumerate(zip(rendered, answers, strict=True)):
            own = logits[row, len(ids) - 1 : len(ids) - 1 + len(answer)]
            gaps = own.max(dim=-1).values - own[torch.arange(len(answer)), torch.tensor(answer)]
            assert float(gaps.max()) < TIE, f"{job.cell_id} {TEST_PROMPTS[row].id}: not the best token by {gaps.max()}"
            ties += int((gaps > 0).sum())
            checked += len(answer)
    print(f"{checked} tokens checked, {ties} of them ties within {TIE}")


@pytest.mark.parametrize("cell", range(1 + len(SOME)))
def test_rows_of_the_mixed_batch_equal_generate(
    worker: ModelWorker, cells: list[tuple[GenerationJob, CellResult]], cell: int
) -> None:
    loaded = worker._loaded
    assert loaded is not None
    job, result = cells[cell]
    for index in (2 * cell % 10, (2 * cell + 5) % 10):
        ids = loaded.renderer.render(TEST_PROMPTS[index]).token_ids
        ours = result.responses[index].token_ids[:CHECKED]
        guess = ours if index != 2 * cell % 10 else None
        alone = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, CHECKED, guess=guess)
        difference = first_difference(loaded.model, loaded.decoder.blocks, ids, job.steering, ours, alone)
        assert difference is None or difference.gap < TIE, f"{job.cell_id} {TEST_PROMPTS[index].id}: {difference}"


def test_at_some_tokens_and_fading_they_equal_generate(worker: ModelWorker) -> None:
    """Each way in one batch with the others, behind a shared template prefix."""
    loaded = worker._held()
    found = worker.extract(ExtractionJob("x", BEHAVIOR.positive, BEHAVIOR.negative, "dim"))
    layers = tuple(range(15, 30))
    steering = Steering(layers, np.repeat(found.at(15).vector[None], len(layers), axis=0), 12.0)
    words = ("prompt", "generation", "template+first:4", "last_prompt", "from:3", "all")
    schedules = ("constant", "linear:8", "constant", "constant", "exponential:4", "linear:6")
    jobs = [
        GenerationJob(positions, TEST_PROMPTS[:3], Decoding(16), replace(steering, positions=positions, schedule=schedule))
        for positions, schedule in zip(words, schedules, strict=True)
    ]
    results = {one.cell_id: one for one in worker.generate(jobs) if isinstance(one, CellResult)}
    answers = set()
    for number, job in enumerate(jobs):
        result, rendered = results[job.cell_id], loaded.renderer.render(TEST_PROMPTS[number % 3])
        ids, template = rendered.token_ids, rendered.suffix
        ours = result.responses[number % 3].token_ids
        guess = ours if number % 3 else None
        plain = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, 16, template, guess)
        assert list(ours) == plain, job.cell_id
        assert result.fired.fired is True, (job.cell_id, result.fired)
        answers.add(tuple(one.token_ids for one in result.responses))
    assert len(answers) == len(jobs), "no two ways give the same answers"


def test_several_directions_and_a_condition_equal_generate(worker: ModelWorker) -> None:
    """In one batch, behind a shared template prefix; the condition holds for some of the prompts."""
    loaded = worker._held()
    found = worker.extract(ExtractionJob("x", BEHAVIOR.positive, BEHAVIOR.negative, "dim"))
    random = worker.extract(ExtractionJob("r", BEHAVIOR.positive, BEHAVIOR.negative, "random"))
    layers, prompts, direction = tuple(range(15, 30)), TEST_PROMPTS[:4], found.at(12).vector
    refusal, other = (np.repeat(one.at(15).vector[None], len(layers), axis=0) for one in (found, random))
    states = []
    for prompt in prompts:
        ids = torch.tensor([loaded.renderer.render(prompt).token_ids])
        with torch.no_grad():
            states.append(loaded.model(input_ids=ids, output_hidden_states=True).hidden_states[13][0, -1].numpy())
    cosines = [float(state @ direction / np.linalg.norm(state)) for state in states]
    condition = Condition(12, direction, float(np.mean(sorted(cosines)[1:3])))
    late = Steering(layers[3:], other[3:], 9.0, positions="generation")
    steerings = {
        "both": Steering(layers, refusal, 9.0, then=(late,)),
        "some": Steering(layers, refusal, 12.0, condition=condition),
        "one": Steering(layers, refusal, 9.0),
    }
    jobs = [GenerationJob(name, prompts, Decoding(12), one) for name, one in steerings.items()]
    results = {one.cell_id: one for one in worker.generate(jobs) if isinstance(one, CellResult)}
    assert [one.acted for one in results["some"].responses] == [(condition.holds(cosine),) for cosine in cosines]
    for name, prompt, place in (("both", prompts[0], 0), *(("some", prompt, place) for place, prompt in enumerate(prompts))):
        acting = None if name == "some" and not condition.holds(cosines[place]) else steerings[name]
        rendered = loaded.renderer.render(prompt)
        ours = results[name].responses[place].token_ids
        guess = ours if place else None
        plain = generate_alone(loaded.model, loaded.decoder.blocks, rendered.token_ids, acting, 12, rendered.suffix, guess)
        assert list(ours) == plain, (name, prompt.id)
    assert [results[name].fired.fired for name in steerings] == [True, True, True]


TEMPLATE = "<|im_end|>\n<|im_start|>assistant\n"
"""What the model's chat template writes behind the user's text."""


def compared_with_itself(worker: ModelWorker) -> Compared:
    """The model is the worker's own: what runs it here is transformers and hooks on its modules."""
    loaded = worker._held()
    template = len(loaded.tokenizer(TEMPLATE, add_special_tokens=False)["input_ids"])
    return Compared(worker, loaded.model, template, [Prompt(one.id, one.text) for one in TEST_PROMPTS[:2]])


@pytest.mark.slow
def test_every_steering_equals_plain_transformers(worker: ModelWorker) -> None:
    counts = compare(compared_with_itself(worker), pairwise(AXES))
    print(f"embedded: {dict(counts)}")
    assert counts["changed"] > FEW * counts["steerings"], counts
    assert counts["fired"] > FEW * counts["steerings"], counts


def test_the_steering_fired_in_every_cell(cells: list[tuple[GenerationJob, CellResult]]) -> None:
    assert cells[0][1].fired.fired is None
    for job, result in cells[1:]:
        assert result.fired.fired is True, (job.cell_id, result.fired)
        assert result.fired.off_axis_max is not None
        assert result.fired.off_axis_max < 1e-3
        assert result.residual_norm is not None


def test_prompts_share_the_templates_prefix_and_no_token_is_doubled(worker: ModelWorker) -> None:
    loaded = worker._loaded
    assert loaded is not None
    rendered = [loaded.renderer.render(prompt) for prompt in TEST_PROMPTS]
    assert len({r.prefix for r in rendered}) == 1
    assert rendered[0].prefix > 10
    for one in rendered:
        by_transformers = loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": one.prompt.text}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
        assert list(one.token_ids) == by_transformers
