"""Which results a person means: a folder, a sweep file or the name of either, for every command alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator import load_results
from orchestrator.cli import app
from orchestrator.errors import InputError
from orchestrator.results.which import named, results_named
from orchestrator.storage import S3Url
from tests.orchestrator.samples import filled, grid

SWEEP = "models: {}\nbehaviors: {}\n"
COMMANDS = (
    ("show",),
    ("status",),
    ("score",),
    ("compare", "all", "baseline"),
    ("export", "--to", "npz"),
    ("figures",),
    ("label",),
    ("agreement",),
    ("errors",),
    ("retry",),
    ("logs",),
    ("refit",),
    ("pause",),
    ("resume",),
    ("cancel",),
)
"""Every command that reads results, with what else it needs."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``results/night`` of ``sweeps/night.yaml``, in which the commands run."""
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps" / "night.yaml").write_text(SWEEP)
    (tmp_path / "results" / "night").mkdir(parents=True)
    (tmp_path / "results" / "night" / "plan.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("written", ["results/night", "results/night/", "sweeps/night.yaml", "night", "night.yaml"])
def test_the_folder_the_sweep_file_and_the_name_mean_the_same(here: Path, written: str) -> None:
    assert results_named(written) == Path("results/night")
    assert (named(written).sweep is None) == (".yaml" not in written or written == "night")


def test_a_sweep_file_says_its_place_and_its_name(here: Path) -> None:
    (here / "elsewhere" / "a").mkdir(parents=True)
    (here / "elsewhere" / "a" / "driver.json").write_text("{}")
    (here / "sweeps" / "day.yaml").write_text(f"{SWEEP}results: ../elsewhere/a\nmultiplyers: [a typing error elsewhere]\n")
    assert results_named("day") == results_named("sweeps/day.yaml") == Path("sweeps/../elsewhere/a")
    (here / "sweeps" / "other.yaml").write_text(f"{SWEEP}name: night\n")
    assert results_named("sweeps/other.yaml") == Path("results/night")
    (here / "sweeps" / "far.yaml").write_text(f"{SWEEP}results: s3://bucket/night\n")
    assert results_named("far") == S3Url("bucket", "night")


def test_the_copy_among_the_results_means_them(here: Path) -> None:
    (here / "results" / "night" / "sweep.yaml").write_text(f"{SWEEP}results: elsewhere\n")
    assert results_named("results/night/sweep.yaml") == Path("results/night")


def test_a_folder_without_results_does_not_hide_those_of_its_name(here: Path) -> None:
    (here / "night").mkdir()
    assert results_named("night") == Path("results/night")
    with pytest.raises(InputError, match=r"no plan\.json"):
        named("./sweeps")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("nihgt", "did you mean 'night'?"),
        ("results/nihgt", "did you mean 'results/night'?"),
        ("sweeps/nihgt.yaml", "did you mean 'sweeps/night.yaml'?"),
        ("sweeps/later.yaml", "it has no results in results/later: `run` it"),
        ("sweeps/list.yaml", "this is no sweep file"),
        ("notes.txt", "this file is no sweep file"),
        ("elsewhere", "there are no such results"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(here: Path, written: str, said: str) -> None:
    (here / "sweeps" / "later.yaml").write_text(SWEEP)
    (here / "sweeps" / "list.yaml").write_text("- 1\n")
    (here / "notes.txt").write_text("")
    with pytest.raises(InputError) as told:
        named(written)
    assert said in str(told.value)
    assert f"'{written}'" in str(told.value)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: one[0])
def test_every_command_takes_the_same_and_says_the_same(here: Path, command: tuple[str, ...]) -> None:
    name, *more = command
    told = CliRunner().invoke(app, [name, "nihgt", *more])
    assert told.exit_code == 2
    assert "error: RESULTS: there are no such results (got 'nihgt'); allowed: a results folder" in told.stderr
    assert "did you mean 'night'?" in told.stderr
    usage = " ".join(CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output.split())
    assert f"{name} [OPTIONS] {{RESULTS}}" in usage or name == "compare"
    assert "a results folder, s3://bucket/prefix, a sweep file, or the name of either (below results/ or sweeps/)" in usage


def test_a_name_reads_what_the_folder_reads(here: Path) -> None:
    filled(here / "results" / "day", grid((9,), (4.0,)), {(9, 4.0): (3, 0)}).compact()
    assert load_results("day").cells.equals(load_results("results/day").cells)
    shown, again = (CliRunner().invoke(app, ["show", word, "layer=9", "--json"]) for word in ("day", "results/day"))
    assert shown.exit_code == again.exit_code == 0, shown.output
    assert shown.output == again.output
