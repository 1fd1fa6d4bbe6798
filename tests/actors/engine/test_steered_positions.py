"""Steering at some tokens only: tokens equal to a plain hook that counts them, and a check that catches what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.engine.decode import SlotBatch
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.engine.lanes import Lanes
from actors.engine.rows import Row
from actors.errors import JobError
from actors.positions import Positions, Spans
from actors.stacks import StackBank
from actors.steering import SteeringHooks, SteeringTable, Witness, check_steering
from actors.types import CellResult, Decoding, EngineOptions, FiredCheck, GenerationJob, ModelSpec, Prompt, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import D_MODEL, unit
from tests.architectures import tiny_architecture
from tests.oracle import edits_of, generate_alone, plain_hooks
from tests.tiny import tiny_tokenizer

Loader = Callable[..., ModelWorker]
TEXTS = ["How do I bake a cake?", "Hi", "Why is the sky blue at noon and red at dusk?", "y" * 40]
PROMPTS = tuple(Prompt(f"P{number}", text) for number, text in enumerate(TEXTS))
WORDS = (
    *("all", "prompt", "generation", "last_prompt", "template", "first:1", "first:3", "from:1", "from:4"),
    *("last_prompt+generation", "template+first:2", "prompt+from:3"),
)
KINDS = (("addition", 20.0, (1, 2, 3, 4)), ("ablation", 1.0, (0, 1, 2, 3, 4)), ("replacement", 30.0, (2,)))
NEW = 9


def cells(words: Sequence[str] = WORDS, prompts: Sequence[Prompt] = PROMPTS) -> list[GenerationJob]:
    """A baseline, and every intervention at each of the positions."""
    found = [GenerationJob("base", tuple(prompts), Decoding(NEW))]
    for number, positions in enumerate(words):
        for kind, multiplier, layers in KINDS:
            steering = Steering(layers, unit(len(layers), number), multiplier, kind, positions=positions)
            found.append(GenerationJob(f"{positions} {kind}", tuple(prompts), Decoding(NEW), steering))
        if number % 3 == 0:
            steering = Steering((1, 3), unit(2, number), 75.0, "rotation", positions=positions)
            found.append(GenerationJob(f"{positions} rotation", tuple(prompts), Decoding(NEW), steering))
    return found


def run(worker: ModelWorker, jobs: Sequence[GenerationJob]) -> dict[str, CellResult]:
    results = list(worker.generate(jobs))
    assert all(isinstance(one, CellResult) for one in results), results
    return {one.cell_id: one for one in results if isinstance(one, CellResult)}


def answers(results: Mapping[str, CellResult]) -> dict[tuple[str, str], tuple[int, ...]]:
    return {(cell, one.prompt_id): one.token_ids for cell, result in results.items() for one in result.responses}


def check(worker: ModelWorker, positions: str) -> FiredCheck:
    """That of one cell beside others."""
    return run(worker, cells(["all", positions]))[f"{positions} addition"].fired


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_tokens_equal_a_plain_hook(family: str, tiny_worker: Loader) -> None:
    worker, prompts = tiny_worker(family), PROMPTS if family == "llama" else PROMPTS[:2]
    loaded, jobs = worker._held(), cells(prompts=prompts)
    results = run(worker, jobs)
    for job in jobs:
        for prompt, response in zip(prompts, results[job.cell_id].responses, strict=True):
            rendered = loaded.renderer.render(prompt)
            ids, template = rendered.token_ids, rendered.suffix
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            plain = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, NEW, template, guess)
            assert list(response.token_ids) == plain, f"{job.cell_id} {prompt.id}"
        fired = results[job.cell_id].fired
        unasked = job.steering is not None and job.steering.positions not in ("all", "generation")
        assert fired.fired is (None if job.steering is None else True), f"{job.cell_id}: {fired}"
        assert fired.stray_max == (0.0 if unasked else None)
    different = {key for key, tokens in answers(results).items() if tokens != answers(results)["base", key[1]]}
    assert len({cell.split(" ", maxsplit=1)[0] for cell, _ in different}) == len(WORDS), "every mode changes some answer"


def test_a_model_whose_rows_run_alone(tiny_worker: Loader) -> None:
    worker = tiny_worker("qwen3_5")
    loaded, jobs = worker._held(), cells(["template+first:2"], PROMPTS[1:2])[1:3]
    for job, result in zip(jobs, run(worker, jobs).values(), strict=True):
        rendered = loaded.renderer.render(PROMPTS[1])
        plain = generate_alone(loaded.model, loaded.decoder.blocks, rendered.token_ids, job.steering, NEW, rendered.suffix)
        assert list(result.responses[0].token_ids) == plain
        assert (result.fired.fired, result.fired.stray_max) == (True, 0.0)


def test_a_model_whose_last_output_is_no_first_argument(tmp_path: Path) -> None:
    """Behind the last block Inkling 2 weighs what several of them put out, and norms that."""
    tiny_architecture("inkling2_text").save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(tmp_path)), EngineOptions())
    last = worker._held().decoder.n_layers - 1
    steerings = [
        Steering((last,), unit(1, number), 9.0, positions=one) for number, one in enumerate(("generation", "prompt", "all"))
    ]
    jobs = [GenerationJob(one.positions, PROMPTS[:2], Decoding(6), one) for one in steerings]
    for cell, result in run(worker, jobs).items():
        assert result.fired.fired, f"{cell}: {result.fired}"


def test_neighbours_order_refills_and_lanes_change_no_token(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    jobs = cells(WORDS[::2])
    together = answers(run(worker, jobs))
    alone = {key: one for job in jobs[2::5] for key, one in answers(run(worker, [job])).items()}
    assert alone == {key: together[key] for key in alone}
    assert answers(run(tiny_worker("llama", slots=16), jobs[::-1])) == together
    monkeypatch.setattr("actors.engine.lanes.ROWS_PER_LANE", 1)
    assert worker._engine is not None
    monkeypatch.setattr(worker._engine, "_lanes", Lanes(2))
    in_lanes = run(worker, jobs)
    assert answers(in_lanes) == together
    assert {one.fired.fired for cell, one in in_lanes.items() if cell != "base"} == {True}


def test_steering_at_every_token_measures_none_of_them_apart(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts of unequal length, too, run as if there were no positions."""

    def refused(*_: object) -> None:
        raise AssertionError("tokens are looked at one by one")

    monkeypatch.setattr("actors.steering.arrival", refused)
    steering = Steering((1, 2), unit(2, 0), 20.0)
    (result,) = run(tiny_worker("llama"), [GenerationJob("all", PROMPTS, Decoding(NEW), steering)]).values()
    assert len({response.prompt_tokens for response in result.responses}) > 1
    assert result.fired.fired is True


def test_samples_of_a_prompt_are_steered_alike(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    steering = Steering((1, 2), unit(2, 0), 20.0, positions="last_prompt+first:2")
    drawn = Decoding(NEW, temperature=0.8, samples=3, seed=1)
    (result,) = run(worker, [GenerationJob("drawn", PROMPTS, drawn, steering)]).values()
    assert (result.fired.fired, result.fired.stray_max) == (True, 0.0)
    again = run(worker, [*cells(["generation"]), GenerationJob("drawn", PROMPTS, drawn, steering)])
    assert again["drawn"].responses == result.responses


@pytest.mark.parametrize("family", ["llama", "qwen3_5"])
def test_given_answers_are_read_under_the_same_edits(family: str, tiny_worker: Loader) -> None:
    """One text in which the answer begins at different places must not be read once for both."""
    worker = tiny_worker(family)
    loaded = worker._held()
    text = tuple(int(token) for token in np.random.default_rng(0).integers(6, 261, 14))
    words = ("generation", "template+first:2", "prompt")
    steerings = [Steering((1, 3), unit(2, number), 20.0, positions=one) for number, one in enumerate(words)]
    rows = [ForcedRow(text[:n], 2, text[n:], number, 3) for number in (0, 1, 2, 3) for n in (6, 9)]
    assert worker._engine is not None
    for row, found in zip(rows, worker._engine.likelihoods(rows, steerings), strict=True):
        steering = steerings[row.steering - 1] if row.steering else None
        with torch.no_grad(), plain_hooks(loaded.decoder.blocks, edits_of(steering, len(row.prompt), row.suffix)):
            logits = loaded.model(input_ids=torch.tensor([row.text]), use_cache=False).logits[0, len(row.prompt) - 1 :]
        plain = logits.double().log_softmax(-1).gather(1, torch.tensor(row.continuation)[:, None])[:, 0]
        np.testing.assert_allclose(found.log_probs, plain.numpy(), atol=1e-4)


def test_an_answer_that_ends_before_its_positions_asks_for_nothing(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    steering = Steering((1,), unit(1, 0), 20.0, positions="from:3")
    short, long = (run(worker, [GenerationJob("c", PROMPTS, Decoding(n), steering)])["c"] for n in (4, 5))
    assert (short.fired.fired, short.fired.stray_max) == (None, 0.0)
    assert long.fired.fired is True
    assert short.residual_norm == long.residual_norm is not None


def test_words_that_are_none_are_refused() -> None:
    with pytest.raises(JobError, match="positions 'ending' are unknown"):
        check_steering(Steering((1,), unit(1, 0), 1.0, positions="ending"), 5, D_MODEL)


def test_a_head_that_is_given_the_last_tokens_alone_tells_nothing_of_the_others() -> None:
    """As of BERT's decoders: it tells of those that it is given."""
    steering = Steering((0,), unit(1, 0), 20.0, positions="last_prompt")
    bank = StackBank([steering], (1, D_MODEL), torch.float32, torch.device("cpu"))
    table = bank.of_text([1], [(Positions.of("last_prompt").spans(5, 2),)], [5])
    hooks, hidden = SteeringHooks(), torch.randn(1, 5, D_MODEL, generator=torch.Generator().manual_seed(0))
    for given, n in ((slice(None), 5), (slice(-2, None), 2)):
        hooks.table, hooks.witness = table.at(torch.arange(5)[None]), Witness()
        hooks.see(0, hooks.edit(0, hidden)[:, given])
        ratios = hooks.witness.arrived[0][0, :, 0, 0].tolist()
        assert ratios == pytest.approx([0.0] * (n - 1) + [1.0], abs=1e-5)
        torch.testing.assert_close(hooks.witness.seen[0] - hooks.witness.raw[0], 20.0 * torch.from_numpy(unit(1, 0)))


# --- planted mistakes: the check says that the steering did not fire as asked


def test_a_missed_first_token_is_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, acting = tiny_worker("llama"), Row.acting
    monkeypatch.setattr(Row, "acting", lambda row, place: acting(row, place) if place > row.rendered.prompt_tokens else (0,))
    found = check(worker, "generation")
    assert found.fired is False
    assert found.shift_ratio_min == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_template_token_off_by_one_is_caught(off: int, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = Positions.spans

    def shifted(self: Positions, prompt: int, template: int) -> Spans:
        right = spans(self, prompt, template)
        return right._replace(start=right.start + off) if self.prompt == "template" else right

    monkeypatch.setattr(Positions, "spans", shifted)
    found = check(tiny_worker("llama"), "template")
    assert found.fired is False
    assert (found.stray_max or 0.0) == pytest.approx(1.0 if off < 0 else 0.0, abs=1e-5)


@pytest.mark.parametrize("positions", ["generation", "template", "last_prompt+first:2"])
def test_a_vector_added_twice_is_caught(positions: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, edit = tiny_worker("llama"), SteeringHooks.edit
    monkeypatch.setattr(SteeringHooks, "edit", lambda self, layer, output: self.table.apply(layer, edit(self, layer, output)))
    found = check(worker, positions)
    assert found.fired is False
    assert found.shift_ratio_max == pytest.approx(2.0, abs=1e-4)


def test_another_rows_vector_is_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    act = SlotBatch._act

    def mixed_up(self: SlotBatch, acting: Mapping[int, tuple[int, ...]]) -> None:
        act(self, dict(zip(acting, [*list(acting.values())[1:], *list(acting.values())[:1]], strict=True)))

    monkeypatch.setattr(SlotBatch, "_act", mixed_up)
    results = run(tiny_worker("llama"), cells(["generation", "from:1"]))
    assert False in {one.fired.fired for one in results.values()}


@pytest.mark.parametrize("positions", ["last_prompt", "prompt", "first:2", "from:4"])
def test_an_edit_elsewhere_is_caught(positions: str, tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token is edited, as if nothing had been said of positions."""
    monkeypatch.setattr(Row, "acting", lambda row, _place: (row.steering,))
    monkeypatch.setattr(SteeringTable, "at", lambda self, _positions: self)
    found = check(tiny_worker("llama"), positions)
    assert found.fired is False
    assert found.stray_max == pytest.approx(1.0, abs=1e-4)


def test_a_sweep_without_positions_watches_no_step(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> dict[int, int]:
        raise AssertionError("the host went over the rows of a batch that needs none of it")

    monkeypatch.setattr(SlotBatch, "_turn", never)
    worker = tiny_worker("llama")
    assert isinstance(worker._engine, Engine)
    assert run(worker, cells(["all"]))["all addition"].fired.fired is True
