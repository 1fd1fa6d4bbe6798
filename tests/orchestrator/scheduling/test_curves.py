"""Steering along a curve, from a sweep file to a worker's answers: against plain hooks, and what is refused before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.curves import strengths
from actors.errors import JobError
from actors.loading import LoadedModel, load_model
from actors.types import CellResult, Curve, DirectionSet, EngineOptions, ModelSpec, Prompt
from actors.worker import ModelWorker
from orchestrator.cells import Cell, DirectionSpec
from orchestrator.errors import InputError
from orchestrator.results.direction_file import decode_direction, encode_direction
from orchestrator.results.folder import Folder
from orchestrator.scheduling.jobs import extraction_job, generation_job, steering_of
from orchestrator.storage import UnreadableFileError
from tests.oracle import plain_hooks
from tests.orchestrator.sweep_files import hub, plan_of
from tests.tiny import tiny_folder

LAYERS, WIDTH = 5, 64
CURVED = {
    "models": {"small": hub("small", LAYERS, WIDTH)},
    "methods": [{"name": "curve", "options": {"knots": 3, "dimensions": 4, "soft": 99.0}}],
    "intervention": "curve",
    "scope": ["own", "single"],
    "layers": [2],
    "multipliers": [1, -0.5],
    "decoding": {"max_new_tokens": 6},
    "depths": None,
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """The model without any worker."""
    return load_model(ModelSpec("folder", str(tiny_folder("llama", tmp_path_factory.mktemp("llama")))))


@pytest.fixture(scope="module")
def worker(loaded: LoadedModel) -> ModelWorker:
    made = ModelWorker()
    made.load(loaded.spec, EngineOptions())
    return made


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    """The baseline, and both scopes at both strengths."""
    planned = plan_of(tmp_path_factory.mktemp("curved"), **CURVED).cells
    return [replace(one, prompts=one.prompts[:3]) for one in planned]


@pytest.fixture(scope="module")
def spec(cells: list[Cell]) -> DirectionSpec:
    (found,) = {one.steering.direction for one in cells if one.steering is not None}
    return found


@pytest.fixture(scope="module")
def found(worker: ModelWorker, spec: DirectionSpec) -> DirectionSet:
    return worker.extract(extraction_job(spec))


def part_of(loaded: LoadedModel, spec: DirectionSpec, found: DirectionSet, layer: int, strength: float) -> tuple[Tensor, Tensor]:
    """The basis of a layer, and the curve's point in it, from activations read with plain hooks and SciPy alone."""
    from scipy.interpolate import PchipInterpolator

    read = np.stack([states_of(loaded, prompt) for prompt in (*spec.positive, *spec.negative)]).astype(np.float64)
    strong = strengths(read, len(spec.positive))
    bins = np.array_split(np.argsort(strong, kind="stable"), 3)
    levels = np.array([strong[one].mean() for one in bins])
    basis = found.curves[layer].basis
    knots = np.stack([read[one, layer].mean(axis=0) for one in bins]) @ basis.T
    point = PchipInterpolator(levels, knots)(np.clip(strength, levels[0], levels[-1]))
    return torch.from_numpy(basis.copy()), torch.from_numpy(point).float()


@torch.no_grad()
def states_of(loaded: LoadedModel, prompt: Prompt) -> np.ndarray:
    kept: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[[Tensor], Tensor]:
        def edit(hidden: Tensor) -> Tensor:
            kept[layer] = hidden[0, -1].clone()
            return hidden

        return edit

    with plain_hooks(loaded.decoder.blocks, {layer: keep(layer) for layer in range(LAYERS)}):
        loaded.model(input_ids=torch.tensor([list(loaded.renderer.render(prompt).token_ids)]))
    return np.stack([kept[layer].numpy() for layer in range(LAYERS)])


def replaced(basis: Tensor, point: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda hidden: hidden - (hidden @ basis.T) @ basis + point @ basis


def test_answers_in_one_batch_are_those_of_a_plain_hook_row_by_row(
    loaded: LoadedModel, worker: ModelWorker, cells: list[Cell], found: DirectionSet
) -> None:
    (spec,) = {one.steering.direction for one in cells if one.steering is not None}
    jobs = [generation_job(one, steering_of(one, {spec.id: found}, {})) for one in cells]
    results = {one.cell_id: one for one in worker.generate(jobs) if isinstance(one, CellResult)}
    assert len(results) == 5
    told = set()
    for cell in cells:
        result, edits = results[cell.id], dict[int, Callable[[Tensor], Tensor]]()
        if cell.steering is not None:
            assert result.fired.fired is True, result.fired
            strength = (1 + cell.steering.action.multiplier) / 2
            for layer in cell.steering.layers:
                basis, point = part_of(loaded, spec, found, layer, strength)
                edits[layer] = replaced(basis, point)
        for prompt, response in zip(cell.prompts, result.responses, strict=True):
            ids = torch.tensor([list(loaded.renderer.render(prompt).token_ids)])
            with plain_hooks(loaded.decoder.blocks, edits):
                alone = loaded.model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
                )[0, ids.shape[1] :].tolist()
            assert list(response.token_ids) == [token for token in alone if token != loaded.model.config.eos_token_id]
        told.add(tuple(response.token_ids for response in result.responses))
    assert len(told) > 2, "it steers"


def test_at_its_own_point_a_stream_is_left_as_it_is(
    loaded: LoadedModel, worker: ModelWorker, cells: list[Cell], found: DirectionSet
) -> None:
    """A curve through a prompt's own activation changes neither it nor the answer; one through its opposite changes both."""
    cell = next(one for one in cells if one.steering is not None and len(one.steering.layers) == 1)
    assert cell.steering is not None
    prompt, (layer,) = cell.prompts[0], cell.steering.layers
    steering = replace(cell.steering, action=replace(cell.steering.action, positions="last_prompt"))
    state, basis = states_of(loaded, prompt)[layer], found.curves[layer].basis
    own = Curve(np.array([0.0, 1.0]), basis, np.repeat((basis @ state)[None].astype(np.float64), 2, axis=0))
    jobs = [generation_job(replace(cell, prompts=(prompt,), steering=None), None)]
    for curve in (own, replace(own, points=-9 * own.points)):
        one = replace(cell, prompts=(prompt,), steering=steering)
        given = {steering.direction.id: replace(found, curves={layer: curve})}
        jobs.append(replace(generation_job(one, steering_of(one, given, {})), cell_id=str(len(jobs))))
    base, same, other = (one.responses[0].token_ids for one in worker.generate(jobs) if isinstance(one, CellResult))
    assert jobs[1].steering is not None
    shift = jobs[1].steering.vectors[0] * jobs[1].steering.strength_at(0)
    assert state - (state @ basis.T) @ basis + shift == pytest.approx(state, abs=1e-4)
    assert same == base
    assert other != base


def test_curves_are_kept_with_their_directions(spec: DirectionSpec, found: DirectionSet, tmp_path: Path) -> None:
    assert sorted(found.curves) == list(range(LAYERS))
    file = Folder(tmp_path).path("directions", spec.id)
    content = encode_direction(spec, found)
    file.write_bytes(content)
    again = decode_direction(file)
    assert again == found
    assert again != replace(found, curves={**found.curves, 2: found.curves[1]})
    for broken in ({2: replace(found.curves[2], points=found.curves[2].points[:, :2])}, {2: Curve(*map(np.copy, parts(found)))}):
        file.write_bytes(encode_direction(spec, replace(found, curves=broken)))
        with pytest.raises(UnreadableFileError, match="curve of layer 2 do not fit"):
            decode_direction(file)


def parts(found: DirectionSet) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    one = found.curves[2]
    return one.levels, one.basis[:, :-1], one.points


def test_a_layer_without_a_curve_fails_its_cells_in_words(cells: list[Cell], found: DirectionSet) -> None:
    steering = next(one.steering for one in cells if one.steering is not None and len(one.steering.layers) > 1)
    lacking = replace(found, curves={layer: one for layer, one in found.curves.items() if layer not in (3, 4)})
    cell = next(one for one in cells if one.steering is steering)
    with pytest.raises(JobError, match="no curve at layers 3, 4 where fewer than two knots hold"):
        steering_of(cell, {steering.direction.id: lacking}, {})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"methods": ["dim", CURVED["methods"][0]]}, "method dim fits no curve"),  # type: ignore[index]
        ({"scope": ["from_layer"]}, "a curve is of one layer"),
        ({"strength": "relative"}, "a curve has its own lengths"),
        ({"multipliers": [0.5, 0]}, "0 stands for the unsteered baseline"),
        ({"transfer": "all"}, "a curve is of its own model's activations"),
        ({"intervention": "curved"}, "did you mean 'curve'?"),
        ({"methods": [{"name": "curve", "options": {"knots": 2}}]}, "knots"),
    ],
)
def test_what_does_not_go_with_a_curve_is_told(tmp_path: Path, changes: Mapping[str, object], words: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_of(tmp_path, **{**CURVED, **changes})
    assert any(words in str(one) for one in refused.value.problems), str(refused.value)
