"""Sweep files, behavior files, model folders and adapters that a stranger made to hurt: each is told as bad input, at once."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.errors import ModelLoadError
from actors.fingerprints import folder_fingerprint
from actors.model_files import MAX_HEADER_BYTES, safetensors_header
from orchestrator.behaviors import load_behavior
from orchestrator.cli import app
from orchestrator.errors import InputError, as_told, shown
from orchestrator.models.files import check_adapter
from orchestrator.plan import make_plan
from orchestrator.sweep import load_sweep
from orchestrator.sweep_file.yaml_text import parse_yaml
from tests.orchestrator.samples import SHAPE
from tests.orchestrator.sweep_files import QWEN_7B, sweep_data, write_adapter, write_model, write_sweep

DEEP = "[" * 100_000
LORA = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    told = str(caught.value)
    assert len(told) < 2000
    assert all(line.isprintable() for line in told.splitlines())
    return told


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1, 2]\nb: [*x, *x]",
        "a: " + DEEP,
        "a: " + "{b: " * 100_000,
        "a: !!python/object/apply:os.system [id]",
        "a: !!binary aGk=",
        "a: " + "[],\n" * 300_000,
        "<<: {a: 1}",
        "? [1, 2]\n: 3",
    ],
    ids=["alias", "deep list", "deep map", "python", "tag", "too many", "merge", "list as key"],
)
def test_yaml_bombs(text: str) -> None:
    refused(lambda: parse_yaml(text, "sweep.yaml"))


def test_a_yaml_number_that_takes_for_ever() -> None:
    refused(lambda: parse_yaml("a: 1" + ":1" * 5_000, "sweep.yaml"))


def test_a_number_too_long_to_print(tmp_path: Path) -> None:
    assert "too long to show" in shown(16**10_000)
    path = write_sweep(tmp_path, sweep_data())
    path.write_text(path.read_text().replace("- 4\n", f"- 0x{'f' * 10_000}\n"))
    assert "multipliers" in refused(lambda: load_sweep(path))


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "a\x1b[2J", "a" * 200, "", "a\x00b"])
def test_names_that_lead_elsewhere_or_drive_a_terminal(name: str, tmp_path: Path) -> None:
    refused(lambda: load_sweep(write_sweep(tmp_path, sweep_data(name=name))))


@pytest.mark.parametrize("repo", ["../../x", "/etc/passwd", "a/b/c", "http://x/y", "a\nb"])
def test_hub_names_that_are_paths(repo: str, tmp_path: Path) -> None:
    refused(lambda: load_sweep(write_sweep(tmp_path, sweep_data(models={"m": {"hub": repo, "shape": QWEN_7B}}))))


def test_a_shape_that_fills_the_memory(tmp_path: Path) -> None:
    models = {"m": {"hub": "a/b", "revision": "a" * 40, "shape": {**QWEN_7B, "n_layers": 10**15}}}
    refused(lambda: make_plan(load_sweep(write_sweep(tmp_path, sweep_data(models=models, layers=[0])))))


@pytest.mark.parametrize(
    "line",
    [DEEP, '{"id": "a", "role": "test", "text": ' + "9" * 10_000 + "}", '{"id": "a", "role": "\\u001b[2J", "text": "x"}', "\x00"],
    ids=["deep", "digits", "control", "nul"],
)
def test_a_behavior_file(line: str, tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text(line + "\n")
    refused(lambda: load_behavior("b", tmp_path / "b.jsonl"))


def test_a_behavior_file_that_is_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file in ("/dev/zero", str(tmp_path / "pipe")):
        refused(lambda file=file: load_sweep(write_sweep(tmp_path, sweep_data(behaviors={"refusal": {"file": file}}))))  # type: ignore[misc]


def test_a_model_folder_with_a_pipe_a_folder_and_a_deep_file(tmp_path: Path) -> None:
    """None of them is read in full, and none blocks."""
    folder = write_model(tmp_path / "m")
    before = folder_fingerprint(folder)
    os.mkfifo(folder / "pipe.json")
    (folder / "sub.json").mkdir()
    assert folder_fingerprint(folder) == before
    (folder / "deep.json").write_text(DEEP)
    assert folder_fingerprint(folder) != before


def plan_with_config(tmp_path: Path, config: str) -> object:
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_text(config)
    return make_plan(load_sweep(write_sweep(tmp_path, sweep_data(models={"m": {"folder": str(folder)}}, layers=[1]))))


@pytest.mark.parametrize(
    "config", ["[]", "null", "{", '{"num_hidden_layers": ' + "9" * 5000 + "}", '{"num_hidden_layers": "30"}']
)
def test_a_models_config(config: str, tmp_path: Path) -> None:
    refused(lambda: plan_with_config(tmp_path, config))


def test_a_deep_config(tmp_path: Path) -> None:
    refused(lambda: plan_with_config(tmp_path, DEEP))


@pytest.mark.parametrize("change", [{"num_hidden_layers": 10**15}, {"num_attention_heads": 10**400}])
def test_sizes_beyond_any_model(change: dict[str, int], tmp_path: Path) -> None:
    config = json.loads((write_model(tmp_path / "m") / "config.json").read_text())
    refused(lambda: plan_with_config(tmp_path, json.dumps({**config, **change})))


def adapter(tmp_path: Path, header: object, length: int | None = None) -> Path:
    """An adapter whose weights file begins with ``header``; ``length`` is what it claims the header's length to be."""
    folder = write_adapter(tmp_path / "a")
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw)
    return folder


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({}, 2**63),
        ({}, MAX_HEADER_BYTES + 1),
        (DEEP.encode(), None),
        (b'{"a":' * 100_000, None),
        ([1], None),
        ({LORA: "x"}, None),
        ({LORA: {"dtype": "F32", "shape": [-1, 576]}}, None),
        ({LORA: {"dtype": "F32", "shape": [1e400, 576]}}, None),
        ({LORA: {"dtype": "F32", "shape": [True, 576]}}, None),
        ({LORA: {"dtype": "F32", "shape": 3}}, None),
        (b"\xff\xfe", None),
        (b"", None),
    ],
)
def test_a_hostile_safetensors_header(header: object, length: int | None, tmp_path: Path) -> None:
    folder = adapter(tmp_path, header, length)
    with pytest.raises(ModelLoadError, match="not a readable safetensors file"):
        safetensors_header(folder / "adapter_model.safetensors")
    refused(lambda: check_adapter(folder, SHAPE))


def test_a_header_that_claims_more_than_the_file_holds_allocates_nothing(tmp_path: Path) -> None:
    refused(lambda: check_adapter(adapter(tmp_path, {}, MAX_HEADER_BYTES), SHAPE))


@pytest.mark.parametrize("name", [LORA, LORA.replace("layers.0", "layers." + "9" * 5000)], ids=["scalar", "layer"])
def test_an_adapter_tensor_without_sizes(name: str, tmp_path: Path) -> None:
    shape = [] if name == LORA else [8, 4]
    refused(lambda: check_adapter(adapter(tmp_path, {name: {"dtype": "F32", "shape": shape}}), SHAPE))


LONG = "x" * 5_000


@pytest.mark.parametrize("path", ["a\x00b", LONG, "/".join(["a"] * 3_000), "~nosuchuser/x"], ids=["nul", "name", "path", "home"])
@pytest.mark.parametrize("field", ["folder", "adapter", "file", "results"])
def test_a_path_that_no_file_can_have(field: str, path: str, tmp_path: Path) -> None:
    model = {"folder": str(write_model(tmp_path / "m"))}
    changes: dict[str, object] = {"models": {"m": {**model, field: path} if field in ("folder", "adapter") else model}}
    changes |= {"behaviors": {"refusal": {"file": path}}} if field == "file" else {}
    changes |= {"results": path} if field == "results" else {}
    told = refused(lambda: load_sweep(write_sweep(tmp_path, sweep_data(layers=[1], **changes))))
    assert len(told.splitlines()) == 1
    assert f"{field}: " in told


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "nowhere", "circle"])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_something_else_in_place_of_a_file(name: str, what: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    make(folder / name, what)
    models = {"m": {"folder": str(folder)}}
    assert name in refused(lambda: load_sweep(write_sweep(tmp_path, sweep_data(models=models))))


@pytest.mark.parametrize("what", ["folder", "pipe", "device", "nowhere", "circle"])
def test_something_else_in_place_of_a_sweep(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a\nsweep.yaml"
    make(path, what)
    told = refused(lambda: load_sweep(path))
    assert "cannot read the file" in told
    assert len(told.splitlines()) == 1


def make(path: Path, what: str) -> None:
    """Put that in place of a file."""
    path.unlink(missing_ok=True)
    match what:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case _:
            path.symlink_to({"device": "/dev/zero", "nowhere": "/nonexistent/file", "circle": str(path)}[what])


@pytest.mark.parametrize(
    "command", ["status", "errors", "logs", "pause", "resume", "cancel", "score", "refit", "retry", "plan", "run"]
)
@pytest.mark.parametrize("path", [LONG, "new\nline", "a\x1b[31m", "sur\udcffrogate", "/dev/zero"])
def test_every_command_with_a_path_that_is_none(command: str, path: str) -> None:
    told = CliRunner().invoke(app, [command, path])
    assert told.exit_code in (2, 3), told.exception
    assert len(told.output.strip().splitlines()) == 1
    assert len(told.output) < 2000
    assert "\x1b" not in told.output


@pytest.mark.parametrize("mib", [20, 60, 150])
def test_little_memory(mib: int) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "orchestrator", "plan", "x.yaml"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (mib * 2**20, mib * 2**20)),
    )
    assert (told.returncode, told.stderr.count("\n")) == (3, 1), told.stderr
    assert "ulimit -v" in told.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), 3),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 3),
        (ImportError("libx.so: failed to map segment from shared object"), 3),
        (RuntimeError("can't start new thread"), 3),
        (OSError(errno.EIO, "Input/output error", "weights"), 3),
        (OSError(errno.ENAMETOOLONG, "File name too long", LONG), 2),
        (UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"), 2),
    ],
)
def test_what_the_machine_says_is_told_in_a_line(error: Exception, code: int) -> None:
    told = as_told(error)
    assert told is not None
    assert told.exit_code == code
    assert len(str(told).splitlines()) == 1
    assert len(str(told)) < 1000


def test_a_fault_of_ours_is_none_of_the_machines() -> None:
    assert as_told(ZeroDivisionError("a bug")) is None
    assert as_told(RuntimeError("a bug")) is None
