"""Drawn tokens: their distribution is the softmax's, their bits are the row's own, and a prompt is prefilled once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from actors.engine import engine as engine_module
from actors.engine import sampling
from actors.engine.alone import AloneRunner
from actors.engine.sampling import Draws, RowDraws, drawn
from actors.engine.segments import Segment, SegmentRunner
from actors.stacks import StackBank
from actors.steering import steered
from actors.types import CellResult, Decoding, GenerationJob, Prompt, SampleKey, Steering
from actors.worker import ModelWorker
from tests.pretend_cuda import OnGpu, plug_in

PROMPTS = tuple(Prompt(f"P{n}", text) for n, text in enumerate(["How do I bake a cake?", "Hi", "Tell me a joke" * 3]))
DRAWING = Decoding(9, temperature=0.8, top_p=0.9, samples=3, seed=7)
Load = Callable[..., ModelWorker]
Tokens = dict[tuple[str, SampleKey], tuple[int, ...]]


def unit(layers: int, multiplier: float) -> Steering:
    vector = np.random.default_rng(layers).standard_normal((1, 64)).astype(np.float32)
    return Steering(tuple(range(1, 1 + layers)), np.repeat(vector / np.linalg.norm(vector), layers, axis=0), multiplier)


JOBS = (
    GenerationJob("greedy", PROMPTS, Decoding(12)),
    GenerationJob("drawn", PROMPTS, DRAWING),
    GenerationJob("steered", PROMPTS, DRAWING, unit(3, 6.0)),
    GenerationJob("hot", PROMPTS[:2], Decoding(14, temperature=1.5, samples=2), unit(2, -4.0)),
)


def tokens_of(worker: ModelWorker, jobs: Sequence[GenerationJob]) -> Tokens:
    found: Tokens = {}
    for result in worker.generate(jobs):
        assert isinstance(result, CellResult), result
        found |= {(result.cell_id, response.key): response.token_ids for response in result.responses}
    return found


def test_the_first_token_is_drawn_from_the_softmax(tiny_worker: Load) -> None:
    """Twenty thousand samples of one prompt, through the worker."""
    worker, n = tiny_worker("llama_calm", slots=512), 20_000
    decoding = Decoding(1, temperature=0.7, samples=n, seed=3)
    (result,) = worker.generate([GenerationJob("cell", PROMPTS[:1], decoding)])
    assert isinstance(result, CellResult)
    loaded = worker._held()
    with torch.no_grad():
        logits = loaded.model(torch.tensor([loaded.renderer.render(PROMPTS[0]).token_ids])).logits[0, -1]
    expected = n * (logits.double() / 0.7).softmax(dim=-1).numpy()
    seen = Counter(response.token_ids[0] if response.token_ids else 2 for response in result.responses)  # 2: the stop token
    counts = np.array([seen[token] for token in range(len(expected))])
    rare = expected < 5
    merged = [np.append(one[~rare], one[rare].sum()) if rare.any() else one for one in (counts, expected)]
    assert chisquare(*merged).pvalue > 0.001
    flat = np.full(len(expected), n / len(expected))
    assert chisquare(counts, flat).pvalue < 1e-6, "the test can tell distributions apart"


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 1.0])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    logits = 3 * torch.randn(6, 64, generator=torch.Generator().manual_seed(0))
    kept = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(0.8)(None, logits.clone()))
    n = 20_000
    for row, allowed in zip(logits, kept, strict=True):
        uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        temperature, mass = (torch.full((n,), value, dtype=torch.float64) for value in (0.8, top_p))
        counts = torch.bincount(drawn(row.expand(n, -1), Draws(temperature, mass, uniforms)), minlength=64)
        assert torch.allclose(counts / n, allowed.softmax(dim=-1), atol=1.5 / n)
        assert not counts[torch.isinf(allowed)].any()


def test_equals_are_taken_by_their_number_and_the_ends_are_tokens() -> None:
    settings = torch.ones(3, dtype=torch.float64)
    logits = torch.zeros(3, 8)
    ends = torch.tensor([0.0, 0.5, 1 - 2.0**-53], dtype=torch.float64)
    assert drawn(logits, Draws(settings, settings, ends)).tolist() == [0, 4, 7]
    assert drawn(logits, Draws(settings, settings * 0.25, ends)).tolist() == [0, 1, 1]


@pytest.mark.parametrize("temperature", [1e-38, 1e-320])
def test_hardly_any_temperature_takes_the_likeliest(temperature: float) -> None:
    """Also one by which no logit can be divided in float64."""
    draws = RowDraws.of(Decoding(4, temperature=temperature), Prompt("p", "Hello"), 0)
    assert draws is not None
    logits = 10 * torch.randn(4, 500, generator=torch.Generator().manual_seed(1))
    rows = torch.full((4,), draws.temperature).double()
    found = drawn(logits, Draws(rows, torch.ones(4).double(), torch.from_numpy(draws.uniforms)))
    assert torch.equal(found, logits.argmax(dim=-1))


@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_the_likeliest_decide_as_all_do(spread: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a flat distribution, whose mass is not within the likeliest, and of a steep one."""
    random = torch.Generator().manual_seed(1)
    logits = spread * torch.randn(400, 2000, generator=random)
    uniforms = torch.rand(400, generator=random, dtype=torch.float64)
    draws = Draws(torch.ones_like(uniforms), torch.tensor([0.5, 0.95, 1.0, 1.0]).double().repeat(100), uniforms)
    found = drawn(logits, draws)
    monkeypatch.setattr(sampling, "HEAD", 2000)
    assert torch.equal(found, drawn(logits, draws))
    assert len(set(found.tolist())) > 100


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_tokens_depend_on_the_row_alone(family: str, tiny_worker: Load) -> None:
    """Alone, shuffled, in batches of another size, and by another worker."""
    together, other = tokens_of(tiny_worker(family, slots=64), JOBS), tiny_worker(family, slots=16)
    assert len({together["drawn", (prompt.id, sample)] for prompt in PROMPTS for sample in range(3)}) > 6
    assert tokens_of(other, JOBS[::-1]) == together
    alone: Tokens = {}
    for job in JOBS:
        one = GenerationJob(job.cell_id, job.prompts[::-1], job.decoding, job.steering)
        alone |= tokens_of(other, [one])
    assert alone == together


def test_another_seed_or_prompt_draws_otherwise_and_a_longer_answer_begins_alike(tiny_worker: Load) -> None:
    worker = tiny_worker("llama")

    def drawn_with(**changed: int) -> Tokens:
        decoding = Decoding(**{"max_new_tokens": 6, "temperature": 1.0, "samples": 3, **changed})  # type: ignore[arg-type]
        return tokens_of(worker, [GenerationJob("cell", PROMPTS, decoding)])

    short = drawn_with()
    assert short != drawn_with(seed=1)
    assert {key: tokens[:6] for key, tokens in drawn_with(max_new_tokens=9).items()} == short
    more = drawn_with(samples=5)
    assert {key: more[key] for key in short} == short
    numbers = [RowDraws.of(DRAWING, prompt, sample) for prompt in PROMPTS for sample in range(2)]
    assert len({tuple(one.uniforms) for one in numbers if one is not None}) == 2 * len(PROMPTS)
    assert RowDraws.of(Decoding(9), PROMPTS[0], 0) is None


def test_the_numbers_are_these_on_every_machine() -> None:
    found = RowDraws.of(Decoding(3, temperature=1.0), Prompt("T1", "Hi"), 0)
    assert found is not None
    assert found.uniforms.tolist() == json.loads(Path(__file__).with_name("uniforms.json").read_text())


def test_the_samples_of_a_prompt_are_prefilled_once(tiny_worker: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slots for few of them, so that most are admitted later."""
    worker = tiny_worker("llama", slots=16)
    computed: list[int] = []
    run = SegmentRunner.run_all

    def spy(self: SegmentRunner, segments: Sequence[Segment]) -> object:
        computed.extend(len(segment.tokens) for segment in segments)
        return run(self, segments)

    monkeypatch.setattr(SegmentRunner, "run_all", spy)
    job = GenerationJob("cell", PROMPTS[:2], Decoding(5, temperature=1.0, samples=40), unit(3, 6.0))
    assert len(tokens_of(worker, [job])) == 80
    assert sum(computed) == 2 + 2 * 2, "template and prompts, each once unsteered and once steered"


def test_row_by_row_draws_the_same(tiny_worker: Load) -> None:
    worker = tiny_worker("llama")
    expected = tokens_of(worker, JOBS[1:3])
    loaded, steerings = worker._held(), [job.steering for job in JOBS[1:3] if job.steering is not None]
    bank = StackBank(steerings, (loaded.decoder.n_layers, 64), loaded.dtype, loaded.device)
    rows = [row for number, job in enumerate(JOBS[1:3]) for row in worker._rows(number, job, [])]
    with torch.inference_mode(), steered(loaded.decoder) as hooks:
        done = list(AloneRunner(loaded.model, bank, hooks, loaded.device, loaded.stop_tokens).run(rows))
    assert {(JOBS[1 + row.job].cell_id, (row.rendered.prompt.id, row.sample)): tuple(row.tokens) for row in done} == expected


def test_greedy_cells_beside_drawn_ones_are_not_screened_but_equal(tiny_worker: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    alone = tokens_of(worker, JOBS[:1])
    screened: list[object] = []
    worker._engine._head = object()  # type: ignore[union-attr]
    monkeypatch.setattr(engine_module, "screening", lambda _model, head: screened.append(head) or nullcontext())  # type: ignore[func-returns-value]
    together = tokens_of(worker, JOBS[:2])
    assert {key: together[key] for key in alone} == alone
    assert set(screened) == {None}
    tokens_of(worker, JOBS[:1])
    assert None not in screened[-3:], "greedy rows alone are screened"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_cuda_tokens_are_drawn_by_falling_chance_and_of_equals_the_first(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of logits that are often equal, as those of 16 bits are; against a sort of the chances themselves."""
    source = torch.Generator().manual_seed(0)
    logits = (torch.randn(40, 700, generator=source) * 2).round(decimals=1).to(dtype)
    temperature, top_p, uniform = (torch.rand(40, generator=source, dtype=torch.float64) + least for least in (0.5, 0.3, 0.0))
    top_p[::3] = 1.0
    with torch.inference_mode(), plug_in(monkeypatch):
        found = drawn(OnGpu(logits), Draws(*map(OnGpu, (temperature, top_p, uniform)))).tolist()
    for row in range(40):
        scaled = logits[row].double().numpy() / temperature[row].item()
        chances = np.exp(scaled - scaled.max()) / np.exp(scaled - scaled.max()).sum()
        order = np.argsort(-chances, kind="stable")
        reached = chances[order].cumsum()
        kept = int((reached < top_p[row].item()).sum()) if top_p[row] < 1 else len(order) - 1
        mass = reached[min(kept, len(order) - 1)] if top_p[row] < 1 else 1.0
        assert found[row] == order[min(int((reached <= uniform[row].item() * mass).sum()), kept)]
