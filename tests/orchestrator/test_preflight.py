"""What `plan` says before a sweep starts: of the machine, of the hub, of what nobody could find out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from actors.errors import JobError
from actors.prompts import PromptRenderer
from actors.types import Prompt
from orchestrator.cli import app
from orchestrator.cli.plan_table import render_preflight
from orchestrator.errors import InputError
from orchestrator.machine import Machine
from orchestrator.models.hub_facts import HubFacts
from orchestrator.preflight import Preflight, preflight
from orchestrator.sweep import load_sweep
from orchestrator.sweep_file.schema import PoolEntry
from tests.faults.tiny_sweep import TinySweep
from tests.orchestrator.sweep_files import PINNED, hub, plan_of, sweep_data, write_sweep
from tests.tiny import tiny_tokenizer

GIB = 2**30
SMALL = Machine(24 * GIB, 2, 100 * GIB)
LLAMA = {"hub": "meta-llama/Llama-3.3-70B-Instruct", "revision": PINNED}
Told = dict[str, HubFacts]


def hub_that_says(told: Told) -> Callable[[Iterable[tuple[str, str | None]]], list[HubFacts]]:
    return lambda asked: [told.get(repo, HubFacts(repo, cached=True)) for repo, _ in asked]


def found(folder: Path, machine: Machine = SMALL, pool: str = "local", told: Told | None = None, **models: object) -> Preflight:
    return preflight(plan_of(folder, models=models), PoolEntry(kind=pool), hub_that_says(told or {}), machine)  # type: ignore[arg-type]


def test_weights_that_memory_cannot_hold(tmp_path: Path) -> None:
    seen = found(tmp_path, big=LLAMA, small={"embedded": "smollm2-135m-instruct"})
    (fault,) = seen.faults
    assert fault.startswith("weights larger than the 24.0 GiB of memory here: big (263 GiB); give a smaller dtype")
    assert not seen.impossible, "another machine may hold them"
    assert seen.facts == ("Workers run on this machine: 24.0 GiB of memory, 2 cores.",)
    assert not found(tmp_path, Machine(512 * GIB, 2), big=LLAMA).faults
    assert not found(tmp_path, Machine(None, 2), big=LLAMA).faults, "what is not known is no fault"


def test_memory_of_several_workers_and_of_the_cache(tmp_path: Path) -> None:
    seven = hub("seven", n_layers=28)
    seen = found(tmp_path, Machine(50 * GIB, 4), "ray", seven=seven)
    (warning,) = seen.warnings
    assert warning.startswith("4 workers with seven may need")
    assert warning.endswith("give pool: {kind: ray, workers: 1}")
    assert not found(tmp_path, Machine(50 * GIB, 4), "local", seven=seven).warnings, "one worker"
    (cost,) = plan_of(tmp_path, models={"seven": seven}).estimate.models
    (tight,) = found(tmp_path, Machine((cost.weight_bytes + cost.peak_bytes) // 2, 1), seven=seven).warnings
    assert tight.startswith("may need more than the 28.")
    assert "of memory here: seven (" in tight


def test_why_a_sweep_cannot_run_is_the_last_line(tmp_path: Path) -> None:
    seen = Preflight(("nowhere",), ("no GPU",), ("tight",), ("a fact",), ("untold",))
    console = Console(width=100, record=True, file=StringIO())
    console.print(render_preflight(replace(seen, impossible=())))
    assert console.export_text(clear=True).splitlines()[-1] == "cannot run here: no GPU"
    console.print(render_preflight(replace(seen, faults=("no GPU",), impossible=("no such model",))))
    assert console.export_text().splitlines()[-1] == "cannot run: no such model"


def test_cpus_and_gpus_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.preflight.why_no_gpu", lambda: "no driver; install one")
    gpu = hub("one", gpus=1)
    seen = found(tmp_path, one=gpu, two={**gpu, "dtype": "bfloat16"}, wide={"embedded": "smollm2-135m-instruct", "cpus": 8})
    assert seen.faults == (
        "models one, two ask for a GPU, and on this machine no GPU can be used: no driver; install one",
        "model wide asks for more CPUs than the 2 here: cpus: 1",
    )


def test_a_cluster_is_not_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    seen = found(tmp_path, pool="ray", big=LLAMA)
    assert (seen.faults, seen.facts) == ((), ())
    assert seen.unknown == ("memory and GPUs of the cluster at RAY_ADDRESS=10.0.0.1:6379: it is not asked",)


def test_what_the_hub_refuses_can_run_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    gated, gone, base = hub("gated"), {**hub("x"), "hub": "Qwen/Qwen2.5-7B-Instuct"}, hub("base")
    told = {
        "example/gated": HubFacts("example/gated", there=True, gated=True, opens=False),
        "Qwen/Qwen2.5-7B-Instuct": HubFacts("Qwen/Qwen2.5-7B-Instuct", there=False),
        "example/base": HubFacts("example/base", there=True, opens=True, size=30 * GIB, template=False),
    }
    seen = found(tmp_path, told=told, machine=Machine(999 * GIB, 2, 20 * GIB), gated=gated, gone=gone, base=base)
    missing, closed, bare = seen.impossible[1], seen.impossible[0], seen.impossible[2]
    assert (
        "example/gated is gated and does not open: accept its licence on https://huggingface.co/example/gated and set HF_TOKEN"
        in closed
    )
    assert f"no repository 'Qwen/Qwen2.5-7B-Instuct' with a revision '{PINNED}'" in missing
    assert "did you mean 'Qwen/Qwen2.5-7B-Instruct'" in missing
    assert bare.startswith("no chat template: example/base; take the instruction-tuned model")
    assert seen.facts[1].startswith("To download, reckoned from the models' sizes: about")
    assert "example/base 30.0 GiB" in seen.facts[1]
    assert "Qwen" not in seen.facts[1]
    assert "20.0 GiB free where the hub's cache lies" in seen.faults[0]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_secret")
    again = found(tmp_path, told=told, gated=gated)
    assert "with the account of this token" in again.impossible[0]
    assert "hf_secret" not in str(again)


def test_what_nobody_answers_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    told = {LLAMA["hub"]: HubFacts(LLAMA["hub"], gated=True, why="HF_HUB_OFFLINE is set")}
    seen = found(tmp_path, machine=Machine(999 * GIB, 2), told=told, big=LLAMA)
    assert not seen.impossible
    assert not seen.faults
    assert seen.unknown == (f"whether {LLAMA['hub']} can be had, their sizes and chat templates: HF_HUB_OFFLINE is set",)
    assert seen.warnings == (
        f"known to be gated, their licences must be accepted on the hub: {LLAMA['hub']}; "
        "there is no token: set HF_TOKEN (or `hf auth login`)",
    )


def test_the_command_ends_with_2_where_a_sweep_can_run_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sweep(tmp_path, sweep_data(models={"m": hub("seven")}, pool="local"))
    told = CliRunner().invoke(app, ["plan", str(path)])
    assert told.exit_code == 0, told.output
    assert "example/seven can be had" in (said := " ".join(told.output.split()))
    assert "the hub was not asked (plan --hub asks it)" in said
    monkeypatch.setattr("orchestrator.models.hub_facts.ask", lambda _url: (404, b""))
    refused = CliRunner().invoke(app, ["plan", str(path), "--hub"])
    assert refused.exit_code == 2
    assert "cannot run: the hub has no repository 'example/seven'" in " ".join(refused.output.split())
    as_json = CliRunner().invoke(app, ["plan", str(path), "--hub", "--json"])
    assert as_json.exit_code == 2
    assert json.loads(as_json.stdout)["preflight"]["impossible"]


def test_a_slip_in_a_repository_s_name_is_told_where_its_shape_is_not_known(tmp_path: Path) -> None:
    data = sweep_data(models={"m": {"hub": "Qwen/Qwen2.5-7B-Instuct", "revision": PINNED}})
    with pytest.raises(InputError, match=r"did you mean 'Qwen/Qwen2\.5-7B-Instruct'"):
        load_sweep(write_sweep(tmp_path, data))
    data = sweep_data(models={"m": {"hub": "someone/else-entirely", "revision": PINNED}})
    with pytest.raises(InputError) as caught:
        load_sweep(write_sweep(tmp_path, data))
    assert "did you mean" not in str(caught.value)


def test_prompts_that_pass_a_model_s_positions_are_told_with_both_numbers(tmp_path: Path) -> None:
    sweep = TinySweep(tmp_path).write(("Why?", "a" * 505, "é" * 255, "a" * 509))
    sweep.model()
    seen = json.loads(sweep.do("plan", str(tmp_path / "sweep.yaml"), "--json").stdout)["preflight"]["warnings"]
    told = [f"prompt 'p{n}' has {tokens} tokens; that passes the model's limit of 512" for n, tokens in ((6, 514), (7, 513))]
    assert [one for one in seen if "passes" in one] == [f"tiny: {'; '.join(told)}: what needs them will fail"]
    renderer = PromptRenderer(tiny_tokenizer())
    renderer.limit = 512
    with pytest.raises(JobError) as raised:
        renderer.render(Prompt("p6", "é" * 255))
    assert str(raised.value) == told[0], "as the worker refuses it"
