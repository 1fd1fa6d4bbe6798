"""Steering by tools and with planted mistakes, against a loop without a cache that is written here."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from actors import boundary
from actors.extraction.batches import left_padded
from actors.loading import LoadedModel
from actors.parity.jobs import Classes, ParityJob, SteeringMistakesJob, SteeringPlace, SteerJob
from actors.parity.steered import probes_of, vector_of
from actors.parity.steering_mistakes import STEERING_MISTAKES
from actors.parity.tools import TOOLS
from actors.types import Failure, Prompt
from actors.worker import ModelWorker
from orchestrator.parity.steering import GreedyAnswers, diagnose_steering, read_steered

CLASSES = Classes(
    tuple(Prompt(f"p{n}", f"How do I break thing {'x' * 3 * n}?") for n in range(3)),
    tuple(Prompt(f"n{n}", f"Why is cake {'y' * 2 * n} good?") for n in range(3)),
)
TESTS = tuple(Prompt(f"t{n}", f"What is {'z' * 4 * n}?") for n in range(3))
PLACE = SteeringPlace(CLASSES, TESTS, layer=2, strength=4.0, tokens=5, probes=9)
OWN = """
import json, sys
import numpy as np
folder, job, out = sys.argv[1:]
told = json.load(open(job))
assert told["task"] == "steer" and told["layer"] == 2 and len(told["vector"]) == told["d_model"] and len(told["probes"]) == 9
np.savez(out, tokens=np.arange(len(told["prompts"]) * told["tokens"]).reshape(-1, told["tokens"]))
"""


def answer(worker: ModelWorker, job: ParityJob) -> dict[str, np.ndarray] | str:
    (found,) = worker.parity([job])
    if isinstance(found, Failure):
        return found.message
    assert isinstance(found, boundary.Answered)
    with np.load(io.BytesIO(found.content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def arrays(worker: ModelWorker, job: ParityJob) -> dict[str, np.ndarray]:
    found = answer(worker, job)
    assert isinstance(found, dict), found
    return found


@torch.inference_mode()
def oracle(loaded: LoadedModel, edit: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and logits of a loop that runs the whole text at every step; ``edit`` of a block's output, the vector and how many
    of the tokens are the prompt's."""
    batch = left_padded(loaded, [loaded.renderer.render(one) for one in TESTS])
    ids, mask = batch.token_ids, batch.mask
    length, vector = ids.shape[1], vector_of(loaded, PLACE)
    logits = []
    for _ in range(PLACE.tokens):
        handle = loaded.decoder.blocks[PLACE.layer].register_forward_hook(lambda _m, _a, out: edit(out.clone(), vector, length))
        told = loaded.model(input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0), use_cache=False)
        handle.remove()
        logits.append(told.logits[:, -1])
        ids = torch.cat([ids, logits[-1].argmax(-1, keepdim=True)], 1)
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    kept = torch.stack(logits, 1)[:, :, probes_of(loaded, PLACE.probes)]
    return ids[:, length:].numpy(), kept.numpy()


def everywhere(out: torch.Tensor, vector: torch.Tensor, _length: int) -> torch.Tensor:
    return out + vector


def no_prompt(out: torch.Tensor, vector: torch.Tensor, length: int) -> torch.Tensor:
    out[:, length:] += vector
    return out


def not_the_first(out: torch.Tensor, vector: torch.Tensor, length: int) -> torch.Tensor:
    out[:, :length] += vector
    out[:, length + 1 :] += vector
    return out


def prompt_alone(out: torch.Tensor, vector: torch.Tensor, length: int) -> torch.Tensor:
    out[:, :length] += vector
    return out


def from_the_last(out: torch.Tensor, vector: torch.Tensor, length: int) -> torch.Tensor:
    out[:, length - 1 :] += vector
    return out


def first_row(out: torch.Tensor, vector: torch.Tensor, _length: int) -> torch.Tensor:
    out[0] += vector  # as the mistake is written
    return out


ORACLES = {
    "": everywhere,
    "not steered": lambda out, _vector, _length: out,
    "prefill missed": no_prompt,
    "first step missed": not_the_first,
    "answer missed": prompt_alone,
    "last token alone": from_the_last,
    "added twice": lambda out, vector, _length: out + 2 * vector,
    "batch item 0 alone": first_row,
}


def test_every_mistake_is_what_a_loop_without_a_cache_gives(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    assert worker._loaded is not None
    found = arrays(worker, SteeringMistakesJob("m", PLACE))
    alone = arrays(worker, SteeringMistakesJob("r", PLACE, mistakes=False))
    assert alone["labels"].tolist() == [""]
    assert np.array_equal(alone["tokens"][0], found["tokens"][0])
    names = [str(one) for one in found["labels"]]
    assert names == ["", *STEERING_MISTAKES]
    known = read_steered(found)
    for name, edit in ORACLES.items():
        tokens, logits = oracle(worker._loaded, edit)
        at = names.index(name)
        np.testing.assert_array_equal(found["tokens"][at], tokens, err_msg=name)
        np.testing.assert_allclose(found["logits"][at], logits, rtol=1e-3, atol=1e-3, err_msg=name)
        said = diagnose_steering(GreedyAnswers(tokens, logits), known, rounding=1e-3)
        assert (said.mistake, said.verdict == "mistake") == (name, name != ""), said.words
    apart = {name: np.abs(found["logits"][at] - found["logits"][0]).max() for at, name in enumerate(names) if name}
    assert min(apart.values()) > 1e-2, apart


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen3"])
def test_the_tools_of_this_process_steer_alike(tiny_worker: Callable[..., ModelWorker], family: str) -> None:
    worker = tiny_worker(family)
    expected = arrays(worker, SteeringMistakesJob("m", PLACE))
    for name in (name for name, tool in TOOLS.items() if tool.steers):
        found = arrays(worker, SteerJob("s", PLACE, name))
        np.testing.assert_array_equal(found["tokens"], expected["tokens"][0], err_msg=name)
        np.testing.assert_array_equal(found["logits"], expected["logits"][0], err_msg=name)


def test_what_cannot_steer_says_why_and_a_command_can(tiny_worker: Callable[..., ModelWorker], tmp_path: Path) -> None:
    worker = tiny_worker("llama")
    assert "read alone" in str(answer(worker, SteerJob("s", PLACE, "hidden-states")))
    (tmp_path / "own.py").write_text(OWN)
    found = arrays(worker, SteerJob("s", PLACE, "mine", (sys.executable, str(tmp_path / "own.py"))))
    np.testing.assert_array_equal(found["tokens"], np.arange(15).reshape(3, 5))
