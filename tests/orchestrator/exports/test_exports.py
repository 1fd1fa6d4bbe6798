"""What leaves a results folder, read by readers that are not ours."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from orchestrator.cli.commands import app
from orchestrator.errors import InputError
from orchestrator.exports import EXPORTS
from orchestrator.loaded import Results, load_results
from tests.orchestrator.samples import cell, filled, grid


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    filled(root, [*grid(), cell(0, 8.0)], {(15, 8.0): (9, 1)}).compact()
    return root


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load_results(folder)


def steered(results: Results, layer: int = 15, multiplier: float = 8.0) -> list[Any]:
    return [row for row in results.rows if row.layer == layer and row.multiplier == multiplier]


def gguf_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import gguf

    reader = gguf.GGUFReader(path)
    return {tensor.name: np.array(tensor.data) for tensor in reader.tensors}, {
        name: field.contents() for name, field in reader.fields.items()
    }


def test_a_control_vector_is_what_llama_cpp_reads(results: Results, tmp_path: Path) -> None:
    (path,) = EXPORTS["gguf"].write(results, steered(results), tmp_path)
    tensors, told = gguf_of(path)
    assert list(tensors) == [f"direction.{layer}" for layer in range(15, 30)]
    for tensor in tensors.values():
        assert tensor.dtype == np.float32
        assert np.array_equal(tensor, results.direction(15))
    assert told["general.architecture"] == "controlvector"
    assert told["controlvector.layer_count"] == 15
    assert (told["steering.operation"], told["steering.scale"], told["steering.model"]) == ("addition", 8.0, "smollm2")
    assert told["steering.layer_convention"].startswith("layer l is the output of decoder block l")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_a_whole_direction_set_leaves_without_layer_0_which_llama_cpp_refuses(results: Results, tmp_path: Path) -> None:
    (path,) = EXPORTS["gguf"].write(results, None, tmp_path)
    tensors, told = gguf_of(path)
    assert list(tensors) == [f"direction.{layer}" for layer in range(1, 30)]
    assert told["steering.scale"] == 1.0
    with pytest.raises(InputError, match="acts at layer 0"):
        EXPORTS["gguf"].write(results, steered(results, 0), tmp_path)


def test_arrays_and_tensors(results: Results, tmp_path: Path) -> None:
    import torch

    (npz,) = EXPORTS["npz"].write(results, steered(results), tmp_path)
    with np.load(npz, allow_pickle=False) as arrays:
        assert np.array_equal(arrays["directions"], np.tile(results.direction(15), (15, 1)))
        assert (arrays["layers"].tolist(), arrays["scale"]) == (list(range(15, 30)), 8.0)
        assert json.loads(str(arrays["metadata"]))["operation"] == "addition"
    (pt,) = EXPORTS["pt"].write(results, None, tmp_path / "pt")
    tensors = torch.load(pt, weights_only=True)
    assert list(tensors) == list(range(30))
    assert np.array_equal(tensors[7].numpy(), results.direction(7))
    (fields,) = EXPORTS["steering-vectors"].write(results, steered(results), tmp_path / "sv")
    vector = torch.load(fields, weights_only=True)
    assert vector["layer_type"] == "decoder_block"
    assert list(vector["layer_activations"]) == list(range(15, 30))


def test_every_form_has_a_file_name_of_its_own(results: Results, tmp_path: Path) -> None:
    forms = ("gguf", "steering-vectors", "npz", "pt", "inspect", "final-results")
    assert set(forms) == set(EXPORTS)
    written = [path for form in forms[:4] for path in EXPORTS[form].write(results, steered(results), tmp_path)]
    assert len({path.name for path in written}) == 4


def test_what_a_file_of_vectors_cannot_say_is_refused(results: Results, tmp_path: Path) -> None:
    from dataclasses import replace

    (row,) = steered(results)
    for changed in ({"intervention": "ablation"}, {"positions": "last"}, {"strength": "relative"}, {"keep_norm": True}):
        with pytest.raises(InputError, match="is steered otherwise"):
            EXPORTS["npz"].write(results, [replace(row, **changed)], tmp_path)
    with pytest.raises(InputError, match="no direction to export"):
        EXPORTS["npz"].write(results, [one for one in results.rows if not one.steered], tmp_path)


def read_at(site: str, root: Path, behavior: str = "refusal") -> Results:
    """The results of a sweep whose directions were read and added at ``site``."""
    from dataclasses import replace

    one = cell(15, 8.0)
    assert one.steering is not None
    spec = replace(one.steering.direction, options=(("site", site),))
    steering = replace(one.steering, direction=spec, action=replace(one.steering.action, site=site))
    filled(root, [cell(None), replace(one, steering=steering, labels=replace(one.labels, behavior=behavior))]).compact()
    return load_results(root)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("mlp", "layer l is what the MLP of decoder block l adds to the residual stream"),
        ("head:3", "layer l is the output of head 3 of decoder block l"),
    ],
)
def test_a_direction_set_of_another_site_says_so_or_is_refused(site: str, words: str, tmp_path: Path) -> None:
    found = read_at(site, tmp_path / "results")
    (npz,) = EXPORTS["npz"].write(found, None, tmp_path / "npz")
    with np.load(npz, allow_pickle=False) as arrays:
        told = json.loads(str(arrays["metadata"]))
    assert told["site"] == site
    assert told["layer_convention"].startswith(words)
    assert f"-dim-{site.replace(':', '-')}-" in npz.name
    (pt,) = EXPORTS["pt"].write(found, None, tmp_path / "pt")
    assert f"-dim-{site.replace(':', '-')}-" in pt.name
    for form in ("gguf", "steering-vectors"):
        with pytest.raises(InputError, match=f"is of site {site}: this form is for what is added to block outputs"):
            EXPORTS[form].write(found, None, tmp_path / form)


def test_a_set_of_no_behavior_is_named_without_one(tmp_path: Path) -> None:
    (path,) = EXPORTS["npz"].write(read_at("mlp", tmp_path / "results", behavior=""), None, tmp_path / "npz")
    assert path.name.startswith("smollm2-dim-mlp-")


def test_final_results_have_the_companion_s_shape(results: Results, tmp_path: Path) -> None:
    (path,) = EXPORTS["final-results"].write(results, None, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    (best,) = content["phase1_architecture_comparison"].values()
    assert (best["coherent_refusal_rate"], best["garbled_rate"], best["normal_rate"]) == (90.0, 10.0, 0.0)
    assert (best["layer"], best["layer_pct"], best["multiplier"]) == (15, 50.0, 8.0)
    assert {"prompt", "response", "quality"} == set(best["samples"][0])
    assert content["phase3_quantization"] == {}


def test_final_results_are_not_written_over_those_of_another_sweep(folder: Path, tmp_path: Path) -> None:
    filled(tmp_path / "other", grid(), {(15, 8.0): (2, 8)}).compact()

    def ran(results: Path) -> Any:
        return CliRunner().invoke(app, ["export", str(results), "--to", "final-results", "--out", str(tmp_path / "out")])

    assert ran(folder).exit_code == 0
    before = (tmp_path / "out" / "FINAL_RESULTS.json").read_bytes()
    assert ran(folder).exit_code == 0, "the same again"
    refused = ran(tmp_path / "other")
    assert refused.exit_code == 2
    assert "it holds another FINAL_RESULTS.json" in " ".join(refused.output.split())
    assert (tmp_path / "out" / "FINAL_RESULTS.json").read_bytes() == before


def test_steerings_of_several_lists_of_layers_leave_in_files_of_their_own(results: Results, tmp_path: Path) -> None:
    (row,) = steered(results)
    both = [replace(row, scope="list", layers=layers, source_layer=None) for layers in ((15, 17), (15, 19))]
    paths = EXPORTS["npz"].write(results, both, tmp_path)
    assert [np.load(path)["layers"].tolist() for path in paths] == [[15, 17], [15, 19]]


def test_the_command(folder: Path, tmp_path: Path) -> None:
    def ran(*words: str) -> Any:
        return CliRunner().invoke(app, ["export", str(folder), *words, "--out", str(tmp_path / "out")])

    done = ran("layer=15,multiplier=8", "--to", "npz")
    assert done.exit_code == 0, done.output
    assert "-layer15-x8.npz" in done.output.replace("\n", "")
    wrong = ran("--to", "guff")
    assert wrong.exit_code == 2
    assert "did you mean 'gguf'" in wrong.output


def test_a_log_without_inspect_ai_names_the_extra(results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "inspect_ai", None)
    with pytest.raises(InputError, match=r"pip install 'activation-steering-sweeps\[inspect\]'"):
        EXPORTS["inspect"].write(results, None, tmp_path)


@pytest.mark.slow
def test_inspect_ai_opens_a_log(results: Results, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="needs the extra inspect")
    (path,) = EXPORTS["inspect"].write(results, steered(results), tmp_path)
    found = log.read_eval_log(str(path))
    assert found.status == "success"
    assert found.eval.metadata["multiplier"] == "8"
    answers = results.responses.filter(cell_id=steered(results)[0].cell_id)
    assert [one.output.completion for one in found.samples] == answers["response"].to_list()
    assert [one.scores["label"].value for one in found.samples] == answers["label"].to_list()


@pytest.mark.slow
@pytest.mark.embedded
def test_the_steering_vectors_library_steers_to_the_same_tokens(tmp_path: Path) -> None:
    import torch

    library = pytest.importorskip("steering_vectors", reason="needs steering-vectors, which asks for an earlier transformers")
    from actors import Decoding, Model
    from actors.tensor_files import write_pt
    from orchestrator import load_behavior

    root = Path(__file__).parents[3] / "sweeps"
    refusal = load_behavior(root / "behaviors" / "refusal.jsonl")
    model = Model.load(adapter=root / "models" / "smollm2-135m-refusal")
    steering = model.steering(model.extract(refusal.positive, refusal.negative).at(15), 8)
    write_pt(tmp_path / "v.pt", dict(zip(steering.layers, steering.vectors, strict=True)), layer_type="decoder_block")
    vector = library.SteeringVector(**torch.load(tmp_path / "v.pt", weights_only=True))
    loaded = model._worker._loaded
    assert loaded is not None
    for prompt in refusal.test[:3]:
        ours = model.generate(prompt, steering, Decoding(max_new_tokens=24)).token_ids
        ids = torch.tensor([loaded.renderer.render(prompt).token_ids])
        layers = {"decoder_block": "model.layers.{num}"}
        with torch.no_grad(), vector.apply(loaded.model, layer_config=layers, multiplier=8.0):
            theirs = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert tuple(theirs[0, ids.shape[1] :][: len(ours)].tolist()) == ours
