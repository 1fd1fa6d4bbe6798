"""Steering within a block: tokens equal to a plain hook on the module that a family has there, and a check that sees mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.engine.engine import Engine
from actors.engine.lanes import Lanes
from actors.engine.residual import TensorSite
from actors.engine.site_places import site_places
from actors.errors import JobError
from actors.families import decoder_of
from actors.sites import place_of, point_of, site_of
from actors.steering import SteeringHooks, check_steering, residual
from actors.types import CellResult, Decoding, ExtractionJob, GenerationJob, Steering
from actors.worker import ModelWorker
from tests.actors.engine.test_interventions import unit
from tests.actors.engine.test_steered_positions import PROMPTS, answers, run
from tests.architectures import names, tiny_architecture
from tests.oracle import generate_alone, read_alone
from tests.tiny import CONFIGS, tiny_model

Loader = Callable[..., ModelWorker]
NEW = 8
WIDTHS = {"heads": 64, **{f"head:{number}": 16 for number in range(4)}}


def cells(sites: tuple[str, ...] = ("input", "attention", "mlp", "heads", "head:3", "head:0")) -> list[GenerationJob]:
    """A baseline, an addition at block outputs, and at every site an addition, a fading one at some tokens, an ablation and a
    function, from the first block on, at a later one and at some."""
    found: list[Steering | None] = [None, Steering((1, 2), unit(2, 0), 20.0)]
    for number, site in enumerate(sites):
        vectors = np.random.default_rng(number).standard_normal((5, WIDTHS.get(site, 64))).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        added = Steering((0, 2), vectors[:2], 15.0, site=site)
        found += [
            added,
            replace(added, layers=(3,), vectors=vectors[2:3], keep_norm=True),
            replace(added, positions="last_prompt+first:3", schedule="linear:4"),
            replace(added, layers=(1, 2), positions="generation"),
            replace(added, layers=(0, 1, 2, 3, 4), vectors=vectors, multiplier=1.0, intervention="ablation"),
            replace(added, layers=(1, 4), multiplier=80.0, intervention="rotation"),
        ]
    found.append(Steering((0, 1, 2, 3, 4), unit(5, 9), 1.0, "ablation", site="everywhere"))
    found.append(Steering((2, 3), unit(2, 10), 1.0, "ablation", site="everywhere", positions="prompt"))
    return [GenerationJob(f"{number}", PROMPTS[:2], Decoding(NEW), steering) for number, steering in enumerate(found)]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "gpt_neox", "mixtral"])
def test_tokens_equal_a_plain_hook(family: str, tiny_worker: Loader) -> None:
    worker, jobs = tiny_worker(family), cells() if family == "llama" else cells()[::3]
    loaded, results = worker._held(), run(worker, jobs)
    for job in jobs:
        for prompt, response in zip(job.prompts, results[job.cell_id].responses, strict=True):
            rendered = loaded.renderer.render(prompt)
            ids, template = rendered.token_ids, rendered.suffix
            guess = response.token_ids if prompt is not PROMPTS[0] else None
            plain = generate_alone(loaded.model, loaded.decoder.blocks, ids, job.steering, NEW, template, guess)
            assert list(response.token_ids) == plain, f"{job.steering} {prompt.id}"
        fired = results[job.cell_id].fired
        assert fired.fired is (None if job.steering is None else True), f"{job.steering}: {fired}"
        assert (fired.stray_max or 0.0) < 1e-6
    changed = {cell for (cell, prompt), tokens in answers(results).items() if tokens != answers(results)["0", prompt]}
    assert len(changed) > 0.8 * len(jobs), "most steerings change an answer"


def test_neighbours_order_refills_and_lanes_change_no_token(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, jobs = tiny_worker("llama"), cells(("attention", "head:3", "input"))
    together = answers(run(worker, jobs))
    alone = {key: one for job in jobs[2::4] for key, one in answers(run(worker, [job])).items()}
    assert alone == {key: together[key] for key in alone}
    assert answers(run(tiny_worker("llama", slots=16), jobs[::-1])) == together
    monkeypatch.setattr("actors.engine.lanes.ROWS_PER_LANE", 1)
    assert isinstance(worker._engine, Engine)
    monkeypatch.setattr(worker._engine, "_lanes", Lanes(2))
    assert answers(run(worker, jobs)) == together


@pytest.mark.parametrize("order", [(0, 3), (3, 0)])
def test_heads_of_one_block_of_which_some_are_edited_in_place(order: tuple[int, int], tiny_worker: Loader) -> None:
    """Additions to one head are made to the whole batch at once, what is done to another to its own rows alone."""
    worker = tiny_worker("llama")
    added, changed = (f"head:{head}" for head in order)
    width = worker._held().d_model // worker._held().model.config.num_attention_heads
    vectors = np.eye(2, width, dtype=np.float32)
    jobs = [
        GenerationJob(f"{n}", PROMPTS[:2], Decoding(NEW), Steering((2,), vectors[:1], 30.0 + n, site=added)) for n in range(4)
    ]
    for name, strength in (("replacement", 40.0), ("rotation", 20.0)):
        steering = Steering((2,), vectors[1:], strength, name, site=changed, positions="generation")
        jobs.append(GenerationJob(name, PROMPTS[:2], Decoding(NEW), steering))
    together = run(worker, jobs)
    assert all(one.fired.fired for one in together.values()), together
    for job in jobs:
        alone = answers(run(worker, [job]))
        assert alone == {key: answers(together)[key] for key in alone}


def test_lanes_of_which_one_has_no_row_that_a_function_edits(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = tiny_worker("llama")
    turned = Steering((2, 3), unit(2, 0), 80.0, "rotation", positions="last_prompt+first:2")
    added = [Steering((2,), unit(1, n), 15.0, positions="last_prompt") for n in range(1, 6)]
    steerings = [turned, replace(turned, then=(added[0],)), *added, *[replace(one, then=(added[0],)) for one in added]]
    jobs = [GenerationJob(f"{n}", PROMPTS[:1], Decoding(NEW), replace(one, site="mlp")) for n, one in enumerate(steerings)]
    together = run(worker, jobs)
    monkeypatch.setattr("actors.engine.lanes.ROWS_PER_LANE", 1)
    monkeypatch.setattr(worker._engine, "_lanes", Lanes(2))
    apart = run(worker, jobs)
    assert answers(apart) == answers(together)
    assert all(one.fired.fired is True for one in apart.values())


def test_a_model_whose_rows_run_alone(tiny_worker: Loader) -> None:
    """Blocks of linear attention have no heads: they are refused, and the others are steered."""
    worker = tiny_worker("qwen3_5")
    loaded = worker._held()
    attention = loaded.decoder.layer_types.index("full_attention")
    steering = Steering((attention,), unit(1, 0), 15.0, site="mlp", positions="last_prompt+first:2")
    (result,) = run(worker, [GenerationJob("c", PROMPTS[1:2], Decoding(NEW), steering)]).values()
    rendered = loaded.renderer.render(PROMPTS[1])
    plain = generate_alone(loaded.model, loaded.decoder.blocks, rendered.token_ids, steering, NEW, rendered.suffix)
    assert list(result.responses[0].token_ids) == plain
    assert result.fired.fired is True
    (failed,) = worker.generate(
        [GenerationJob("c", PROMPTS[1:2], Decoding(NEW), replace(steering, layers=(0,), site="attention"))]
    )
    assert not isinstance(failed, CellResult)
    assert "no one module of it is attention" in str(getattr(failed, "message", ""))


def test_an_edit_that_is_made_twice_at_a_site_is_caught(tiny_worker: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    worker, edit = tiny_worker("llama"), SteeringHooks.edit

    def twice(self: SteeringHooks, layer: int, output: Tensor) -> Tensor:
        once = edit(self, layer, output)
        return once if layer < 5 else self.table.apply(layer, once)

    monkeypatch.setattr(SteeringHooks, "edit", twice)
    for site in ("input", "attention", "mlp", "head:3"):
        fired = run(worker, cells((site,)))["2"].fired
        assert fired.fired is False, site
        assert fired.shift_ratio_max == pytest.approx(2.0, abs=1e-3)


def test_points_and_places_are_one_to_one() -> None:
    for site in ("output", "input", "attention", "mlp", "heads", "head:0", "head:12"):
        assert place_of(point_of(site, 3, 5), 5) == (site, 3)
    with pytest.raises(ValueError, match="site 'head' is unknown"):
        site_of("head")


@pytest.mark.parametrize(
    ("steering", "words"),
    [
        (Steering((1,), unit(1, 0), 1.0, site="atention"), "site 'atention' is unknown; allowed: output, input"),
        (Steering((1,), unit(1, 0), 1.0, site="everywhere"), "takes an ablation"),
        (
            Steering((1,), unit(1, 0), 1.0, site="heads", then=(Steering((1,), unit(1, 0), 1.0, site="head:1"),)),
            "at all heads and",
        ),
    ],
)
def test_what_cannot_run_is_refused(steering: Steering, words: str) -> None:
    with pytest.raises(JobError, match=words):
        check_steering(steering, 5, 64)


def test_a_head_that_is_not_there_is_refused(tiny_worker: Loader) -> None:
    worker = tiny_worker("llama")
    steering = Steering((1,), unit(1, 0)[:, :16], 1.0, site="head:4")
    (failed,) = worker.generate([GenerationJob("c", PROMPTS[:1], Decoding(2), steering)])
    assert "heads 0..3" in str(getattr(failed, "message", ""))
    (failed,) = worker.generate(
        [GenerationJob("c", PROMPTS[:1], Decoding(2), replace(steering, site="head:1", vectors=unit(1, 0)))]
    )
    assert "this model needs (1, 16)" in str(getattr(failed, "message", ""))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_directions_are_read_at_sites_by_both_tools(family: str, tiny_worker: Loader) -> None:
    """Means of a plain hook on the module that a family has there; relative strength is of the norm there."""
    worker = tiny_worker(family)
    loaded = worker._held()
    positive, negative = PROMPTS[:2], PROMPTS[2:]
    for site in ("input", "attention", "mlp", "heads", "head:2"):
        sets = [
            worker.extract(ExtractionJob("d", positive, negative, "dim", {"site": site}, tool)) for tool in ("hooks", "nnsight")
        ]
        states = [read_alone(loaded.model, loaded.decoder.blocks, loaded.renderer.render(one).token_ids, site) for one in PROMPTS]
        difference = torch.stack(states[:2]).mean(0) - torch.stack(states[2:]).mean(0)
        for found in sets:
            layers = [one.layer for one in found.directions]
            assert layers == list(range(int(site == "input" and family != "gpt2"), 5)), "one embedding tells no classes apart"
            assert found.vectors.shape[1] == WIDTHS.get(site, 64)
            raw = found.vectors * np.array(found.raw_norms)[:, None]
            np.testing.assert_allclose(raw, difference.numpy()[layers], atol=2e-4)
            norms = torch.stack(states).norm(dim=-1).mean(0).numpy()[layers]
            np.testing.assert_allclose(found.residual_norms, norms, rtol=1e-4)


def test_a_method_that_tries_its_directions_reads_outputs(tiny_worker: Loader) -> None:
    with pytest.raises(JobError, match="reads block outputs"):
        tiny_worker("llama").extract(ExtractionJob("d", PROMPTS[:2], PROMPTS[2:], "cosmic", {"site": "mlp"}))


# --- where the sites of a family are


def look_at(model: Any, edits: Sequence[TensorSite], seen: TensorSite | None, block: Any) -> tuple[Tensor, Tensor, Tensor]:
    """What a block is given and puts out, and what is seen there, while nothing stands at the sites that are edited."""
    found: dict[str, Tensor] = {}

    def keep(_module: object, args: Any, output: Any) -> None:
        found.update(given=args[0].clone(), output=residual(output, "output").clone())

    def note(value: Tensor) -> Tensor:
        found["seen"] = value.clone()
        return value

    with ExitStack() as hung, torch.no_grad():
        for site in edits:
            hung.callback(site.attach(torch.zeros_like).remove)
        if seen is not None:
            hung.callback(seen.attach(note).remove)
        hung.callback(block.register_forward_hook(keep).remove)
        model(input_ids=torch.arange(5, 13)[None], use_cache=False)
    return found["given"], found["output"], found.get("seen", torch.empty(0))


def check_places(model: Any) -> tuple[int, int]:
    """How many blocks have their parts told apart, and their heads found: without what both parts add a block puts out what it
    was given, and without what its heads say attention adds the same at every token."""
    decoder = decoder_of(model)
    places = site_places(model, decoder)
    parts = [layer for layer, one in enumerate(places.added) if not isinstance(one, str)]
    heads = [layer for layer, one in enumerate(places.projections) if not isinstance(one, str)]
    for layer in parts:
        block, added = decoder.blocks[layer], [places.tensor(site, layer) for site in ("attention", "mlp")]
        given, output, _ = look_at(model, added, None, block)
        scale = (output * given).sum() / (given * given).sum()  # some scale the stream
        assert torch.allclose(output, scale * given, rtol=1e-4, atol=1e-5), f"block {layer} adds something else"
        if layer in heads:
            said = look_at(model, [places.tensor("heads", layer)], added[0], block)[2].reshape(8, -1)
            assert torch.allclose(said, said[:1].expand_as(said), atol=1e-5), f"block {layer}: not its heads"
    return len(parts), len(heads)


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_parts_and_heads_of_every_family(family: str) -> None:
    model = tiny_model(family)
    n_layers = decoder_of(model).n_layers
    assert check_places(model) == ((1, 1) if family == "qwen3_5" else (n_layers, n_layers))


def buildable() -> list[str]:
    """Those that transformers can make so small."""
    return [name for name in names() if name not in ("xmod",)]


@pytest.mark.slow
@pytest.mark.parametrize("name", buildable())
def test_parts_and_heads_of_every_architecture(name: str) -> None:
    """They are found, or refused in words."""
    made = []
    with suppress(Exception):  # transformers cannot make it so small, or it is no decoder
        model = tiny_architecture(name)
        made = [model for _ in decoder_of(model).blocks[:1]]
    if not made:
        pytest.skip("cannot be made here")
    check_places(made[0])
