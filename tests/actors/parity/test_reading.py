"""Tools read the same tensor, or the one that is named; a user's own command takes part through files."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.boundary import Answered
from actors.parity.jobs import Classes, ParityJob, ReadJob, Setting, SitesJob, SteeringPlace, SteerJob
from actors.parity.tools import TOOLS
from actors.types import Failure, Prompt
from actors.worker import ModelWorker

CLASSES = Classes(
    tuple(Prompt(f"p{n}", f"How do I break thing {'x' * 3 * n}?") for n in range(3)),
    tuple(Prompt(f"n{n}", f"Why is cake {'y' * 2 * n} good?") for n in range(3)),
)
PLAIN = Setting()
OWN = """
import json, sys
import numpy as np
folder, job, out = sys.argv[1:]
told = json.load(open(job))
assert told["task"] == "read" and [one["class"] for one in told["prompts"]] == ["positive"] * 3 + ["negative"] * 3
shape = (len(told["prompts"]), told["n_layers"], told["d_model"])
np.savez(out, activations=np.full(shape, len(told["prompts"][0]["token_ids"]), np.float32))
"""


def answer(worker: ModelWorker, job: ParityJob) -> dict[str, np.ndarray] | str:
    (found,) = worker.parity([job])
    if isinstance(found, Failure):
        return found.message
    assert isinstance(found, Answered)
    with np.load(io.BytesIO(found.content), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def read(worker: ModelWorker, tool: str, setting: Setting = PLAIN, repeats: int = 1) -> dict[str, np.ndarray]:
    found = answer(worker, ReadJob("r", CLASSES, tool, setting=setting, repeats=repeats))
    assert isinstance(found, dict), found
    return found


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "qwen3"])
def test_the_tools_of_this_process_read_the_same_bits(tiny_worker: Callable[..., ModelWorker], family: str) -> None:
    worker = tiny_worker(family)
    for setting in (Setting(), Setting(3)):
        expected = read(worker, "hooks", setting)["activations"]
        assert expected.shape[0] == 6
        for name in (name for name, tool in TOOLS.items() if tool.extractor):
            found = read(worker, name, setting)["activations"]
            last = found.shape[1] - (name == "hidden-states")  # whose last is behind the final norm
            np.testing.assert_array_equal(found[:, :last], expected[:, :last])


def test_padding_side_and_attention_make_rounding_alone(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    expected = read(worker, "hooks", repeats=2)
    assert expected["spread"].max() == 0
    for setting in (Setting(3), Setting(3, "right"), Setting(attention="eager"), Setting(attention="sdpa")):
        found = read(worker, "hooks", setting)["activations"]
        np.testing.assert_allclose(found, expected["activations"], rtol=1e-3, atol=1e-3)
    assert answer(worker, ReadJob("r", CLASSES, "hooks", setting=Setting(attention="no_such")))


def test_sites_hold_the_outputs_the_inputs_and_the_parts(tiny_worker: Callable[..., ModelWorker]) -> None:
    worker = tiny_worker("llama")
    outputs = read(worker, "hooks")["activations"]
    found = answer(worker, SitesJob("s", CLASSES.prompts))
    assert isinstance(found, dict)
    sites = dict(zip(map(str, found["names"]), found["sites"], strict=True))
    np.testing.assert_array_equal(sites["output"], outputs.transpose(1, 0, 2))
    np.testing.assert_array_equal(sites["input"][1:], sites["output"][:-1])
    assert "output of mlp" in sites
    normed = read(worker, "hidden-states")["activations"][:, -1]
    np.testing.assert_allclose(sites["output behind the final norm"][-1], normed, rtol=1e-6)


def test_a_command_of_the_users_own_reads_through_files(tiny_worker: Callable[..., ModelWorker], tmp_path: Path) -> None:
    worker = tiny_worker("llama")
    script = tmp_path / "own.py"
    script.write_text(OWN)
    found = answer(worker, ReadJob("r", CLASSES, "mine", (sys.executable, str(script))))
    assert isinstance(found, dict)
    assert worker._loaded is not None
    assert found["activations"][0, 0, 0] == len(worker._loaded.renderer.render(CLASSES.positive[0]).token_ids)


HUGE = """
import io, sys, zipfile
import numpy as np
head = io.BytesIO()
np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (6, 5, 10**15)})
with zipfile.ZipFile(sys.argv[3], "w") as file:
    file.writestr("activations.npy", head.getvalue())
"""


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise SystemExit('the disk is full')", "the disk is full"),
        ("pass", "wrote no .npz"),
        ("import sys, numpy; numpy.savez(sys.argv[3], activations=numpy.zeros((2, 2)))", r"shape \(2, 2\)"),
        ("import sys, numpy; numpy.savez(sys.argv[3], activations=numpy.full((6, 5, 64), numpy.nan))", "are not finite"),
        ("import sys, numpy; numpy.savez(sys.argv[3], activations=numpy.full((6, 5, 64), 1e300))", "are not finite"),
        ("import sys, numpy; numpy.savez(sys.argv[3], activations=numpy.full((6, 5, 64), 'a'))", "and no numbers"),
        ("import sys, numpy; numpy.savez(sys.argv[3], activations=numpy.full((6, 5, 64), None, object))", "and no numbers"),
        ("import sys; open(sys.argv[3], 'wb').write(b'PK' + bytes(99))", "wrote no .npz"),
        ("import sys; sys.stderr.write('garbage\\x1b[2J' * 9**6); raise SystemExit(2)", "it ended with code 2: .*garbage"),
        (HUGE, "have shape \\(6, 5, 1000000000000000\\)"),
        ("import os; os.abort()", "it was ended by SIGABRT"),
        ("import sys, numpy; numpy.savez(sys.argv[3], other=numpy.zeros(2))", "holds none of activations, directions"),
    ],
)
def test_a_command_that_fails_says_why(tiny_worker: Callable[..., ModelWorker], tmp_path: Path, script: str, told: str) -> None:
    (tmp_path / "own.py").write_text(script)
    found = answer(tiny_worker("llama"), ReadJob("r", CLASSES, "mine", (sys.executable, str(tmp_path / "own.py"))))
    assert isinstance(found, str)
    assert re.search(told, found)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ("tokens=numpy.full((2, 3), numpy.nan)", "tokens hold numbers that are not finite"),
        ("tokens=numpy.zeros((2, 3)), logits=numpy.full((2, 3, 4), numpy.inf)", "logits hold numbers that are not finite"),
        ("logits=numpy.zeros((2, 3, 4))", "holds no tokens"),
    ],
)
def test_answers_of_a_command_are_looked_at(
    tiny_worker: Callable[..., ModelWorker], tmp_path: Path, arrays: str, told: str
) -> None:
    (tmp_path / "own.py").write_text(f"import sys, numpy; numpy.savez(sys.argv[3], {arrays})")
    place = SteeringPlace(CLASSES, CLASSES.positive[:2], 2, tokens=3, probes=4)
    found = answer(tiny_worker("llama"), SteerJob("s", place, "mine", (sys.executable, str(tmp_path / "own.py"))))
    assert isinstance(found, str)
    assert told in found
