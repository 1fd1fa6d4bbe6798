"""Several steerings of one row, and conditions: tokens equal to plain hooks, and a check that catches what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.engine.conditions import ConditionReader
from actors.engine.forced import ForcedRow
from actors.engine.rows import Row
from actors.errors import JobError
from actors.stacks import StackedTable
from actors.steering import SteeringHooks, check_steering
from actors.types import CellResult, Condition, Decoding, FloatArray, GenerationJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import D_MODEL, unit
from tests.actors.engine.test_steered_positions import TEXTS, answers, run
from tests.oracle import edits_of, generate_alone, plain_hooks

Loader = Callable[..., ModelWorker]
PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(TEXTS))
NEW = 7
CONDITION_LAYER = 3
ONE = Steering((1,), unit(1, 0), 1.0)


def states(worker: ModelWorker, prompts: Sequence[Prompt] = PROMPTS, layer: int = CONDITION_LAYER) -> FloatArray:
    """The unsteered output of a block at each prompt's last token, by plain transformers, one prompt at a time."""
    loaded, seen = worker._held(), list[torch.Tensor]()
    for prompt in prompts:
        ids = torch.tensor([loaded.renderer.render(prompt).token_ids])
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, {layer: lambda out: seen.append(out[0, -1]) or out}):  # type: ignore[func-returns-value]
            loaded.model(input_ids=ids, use_cache=False)
    return torch.stack(seen).numpy()


def condition(worker: ModelWorker, above: bool = True) -> Condition:
    """One that holds for some of the prompts and not for others, with its threshold in the middle."""
    vector, found = unit(1, 9)[0], states(worker)
    cosines = np.sort(found @ vector / np.linalg.norm(found, axis=1))
    return Condition(CONDITION_LAYER, vector, float(cosines[1:3].mean()), above)


def stacks(worker: ModelWorker) -> dict[str, Steering]:
    """Two and three parts, that share layers and do not, of every kind, at some positions and under conditions."""
    two = Steering((1, 2), unit(2, 0), 15.0, then=(Steering((1, 2, 3), unit(3, 1), -12.0),))
    late = Steering((3, 4), unit(2, 2), 1.0, "ablation", positions="generation")
    mixed = Steering((2,), unit(1, 3), 20.0, positions="last_prompt", then=(Steering((1, 2), unit(2, 4), 9.0), late))
    faded = Steering((1,), unit(1, 5), 14.0, schedule="linear:4", then=(Steering((1,), unit(1, 6), 8.0, keep_norm=True),))
    head = np.random.default_rng(11).standard_normal((1, 16)).astype(np.float32)
    head /= np.linalg.norm(head)
    behind = (Steering((2,), unit(1, 10), 12.0), Steering((1,), head, 20.0, site="head:1", positions="generation"))
    some, others = condition(worker), condition(worker, above=False)
    return {
        "two": two,
        "turned": replace(two.then[0], then=(replace(two, then=()),)),
        "mixed": mixed,
        "faded": faded,
        "sites": Steering((1, 2), unit(2, 9), 15.0, site="attention", then=behind),
        "some": Steering((1, 2), unit(2, 0), 30.0, condition=some),
        "others": Steering((1, 4), unit(2, 0), 30.0, condition=others, then=(Steering((2,), unit(1, 7), 10.0),)),
        "apart": Steering((2,), unit(1, 0), 25.0, condition=some, then=(Steering((1,), unit(1, 8), 25.0, condition=others),)),
        "plain": Steering((1, 2), unit(2, 0), 15.0),
    }


def jobs_of(steerings: dict[str, Steering], prompts: Sequence[Prompt] = PROMPTS) -> list[GenerationJob]:
    base = GenerationJob("base", tuple(prompts), Decoding(NEW))
    return [base, *(GenerationJob(name, tuple(prompts), Decoding(NEW), one) for name, one in steerings.items())]


def expected(worker: ModelWorker, steering: Steering | None, prompt: Prompt, guess: Sequence[int] | None = None) -> list[int]:
    """By plain hooks, of those parts whose conditions hold by a plain forward."""
    loaded, parts = worker._held(), []
    for part in () if steering is None else steering.parts:
        state = None if part.condition is None else states(worker, [prompt], part.condition.layer)[0]
        if part.condition is None or state is None or part.condition.holds(cosine(state, part.condition)):
            parts.append(replace(part, then=()))
    acting = replace(parts[0], then=tuple(parts[1:])) if parts else None
    rendered = loaded.renderer.render(prompt)
    return generate_alone(loaded.model, loaded.decoder.blocks, rendered.token_ids, acting, NEW, rendered.suffix, guess)


def cosine(state: FloatArray, condition: Condition) -> float:
    return float(state @ condition.vector / np.linalg.norm(state) / np.linalg.norm(condition.vector))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen3_5"])
def test_tokens_equal_plain_hooks(family: str, tiny_worker: Loader) -> None:
    """In one batch with others; the last family's rows run alone."""
    worker = tiny_worker(family)
    steerings = stacks(worker) if family != "qwen3_5" else {name: stacks(worker)[name] for name in ("mixed", "others", "apart")}
    results = run(worker, jobs_of(steerings))
    for name, steering in (("base", None), *steerings.items()):
        for prompt, response in zip(PROMPTS, results[name].responses, strict=True):
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            assert list(response.token_ids) == expected(worker, steering, prompt, guess), f"{name} {prompt.id}"
        assert results[name].fired.fired is (None if steering is None else True), f"{name}: {results[name].fired}"
    if family == "llama":
        found = answers(results)
        assert any(found["two", one.id] != found["plain", one.id] for one in PROMPTS)
        steered = [found["some", one.id] != found["base", one.id] for one in PROMPTS]
        assert sorted(steered) == [False, False, True, True], "a condition steers those for which it holds"


def test_neighbours_order_refills_and_samples_change_no_token(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    jobs = jobs_of(stacks(worker))
    together = answers(run(worker, jobs))
    alone = {key: one for job in (jobs[5], jobs[7]) for key, one in answers(run(worker, [job])).items()}
    assert alone == {key: together[key] for key in alone}
    assert answers(run(tiny_worker("llama", slots=16), jobs[::-1])) == together
    drawn = Decoding(NEW, temperature=0.8, samples=2, seed=1)
    (result,) = run(worker, [replace(jobs[8], decoding=drawn)]).values()
    assert result.fired.fired is True
    assert {one.prompt_id: one.acted for one in result.responses if not one.sample} == {
        one.prompt_id: one.acted for one in result.responses if one.sample
    }


def test_what_decided_is_told_of_every_response(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    steering = stacks(worker)["others"]
    assert steering.condition is not None
    result = run(worker, jobs_of({"others": steering}))["others"]
    plain = [cosine(state, steering.condition) for state in states(worker)]
    np.testing.assert_allclose([one.cosines[0] for one in result.responses], plain, atol=1e-5)  # type: ignore[arg-type]
    assert [one.cosines[1] for one in result.responses] == [None] * 4
    assert [one.acted for one in result.responses] == [(steering.condition.holds(one), True) for one in plain]


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
def test_conditions_at_several_layers_are_read_together(family: str, tiny_worker: Loader) -> None:
    """Of the same prompts, in one cell and in several; also of a part that acts where activations are narrower."""
    worker, vector = tiny_worker(family), unit(1, 9)[0]
    narrow = np.random.default_rng(11).standard_normal((1, 16)).astype(np.float32)
    narrow /= np.linalg.norm(narrow)
    low, high = (replace(condition(worker), layer=layer, threshold=0.0) for layer in (0, 4))
    head = Steering((1,), narrow, 20.0, site="head:1", condition=low)
    steerings = {
        "low": Steering((1,), unit(1, 0), 25.0, condition=low),
        "both": Steering((2,), unit(1, 1), 25.0, condition=high, then=(Steering((1,), unit(1, 2), 25.0, condition=low),)),
        **({"head": head} if family == "llama" else {}),
    }
    results = run(worker, jobs_of(steerings))
    for name, steering in steerings.items():
        for prompt, response in zip(PROMPTS, results[name].responses, strict=True):
            for part, told in zip(steering.parts, response.cosines, strict=True):
                assert part.condition is not None
                state = states(worker, [prompt], part.condition.layer)[0]
                assert told == pytest.approx(float(state @ vector / np.linalg.norm(state)), abs=1e-5)
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            assert list(response.token_ids) == expected(worker, steering, prompt, guess), f"{name} {prompt.id}"
        assert results[name].fired.fired is True


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
def test_given_answers_are_read_under_all_parts(family: str, tiny_worker: Loader) -> None:
    worker = tiny_worker(family)
    loaded, steering = worker._held(), stacks(worker)["mixed"]
    text = tuple(int(token) for token in np.random.default_rng(0).integers(6, 261, 14))
    rows = [ForcedRow(text[:n], 2, text[n:], number, 3) for number in (0, 1) for n in (6, 9)]
    assert worker._engine is not None
    for row, found in zip(rows, worker._engine.likelihoods(rows, [steering]), strict=True):
        edits = edits_of(steering if row.steering else None, len(row.prompt), row.suffix)
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, edits):
            logits = loaded.model(input_ids=torch.tensor([row.text]), use_cache=False).logits[0, len(row.prompt) - 1 :]
        plain = logits.double().log_softmax(-1).gather(1, torch.tensor(row.continuation)[:, None])[:, 0]
        np.testing.assert_allclose(found.log_probs, plain.numpy(), atol=1e-4)


def test_a_part_that_asks_for_nothing_is_not_missed(tiny_worker: Loader) -> None:
    idle = Steering((1,), unit(1, 0), 0.0, then=(Steering((2,), unit(1, 1), 20.0),))
    assert run(tiny_worker("llama"), jobs_of({"idle": idle}))["idle"].fired.fired is True


@pytest.mark.parametrize(
    ("steering", "told"),
    [
        (Steering((1,), unit(1, 0), 1.0, then=(Steering((9,), unit(1, 0), 1.0),)), "layers"),
        (
            Steering((1,), unit(1, 0), 1.0, then=(Steering((1,), unit(1, 0), 1.0, then=(Steering((1,), unit(1, 0), 1.0),)),)),
            "more",
        ),
        (Steering((1,), unit(1, 0), 1.0, condition=Condition(9, unit(1, 0)[0], 0.1)), "layer 9"),
        (Steering((1,), unit(1, 0), 1.0, condition=Condition(1, unit(1, 0)[0])), "both classes"),
    ],
)
def test_what_cannot_be_run_is_refused(steering: Steering, told: str) -> None:
    with pytest.raises(JobError, match=told):
        check_steering(steering, 5, D_MODEL)


# --- planted mistakes


def fired(worker: ModelWorker, name: str) -> CellResult:
    return run(worker, jobs_of({one: steering for one, steering in stacks(worker).items() if one in (name, "plain")}))[name]


@pytest.mark.parametrize("name", ["two", "mixed"])
def test_a_part_that_is_left_out_is_caught(name: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    small = stacks(worker)[name]
    small = replace(small, then=tuple(replace(one, multiplier=one.multiplier / 30) for one in small.then[:1]))
    monkeypatch.setattr(StackedTable, "apply", lambda self, layer, hidden: self.tables[0].apply(layer, hidden))
    found = run(worker, jobs_of({"small": small}))["small"].fired
    assert found.fired is False
    assert found.shift_ratio_min == pytest.approx(0.0, abs=1e-3), "however small it is beside the others"


def test_parts_in_another_order_are_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    vectors = unit(1, 0)
    removed = Steering((1,), vectors, 20.0, then=(Steering((1,), vectors, 1.0, "ablation"),))
    assert run(worker, jobs_of({"removed": removed}))["removed"].fired.fired is True
    monkeypatch.setattr(
        StackedTable, "apply", lambda self, layer, hidden: self.tables[0].apply(layer, self.tables[1].apply(layer, hidden))
    )
    assert run(worker, jobs_of({"removed": removed}))["removed"].fired.fired is False


def test_vectors_added_twice_are_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, edit = tiny_worker("llama"), SteeringHooks.edit
    monkeypatch.setattr(SteeringHooks, "edit", lambda self, layer, output: self.table.apply(layer, edit(self, layer, output)))
    found = fired(worker, "two").fired
    assert (found.fired, found.shift_ratio_max is not None and found.shift_ratio_max > 1.5) == (False, True)


@pytest.mark.parametrize("name", ["some", "others"])
def test_another_rows_condition_is_caught(name: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = ConditionReader.decide

    def mixed_up(self: ConditionReader, rows: Sequence[Row]) -> None:
        decide(self, rows)
        conditional = [row for row in rows if row.conditional]
        found = [row.cosines for row in conditional]
        for row, other in zip(conditional, [*found[1:], *found[:1]], strict=True):
            row.decide(other)

    worker = tiny_worker("llama")
    assert fired(worker, name).fired.fired is True
    monkeypatch.setattr(ConditionReader, "decide", mixed_up)
    assert fired(worker, name).fired.fired is False


def test_a_condition_that_is_not_heeded_is_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "holds", lambda _row, _part: True)
    found = fired(tiny_worker("llama"), "some").fired
    assert found.fired is False


@pytest.mark.parametrize("positions", ["all", "generation"])
def test_the_norm_is_that_where_the_first_part_acts(positions: str, tiny_worker: Loader) -> None:
    """By plain hooks, whatever acts before it; the same beside other cells."""
    worker = tiny_worker("llama")
    early = Steering((1,), unit(1, 1), 500.0, positions=positions)
    steering = Steering((3,), unit(1, 0), 2.0, positions=positions, then=(early,))
    loaded, seen = worker._held(), list[torch.Tensor]()
    for prompt in PROMPTS:
        rendered = loaded.renderer.render(prompt)
        edits = edits_of(early, len(rendered.token_ids), rendered.suffix) if positions == "all" else {}
        look = {3: lambda out: seen.append(out[0, -1]) or out}  # type: ignore[func-returns-value]
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, {**edits, **look}):
            loaded.model(input_ids=torch.tensor([rendered.token_ids]), use_cache=False)
    jobs = jobs_of({"one": steering, "other": Steering((0, 3), unit(2, 2), 5.0)})
    for found in (run(worker, jobs[1:2]), run(worker, jobs)):
        assert found["one"].residual_norm == pytest.approx(float(torch.stack(seen).norm(dim=-1).mean()), rel=1e-4)
