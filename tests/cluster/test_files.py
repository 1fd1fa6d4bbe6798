"""The cluster files by Ray's own schema, and what they promise: pinned, with a token, nothing open, no secret. No network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from orchestrator.devices import ACCELERATORS

ROOT = Path(__file__).parents[2]
FILES = ("cluster.yaml", "cluster-local.yaml")
SECRET = re.compile(r"hf_\w{10,}|AKIA\w{12,}|\b[0-9a-f]{40}\b|(TOKEN|KEY|SECRET|PASSWORD)=\S", re.IGNORECASE)


def read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return data


def start_commands(name: str) -> list[str]:
    data = read(name)
    return [*data["head_start_ray_commands"], *data["worker_start_ray_commands"]]


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name: str) -> None:
    prepared = prepare_config(read(name))
    validate_config(prepared)
    assert prepared["cluster_name"].startswith("steering")


def test_ray_would_refuse_a_mistake() -> None:
    with pytest.raises(Exception, match="max_worker"):  # jsonschema's own error, by way of Ray
        validate_config(prepare_config({**read("cluster.yaml"), "max_worker": 3}))


@pytest.mark.parametrize("name", FILES)
def test_every_start_has_the_token_and_the_dashboard_stays_on_loopback(name: str) -> None:
    starts = [command for command in start_commands(name) if "ray start" in command]
    assert len(starts) == 2
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command
    (head,) = (command for command in starts if "--head" in command)
    assert "--dashboard-host=127.0.0.1" in head
    assert "~/.ray/auth_token" in read(name)["file_mounts"].values()


@pytest.mark.parametrize("name", FILES)
def test_no_secret_is_in_the_file(name: str) -> None:
    assert not SECRET.search((ROOT / name).read_text(encoding="utf-8"))


def test_what_a_secret_looks_like() -> None:
    for line in ("export HF_TOKEN=abc", "hf_abcdefghijklmnop", "AKIAABCDEFGHIJKLMNOP", "0123456789" * 4):
        assert SECRET.search(line), line


@pytest.mark.parametrize("name", FILES)
def test_the_project_is_installed_pinned(name: str) -> None:
    assert any("make setup" in command for command in read(name)["setup_commands"])
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "pip install -qq --constraint constraints.txt --editable ." in makefile
    for command in (*read(name)["setup_commands"], *read(name).get("head_setup_commands", ())):
        for package in re.findall(r"pip install (.*)", command):
            assert "==" in package, command


def test_workers_are_spot_and_there_are_none_without_work() -> None:
    worker = read("cluster.yaml")["available_node_types"]["a100"]
    assert worker["min_workers"] == 0
    assert worker["node_config"]["InstanceType"] == "p4de.24xlarge"
    assert worker["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert (worker["resources"]["CPU"], worker["resources"]["GPU"]) == (96, 8)
    offered = {name.partition(":")[2] for name in worker["resources"] if name.startswith("accelerator_type:")}
    assert offered <= set(ACCELERATORS)
    assert offered == {"A100"}, "what Ray itself calls them: no sweep needs a label made by hand"


def test_on_premises_no_other_ray_of_the_host_is_stopped() -> None:
    """Ray's own default start commands run ``ray stop``, which ends every Ray process of the user on the host."""
    commands = start_commands("cluster-local.yaml")
    assert not any("ray stop" in command for command in commands)
    patterns = {pattern for command in commands for pattern in re.findall(r"pkill .*?-f '([^']+)'", command)}
    (pattern,) = patterns
    (temporary,) = {found for command in commands for found in re.findall(r"--temp-dir=(\S+)", command)}
    assert re.search(pattern, f"gcs_server --session-dir={temporary}/session_2026")
    assert not re.search(pattern, "gcs_server --session-dir=/tmp/ray/session_2026"), "somebody else's Ray"
    for command in commands:
        assert not re.search(pattern, command), "it would end the shell that runs it"


@pytest.mark.parametrize("page", ["cluster.md", "slurm.md", "security.md"])
def test_the_pages_name_what_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"`((?:tests|docs|orchestrator|actors|sweeps)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(encoding="utf-8"), flags=re.M), f"{path}::{name}"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
