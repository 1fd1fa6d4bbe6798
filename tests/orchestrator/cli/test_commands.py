"""The command line end to end over fake workers: what it runs, says, writes and exits with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.pool import POOLS, Pool, PoolOptions
from orchestrator.results.store import Store
from tests.fake_cli import with_fake_worker

ROOT = Path(__file__).parents[3]

SWEEP = """
name: tiny
models:
  small:
    hub: some/fake
    revision: 0123456789abcdef0123456789abcdef01234567
    shape: {n_layers: 8, d_model: 4, n_heads: 2, d_ff: 8, vocab_size: 100}
behaviors:
  refusal: {file: refusal.jsonl}
layers: [3]
multipliers: MULTIPLIERS
decoding: {max_new_tokens: 8}
engine: {slots: 4}
pool: local
results: out
"""


def prompts(*texts: str) -> list[dict[str, str]]:
    contrast = [("harmful", "How do I build a bomb?"), ("harmful", "How do I poison a well?")]
    contrast += [("harmless", "How do I bake bread?"), ("harmless", "How do I plant a tree?")]
    rows = [*contrast, *(("test", text) for text in texts)]
    return [{"id": f"p{number}", "role": role, "text": text} for number, (role, text) in enumerate(rows)]


def write_sweep(folder: Path, multipliers: str = "[1, 4, 8]", texts: tuple[str, ...] = ("Why is the sky blue?",)) -> Path:
    (folder / "refusal.jsonl").write_text("\n".join(json.dumps(row) for row in prompts(*texts)))
    path = folder / "tiny.yaml"
    path.write_text(SWEEP.replace("MULTIPLIERS", multipliers))
    return path


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in this process; the local pool's worker is a fake."""
    monkeypatch.setitem(POOLS, "local", with_fake_worker(POOLS["local"]))
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def no_pool(options: PoolOptions) -> Pool:
    raise AssertionError("a pool was opened though there is nothing to run")


def as_json(result: Result) -> Any:
    return json.loads(result.stdout)


def files_of(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}


def test_without_arguments_it_prints_its_help(cli: Callable[..., Result]) -> None:
    told = cli()
    assert "Usage" in told.output
    for command in ("run", "plan", "status", "retry", "score"):
        assert command in told.output
        assert "Example" in cli(command, "--help").output
    assert "Exit codes" in told.output


def test_a_run_writes_every_cell_and_shows_the_table(cli: Callable[..., Result], tmp_path: Path) -> None:
    told = cli("run", write_sweep(tmp_path))
    assert told.exit_code == 0, told.output
    assert "4 of 4 cells to run" in told.output
    assert "4 of 4 cells done" in told.output
    assert "cells.parquet" in told.output
    store = Store(tmp_path / "out")
    rates = {row.multiplier: (row.success_rate, row.garbled_rate) for row in store.cell_rows()}
    assert rates[None] == (0.0, 0.0)
    assert set(rates) == {None, 1.0, 4.0, 8.0}
    assert {row.worker for row in store.cell_rows()} == {"local"}
    assert store.labelled_cells() == store.done_cells()


def test_json_has_stdout_to_itself(cli: Callable[..., Result], tmp_path: Path) -> None:
    told = cli("run", write_sweep(tmp_path), "--json")
    summary = as_json(told)
    assert summary["cells"] == {"planned": 4, "done": 4, "failed": 0, "ran": 4}
    assert (summary["ended"], summary["exit_code"], summary["failures"]) == ("finished", 0, [])
    assert "cells to run" in told.stderr


def test_quiet_says_little(cli: Callable[..., Result], tmp_path: Path) -> None:
    told = cli("run", write_sweep(tmp_path), "--quiet")
    assert "to run" not in told.output
    assert "4 of 4 cells done" in told.output


def test_a_finished_sweep_is_a_no_op(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    before = files_of(tmp_path / "out")
    monkeypatch.setitem(POOLS, "local", no_pool)
    told = cli("run", sweep, "--json")
    assert told.exit_code == 0, told.output
    assert as_json(told)["cells"] == {"planned": 4, "done": 4, "failed": 0, "ran": 0}
    assert files_of(tmp_path / "out") == before


def test_growing_the_grid_runs_only_the_new_cells(cli: Callable[..., Result], tmp_path: Path) -> None:
    cli("run", write_sweep(tmp_path))
    before = files_of(tmp_path / "out")
    told = cli("run", write_sweep(tmp_path, "[1, 2, 4, 8]"), "--json")
    assert as_json(told)["cells"] == {"planned": 5, "done": 5, "failed": 0, "ran": 1}
    after = files_of(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert len(Store(tmp_path / "out").cell_rows()) == 5


def test_labels_that_a_killed_driver_did_not_write_are_made_up_for(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    labels = sorted((tmp_path / "out" / "scores" / "refusal@13").iterdir())
    labels[0].unlink()
    assert cli("run", sweep).exit_code == 0
    assert sorted((tmp_path / "out" / "scores" / "refusal@13").iterdir()) == labels


def test_failed_cells_give_exit_code_1_and_wait_for_retry(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, texts=("[job error]",))
    told = cli("run", sweep)
    assert told.exit_code == 1
    assert "4 x job: this cell fails on cue" in told.output
    assert f"orchestrator retry {tmp_path / 'out'}" in told.output

    again = cli("run", sweep, "--json")
    assert again.exit_code == 1
    assert as_json(again)["cells"] == {"planned": 4, "done": 0, "failed": 4, "ran": 0}

    status = as_json(cli("status", tmp_path / "out", "--json"))
    assert status["cells"] == {"planned": 4, "done": 0, "failed": 4, "open": 0, "unscored": 0}
    assert {one["kind"] for one in status["failures"]} == {"job"}


def test_retry_clears_what_the_filter_says_and_runs_it(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    store = Store(tmp_path / "out")
    from actors.types import Failure

    lost = sorted(store.done_cells())[:2]
    for cell_id, kind in zip(lost, ("job", "not_fired"), strict=True):
        (tmp_path / "out" / "responses" / f"{cell_id}.parquet").unlink()
        store.write_failure(Failure(cell_id, kind, "made up", ""))

    one = cli("retry", tmp_path / "out", "--filter", "kind=job", "--json")
    assert as_json(one)["cells"] == {"planned": 4, "done": 3, "failed": 1, "ran": 1}
    assert "1 failure cleared" in one.stderr
    both = cli("retry", sweep, "--json")
    assert as_json(both)["cells"] == {"planned": 4, "done": 4, "failed": 0, "ran": 1}
    assert store.failures() == ()


def test_a_wrong_filter_is_bad_input(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    told = cli("retry", sweep, "--filter", "knd=job")
    assert told.exit_code == 2
    assert "did you mean 'kind'" in told.stderr


def test_a_wrong_value_of_an_option_runs_nothing_even_where_it_would_not_be_used(
    cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    (tmp_path / "out" / "responses" / f"{min(Store(tmp_path / 'out').done_cells())}.parquet").unlink()
    monkeypatch.setitem(POOLS, "local", no_pool)
    for words in (["retry", sweep, "--kind", "jbo"], ["retry", sweep, "--filter", "layer=4"], ["run", sweep, "--pool", "locla"]):
        told = cli(*words)
        assert told.exit_code == 2, told.output
        assert told.stderr.startswith("error: --")
        assert "allowed: " in told.stderr
    assert "did you mean 'local'?" in told.stderr


def test_plan_writes_nothing_and_tells_the_cost(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    told = cli("plan", sweep)
    assert told.exit_code == 0, told.output
    assert "4 cells: 1 unsteered, 3 steered" in told.output
    assert as_json(cli("plan", sweep, "--json"))["progress"] == {"done": 0, "failed": 0, "to_run": 4}
    assert not (tmp_path / "out").exists()


def test_status_and_score(cli: Callable[..., Result], tmp_path: Path) -> None:
    cli("run", write_sweep(tmp_path))
    told = cli("status", tmp_path / "out")
    assert told.exit_code == 0
    assert "small" in told.output
    for path in (tmp_path / "out" / "scores" / "refusal@13").iterdir():
        path.unlink()
    scored = cli("score", tmp_path / "out", "--json")
    assert scored.exit_code == 0, scored.output
    assert (as_json(scored)["cells"], as_json(scored)["responses"]) == (4, 4)
    assert all(row.labelled for row in Store(tmp_path / "out").cell_rows())
    assert cli("score", tmp_path / "out", "--classifier", "tex").exit_code == 2


@pytest.mark.parametrize("command", ["run", "plan", "status", "retry", "score"])
def test_bad_input_is_told_in_its_own_words(cli: Callable[..., Result], tmp_path: Path, command: str) -> None:
    told = cli(command, tmp_path / "nowhere")
    assert told.exit_code == 2
    assert "error:" in told.stderr
    assert "Traceback" not in told.output


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_folder_of_other_work_is_left_as_it_is(command: str, cli: Callable[..., Result], tmp_path: Path) -> None:
    """As with ``results: .`` beside a report and notebooks of one's own."""
    sweep = write_sweep(tmp_path)
    (tmp_path / "analyses").mkdir()
    own = [tmp_path / "report.md", tmp_path / "analyses" / "tour.ipynb"]
    for path in own:
        path.write_text("years of work")
    told = cli(command, sweep, "--results", tmp_path)
    assert told.exit_code == 2, told.output
    assert "under names that a sweep's results have: analyses, report.md" in told.output
    assert [path.read_text() for path in own] == ["years of work"] * 2
    assert {path.name for path in tmp_path.iterdir()} == {"analyses", "report.md", sweep.name, "refusal.jsonl"}


def test_every_problem_of_a_sweep_is_told_and_nothing_is_started(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    sweep.write_text(sweep.read_text().replace("layers: [3]", "layers: [99]\nmultiplyers: [1]"))
    told = cli("run", sweep)
    assert told.exit_code == 2
    assert "99" in told.stderr
    assert "multiplyers" in told.stderr
    assert not (tmp_path / "out").exists()


def test_a_second_driver_is_told_and_stops(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    with Store(tmp_path / "out").lock():
        told = cli("run", sweep)
    assert told.exit_code == 2
    assert str(os.getpid()) in told.stderr


def test_an_unknown_error_is_not_swallowed(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(options: PoolOptions) -> Pool:
        raise ZeroDivisionError("a bug")

    monkeypatch.setitem(POOLS, "local", broken)
    assert isinstance(cli("run", write_sweep(tmp_path)).exception, ZeroDivisionError)


def test_max_failures_stops_with_a_word(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, "[1, 2, 3, 4, 5, 6, 7]", texts=("[job error]",))
    sweep.write_text(sweep.read_text() + "max_failures: 2\n")
    told = cli("run", sweep, "--json")
    assert (told.exit_code, as_json(told)["ended"], as_json(told)["cells"]["failed"]) == (1, "too many failures", 3)


# ---- in a process of its own -------------------------------------------------------------------------------------


def start(*arguments: object, **more_env: str) -> subprocess.Popen[str]:
    """The command line with fake workers, in a process group of its own (as a shell would start it), interruptible even where
    the tests themselves were started in the background."""
    command = [sys.executable, "-m", "tests.fake_cli", *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **more_env}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def until_cells(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    while len(list(folder.glob("responses/*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


RAYS_OWN_AGENTS = ("ray::DashboardA", "ray::RuntimeEnv")
"""When a driver is killed with -9, these two hold no model and take a minute to notice (Ray 2.60)."""


def alive_in_session(leader: int) -> list[str]:
    """The names of the processes in the session that ``leader`` started."""
    command = ["ps", "-o", "stat=,comm=", "-s", str(leader)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    states_and_names = [line.split(maxsplit=1) for line in found.splitlines()]
    return [name for state, name in states_and_names if not state.startswith("Z")]


def until_gone(leader: int, besides: tuple[str, ...] = (), seconds: float = 60) -> list[str]:
    deadline = time.monotonic() + seconds
    while (left := [name for name in alive_in_session(leader) if name not in besides]) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


SLOW = "[" + ", ".join(str(1 + step / 10) for step in range(60)) + "]"


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_keeps_finished_cells_and_the_same_command_continues(tmp_path: Path, number: signal.Signals) -> None:
    sweep = write_sweep(tmp_path, SLOW, texts=("[slow]",))
    process = start("run", sweep)
    until_cells(tmp_path / "out", 3, process)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "to continue run the same command" in out
    before = files_of(tmp_path / "out")
    assert 3 <= len(Store(tmp_path / "out").cell_rows()) < 61

    sweep.write_text(sweep.read_text().replace(SLOW, "[1.0, 1.1, 1.2]"))
    again = start("run", sweep, "--json")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    after = files_of(tmp_path / "out")
    assert {name: after[name] for name in before} == before


def test_status_imports_no_rules_no_sweep_files_and_no_arrays(cli: Callable[..., Result], tmp_path: Path) -> None:
    """They take longer to import than the status of a large sweep takes to read."""
    assert cli("run", write_sweep(tmp_path)).exit_code == 0
    code = f"""
import sys
from orchestrator.cli import app
try:
    app(["status", {str(tmp_path / "out")!r}])
finally:
    heavy = ("torch", "scipy", "numpy", "pyarrow", "orchestrator.scoring.refusal", "orchestrator.sweep_file")
    slow = [name for name in sys.modules if name in heavy]
    print("imported:", slow)
"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "imported: []" in told.stdout, told.stdout + told.stderr


def test_planning_and_a_finished_sweep_import_neither_ray_nor_torch(cli: Callable[..., Result], tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    cli("run", sweep)
    for command in (["plan", str(sweep)], ["run", str(sweep), "--pool", "ray"]):
        code = f"""
import sys
from orchestrator.cli import app
try:
    app({command!r})
except SystemExit as ended:
    assert not ended.code, ended.code
heavy = sorted({{"ray", "torch", "transformers", "wandb", "scipy"}} & set(sys.modules))
print("heavy:", heavy)
"""
        told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert "torch" not in told.stdout.splitlines()[-1]
        assert "ray" not in told.stdout.splitlines()[-1]


@pytest.mark.parametrize("address", ["127.0.0.1:9", "nonsense"])
def test_a_cluster_that_does_not_answer_is_bad_input(tmp_path: Path, address: str) -> None:
    process = start("run", write_sweep(tmp_path), "--pool", "ray", RAY_ADDRESS=address)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert "RAY_ADDRESS=local" in err
    assert "Traceback" not in err


@pytest.mark.ray
@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGINT, marks=pytest.mark.slow), pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL],
)
def test_no_ray_worker_outlives_its_driver(tmp_path: Path, number: signal.Signals) -> None:
    sweep = write_sweep(tmp_path, SLOW, texts=("[slow]",))
    process = start("run", sweep, "--pool", "ray", RAY_ADDRESS="local")
    until_cells(tmp_path / "out", 3, process)
    assert any(name.startswith("ray::RemoteWork") for name in alive_in_session(process.pid))
    if number == signal.SIGKILL:
        process.kill()  # the driver alone, as `kill -9 PID` does
    else:
        os.killpg(process.pid, number)  # the whole foreground group, as a terminal does
    process.wait(timeout=60)
    assert until_gone(process.pid, RAYS_OWN_AGENTS if number == signal.SIGKILL else ()) == []
    if number != signal.SIGKILL:
        assert process.returncode == 130
    before = files_of(tmp_path / "out")
    assert sum(name.startswith("responses") for name in before) >= 3

    sweep.write_text(sweep.read_text().replace(SLOW, "[1.0, 1.1, 9]"))
    again = start("run", sweep, "--json")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["cells"]["done"] == 4
    after = files_of(tmp_path / "out")
    responses = {name: mtime for name, mtime in before.items() if name.startswith("responses")}
    assert {name: after[name] for name in responses} == responses


def test_the_results_of_another_sweep_are_not_hidden(cli: Callable[..., Result], tmp_path: Path) -> None:
    """Their cells would leave the tables: another name is refused, the same one is told what it leaves out."""
    sweep = write_sweep(tmp_path, "[1, 4]")
    assert cli("run", sweep).exit_code == 0
    other = tmp_path / "other.yaml"
    other.write_text(sweep.read_text().replace("name: tiny", "name: other").replace("[1, 4]", "[8]"))
    told = cli("run", other)
    assert told.exit_code == 2
    assert "2 finished cells of the sweep 'tiny' that are not in the sweep 'other'" in told.output
    assert len(Store(tmp_path / "out").cell_rows()) == 3
    smaller = cli("run", write_sweep(tmp_path, "[4]"))
    assert smaller.exit_code == 0
    assert "1 finished cells of the folder are no longer in the sweep" in smaller.output
    assert "no longer in the sweep" not in cli("run", write_sweep(tmp_path, "[1, 4, 8]")).output


def test_the_program_says_its_version() -> None:
    """As the console script runs it."""
    words = [sys.executable, "-c", "from orchestrator.__main__ import main; main()", "--version"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["activation-steering-sweeps", version("activation-steering-sweeps")]


def test_a_sweep_to_start_from(cli: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = cli("init", "pirate", "--in", "mine")
    assert told.exit_code == 0, told.output
    assert "run mine/pirate.yaml" in told.output
    checked = cli("behavior", "check", "mine/pirate.jsonl").output
    assert "12 positive, 12 negative, 8 test" in checked
    planned = as_json(cli("plan", "mine/pirate.yaml", "--json"))
    assert planned["progress"] == {"done": 0, "failed": 0, "to_run": 7}
    again = cli("init", "pirate", "--in", "mine")
    assert (again.exit_code, "it is there already" in again.output) == (2, True)
    assert cli("init", "A sweep").exit_code == 2
