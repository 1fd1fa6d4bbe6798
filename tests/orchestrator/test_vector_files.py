"""Directions that a user brings: what of a file makes an id, what is said of it, and that our own exports steer as before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from actors import Model
from actors.errors import JobError
from actors.tensor_files import read_file, read_vectors, write_pt
from actors.types import FloatArray
from orchestrator import load_results
from orchestrator.cli import app
from orchestrator.errors import InputError
from orchestrator.plan import Plan
from orchestrator.scheduling.jobs import extraction_job
from tests.orchestrator.sweep_files import plan_of, sweep_data, write_sweep
from tests.tiny import tiny_folder

WIDTH = 576
FORMATS = {"gguf": "*.gguf", "npz": "*.npz", "pt": "*.pt", "steering-vectors": "*.steering-vector.pt"}


def vectors(layers: range = range(1, 30), width: int = WIDTH, length: float = 1.0) -> dict[int, FloatArray]:
    rng = np.random.default_rng(3)
    drawn = {layer: rng.standard_normal(width) for layer in layers}
    return {layer: (length * one / np.linalg.norm(one)).astype(np.float32) for layer, one in drawn.items()}


def plan_with(folder: Path, given: dict[int, FloatArray], **changes: object) -> Plan:
    folder.mkdir(exist_ok=True)
    write_pt(folder / "v.pt", given)
    return plan_of(folder, **{"methods": [{"file": "v.pt"}], **changes})


def test_an_id_is_of_the_vectors_and_not_of_where_they_lie(tmp_path: Path) -> None:
    first = plan_with(tmp_path / "a", vectors())
    np.savez(tmp_path / "b.npz", directions=np.stack(list(vectors().values())), layers=np.arange(1, 30))
    moved = plan_of(tmp_path / "a", methods=[{"name": "file", "options": {"path": "../b.npz"}}])
    assert [one.id for one in moved.cells] == [one.id for one in first.cells]
    assert plan_with(tmp_path / "c", vectors(length=2)).directions[0].id != first.directions[0].id
    named = plan_of(tmp_path / "a", methods=[{"file": {"path": "v.pt", "name": "repeng"}}, {"file": "v.pt"}])
    assert len({one.id for one in named.directions} | {first.directions[0].id}) == 2
    assert dict(first.directions[0].options) == {
        "convention": "block_output",
        "name": "",
        "vectors": read_file(tmp_path / "b.npz").digest,
    }


def test_the_vectors_travel_with_the_job_and_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    (spec,) = plan_with(tmp_path, vectors()).directions
    given = extraction_job(spec).given
    assert given is not None
    assert given.layers == tuple(range(1, 30))
    assert np.array_equal(given.vectors, np.stack(list(vectors().values())))
    write_pt(tmp_path / "v.pt", vectors(length=2))
    with pytest.raises(JobError, match="its vectors changed since the sweep was planned"):
        extraction_job(spec)


def test_what_a_file_does_not_say_is_said(tmp_path: Path) -> None:
    told = "\n".join(plan_with(tmp_path, vectors(length=7)).warnings)
    assert "v.pt does not say how it counts layers: 1..29 are taken as outputs of decoder blocks, counted from 0" in told
    assert "v.pt has vectors of length 7 to 7: a multiplier is of the vector of length 1 (scales: raw_norm" in told
    told_beside = {"scale": "8.0", "layer_convention": "layer l is the output of decoder block l"}
    save_file({str(layer): one for layer, one in vectors().items()}, tmp_path / "s.safetensors", told_beside)
    assert [one for one in plan_of(tmp_path, methods=[{"file": "s.safetensors"}]).warnings if "s.safetensors" in one] == [
        "s.safetensors says scale 8.0: so much its vectors are to be multiplied with, as multipliers: [8.0] does"
    ]


def test_vectors_of_another_site_than_the_grid_s_are_refused(tmp_path: Path) -> None:
    told = {"site": "mlp", "layer_convention": "layer l is what the MLP of decoder block l adds to the residual stream"}
    save_file({str(layer): one for layer, one in vectors().items()}, tmp_path / "s.safetensors", told)
    with pytest.raises(InputError, match=r"s\.safetensors says that its vectors are of site mlp, not of output") as caught:
        plan_of(tmp_path, methods=[{"file": "s.safetensors"}])
    assert "allowed: site: mlp in the grid, or in the method's options" in str(caught.value)
    with pytest.raises(InputError, match="of site mlp, not of attention"):
        plan_of(tmp_path, methods=[{"file": "s.safetensors"}], site=["mlp", "attention"])
    with pytest.raises(JobError, match="of site mlp; allowed: output"):
        read_vectors(tmp_path / "s.safetensors", 30, WIDTH)
    assert plan_of(tmp_path, methods=[{"file": "s.safetensors"}], site="mlp").cells
    assert plan_of(tmp_path, methods=[{"file": {"path": "s.safetensors", "site": "mlp"}}]).cells


def test_hidden_states_are_counted_from_the_embeddings(tmp_path: Path) -> None:
    write_pt(tmp_path / "h.pt", vectors(range(31)))
    found = read_file(tmp_path / "h.pt", "hidden_states").vectors
    assert list(found) == list(range(30))
    assert np.array_equal(found[0], vectors(range(31))[1])
    plan = plan_of(tmp_path, methods=[{"file": {"path": "h.pt", "convention": "hidden_states"}}])
    assert not any("does not say how it counts" in one for one in plan.warnings)


@pytest.mark.parametrize(
    ("given", "changes", "told"),
    [
        (vectors(range(10, 20)), {}, r"v\.pt has no vector for layer 9 of model small; allowed: 10\.\.19"),
        (
            vectors(range(9, 20)),
            {"scope": "own", "layers": [12]},
            r"no vector for layer 20\.\.29 of model small; allowed: 9\.\.19",
        ),
        (vectors(width=8), {}, "v.pt has vectors of width 8, small is 576 wide"),
        (vectors(range(31)), {}, r"v\.pt has a layer 30, small has 0\.\.29"),
        (vectors(), {"methods": [{"file": "w.pt"}]}, r"there is no such file \(got 'w.pt'\).*did you mean 'v.pt'"),
        (vectors(), {"methods": ["file"]}, r"no file of vectors is named; allowed: \{file: vectors.gguf\}"),
        (vectors(), {"methods": [{"file": "refusal.jsonl"}]}, r"not a file of vectors; allowed: \.gguf"),
        (vectors(), {"methods": [{"file": {"path": "v.pt", "vectors": "0" * 16}}]}, r"v\.pt holds other vectors \(got '0000"),
        (vectors(), {"methods": [{"file": {"path": "v.pt", "convention": "hidden"}}]}, "did you mean 'hidden_states'"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(
    given: dict[int, FloatArray], changes: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=told) as caught:
        plan_with(tmp_path, given, **changes)
    assert str(caught.value).startswith(str(tmp_path / "sweep.yaml:"))


def test_what_sweeps_export_steers_to_the_same_tokens(tmp_path: Path) -> None:
    """The acceptance of imports: out in each format, and in again."""

    def ran(*words: object) -> Result:
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done

    def swept(name: str, **changes: object) -> Path:
        data = sweep_data(
            models={"tiny": {"folder": "model"}},
            behaviors={"refusal": {"file": "refusal.jsonl", "limit": 3}},
            layers=[2],
            multipliers=[3],
            decoding={"max_new_tokens": 6},
            pool="local",
            **changes,
        )
        ran("run", write_sweep(tmp_path, data, f"{name}.yaml"), "--results", tmp_path / name, "--quiet")
        return tmp_path / name

    tiny_folder("llama", tmp_path / "model")
    out = swept("out")
    for form, pattern in FORMATS.items():
        ran("export", out, "layer=2,multiplier=3", "--to", form, "--out", tmp_path / form)
        (path,) = (tmp_path / form).glob(pattern)
        path.rename(tmp_path / f"{form}{pattern[1:]}")
    brought = [{"file": {"path": f"{form}{pattern[1:]}", "name": form}} for form, pattern in FORMATS.items()]
    back = swept("back", methods=["dim", *brought])
    before, after = load_results(out), load_results(back)
    cells = [row for row in after.rows if row.steered]
    assert [row.method for row in cells] == ["dim", *["file"] * len(FORMATS)]
    assert len({row.cell_id for row in cells}) == len(cells)
    assert all(row.fired for row in cells)
    (own,) = (row for row in before.rows if row.steered)
    expected = before.responses.filter(cell_id=own.cell_id)["token_ids"].to_list()
    (baseline,) = (row for row in before.rows if not row.steered)
    assert expected != before.responses.filter(cell_id=baseline.cell_id)["token_ids"].to_list()
    for row in cells:
        assert after.responses.filter(cell_id=row.cell_id)["token_ids"].to_list() == expected
    page = (back / "report.html").read_text(encoding="utf-8")
    for form in FORMATS:
        assert f"file (name {form}, vectors " in page, "a reader cannot tell the files apart"


def test_a_script_takes_a_file_as_a_method(tmp_path: Path) -> None:
    model = Model.load(tiny_folder("llama", tmp_path / "model"))
    width = model.info.d_model
    write_pt(tmp_path / "v.pt", vectors(range(1, 4), width, 5.0))
    found = model.extract(["Hi"], ["Bye"], "file", {"path": str(tmp_path / "v.pt")})
    assert [one.layer for one in found.directions] == [1, 2, 3]
    assert found.raw_norms == pytest.approx([5.0] * 3)
    assert len(found.residual_norms) == 3
    assert np.allclose(found.vectors, np.stack(list(vectors(range(1, 4), width).values())), atol=1e-7)
    assert found.record["file"] == "v.pt"
    with pytest.raises(JobError, match="not a file of vectors"):
        model.extract(["Hi"], ["Bye"], "file")


# --- features of sparse autoencoders


def autoencoder(folder: Path, hook: str = "blocks.12.hook_resid_post", kind: str = "safetensors") -> np.ndarray:
    """Weights as SAELens stores them, with seven features."""
    folder.mkdir(exist_ok=True)
    decoder = np.random.default_rng(5).standard_normal((7, WIDTH)).astype(np.float32)
    weights = {"W_dec": decoder, "W_enc": decoder.T.copy(), "b_dec": np.zeros(WIDTH, np.float32)}
    if kind == "npz":
        np.savez(folder / "params.npz", allow_pickle=False, **weights)
    else:
        save_file(weights, folder / "sae_weights.safetensors")
    if hook:
        (folder / "cfg.json").write_text(f'{{"metadata": {{"hook_name": "{hook}"}}, "d_sae": 7}}')
    return decoder


def test_a_feature_of_an_autoencoder_is_a_direction_at_its_layer(tmp_path: Path) -> None:
    decoder = autoencoder(tmp_path)
    wanted = {"file": {"path": "sae_weights.safetensors", "feature": 3}}
    plan = plan_of(tmp_path, methods=[wanted], layers=[12], scope="single")
    given = extraction_job(plan.directions[0]).given
    assert given is not None
    assert given.layers == (12,)
    assert np.array_equal(given.vectors[0], decoder[3])
    other = plan_of(tmp_path, methods=[{"file": {**wanted["file"], "feature": 4}}], layers=[12], scope="single")
    assert other.directions[0].id != plan.directions[0].id
    autoencoder(tmp_path / "before", "blocks.12.hook_resid_pre", "npz")
    assert list(read_file(tmp_path / "before" / "params.npz", feature=(3, None)).vectors) == [11]
    autoencoder(tmp_path / "untold", "", "npz")
    assert list(read_file(tmp_path / "untold" / "params.npz", feature=(3, 20)).vectors) == [20]


@pytest.mark.parametrize(
    ("hook", "feature", "words"),
    [
        ("blocks.12.hook_resid_post", (7, None), "there is no feature 7: .* 0 to 6"),
        ("blocks.12.hook_resid_post", (None, None), "no feature is named"),
        ("blocks.12.attn.hook_z", (3, None), "is of blocks.12.attn.hook_z; allowed: layer: 12"),
        ("blocks.0.hook_resid_pre", (3, None), "the embeddings"),
        ("", (3, None), "no cfg.json beside it"),
    ],
)
def test_a_feature_that_cannot_be_placed_is_refused(
    hook: str, feature: tuple[int | None, int | None], words: str, tmp_path: Path
) -> None:
    autoencoder(tmp_path, hook)
    with pytest.raises(JobError, match=words):
        read_file(tmp_path / "sae_weights.safetensors", feature=feature)
    write_pt(tmp_path / "v.pt", vectors())
    with pytest.raises(JobError, match="has no W_dec"):
        read_file(tmp_path / "v.pt", feature=(3, None))
