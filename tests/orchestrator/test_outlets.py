"""What reaches standard output and error is clean, and that nobody reads it ends no run; short commands end as other tools do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.logs import EntryReader
from orchestrator.outlets import cleaned
from orchestrator.results.store import Store
from tests.orchestrator import samples
from tests.orchestrator.cli.test_commands import ROOT, write_sweep

HOSTILE = "\x1b]0;pwned\x07\x1b[31mllama\x1b]8;;http://x\x07\u202e\x9b2J"


def python(*words: object, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Python with these words, in the project's folder."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, env=env, check=False, timeout=120, **more)  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.filled(tmp_path_factory.mktemp("outlets") / "results", samples.grid()).root


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain caf\u00e9\n", "plain caf\u00e9\n"),
        ("a\x1b[31mb\x07", "a\\x1b[31mb\\x07"),
        ("\rloading:  50%|", "\rloading:  50%|"),
        ("all fine\rerror", "all fine\\rerror"),
        ("a\tb\u202e\n", "a    b\\u202e\n"),
        ("token hf_abcdefghijklmnop\n", "token [HF_TOKEN]\n"),
    ],
)
def test_cleaned(text: str, shown: str) -> None:
    assert cleaned(text) == shown


def test_whatever_a_library_writes_is_clean_on_both_outlets() -> None:
    code = f"""
import logging, sys, warnings
from orchestrator import outlets
outlets.install()
hostile = {HOSTILE!r}
print("printed", hostile)
sys.stderr.write("written " + hostile)
log = logging.getLogger("transformers")
log.addHandler(logging.StreamHandler())
log.warning("logged %s", hostile)
logging.getLogger("other").warning("last resort %s", hostile)
warnings.warn("warned " + hostile)
outlets.trusted(sys.stdout).write("\\x1b[1mours\\x1b[0m\\n")
raise ValueError("raised " + hostile)
"""
    told = python("-c", code, capture_output=True)
    said = (told.stdout + told.stderr).decode()
    assert all(word in said for word in ("printed", "written", "logged", "last resort", "warned", "raised", "pwned"))
    assert not {"\x07", "\u202e", "\x9b"} & set(said)
    assert [part[:3] for part in said.split("\x1b")[1:]] == ["[1m", "[0m"]


def full() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def unread() -> int:
    """A pipe whose reader has gone."""
    reads, writes = os.pipe()
    os.close(reads)
    return writes


@pytest.mark.parametrize(("where", "code", "word"), [(full, 3, "No space left"), (unread, 141, "")], ids=["full", "unread"])
@pytest.mark.parametrize("words", [("status",), ("logs", "--follow")])
def test_a_short_command_that_nobody_hears_ends(
    words: tuple[str, ...], where: Callable[[], int], code: int, word: str, tmp_path: Path, results: Path
) -> None:
    (results / "logs").mkdir(exist_ok=True)
    (results / "logs" / "events-000001.jsonl").write_text('{"time": "2026-01-01T00:00:00+00:00", "event": "note", "text": "x"}\n')
    outlet = where()
    told = python("-m", "orchestrator", words[0], results, *words[1:], stdout=outlet, stderr=subprocess.PIPE)
    os.close(outlet)
    assert told.returncode == code
    assert len(told.stderr.decode().splitlines()) == (1 if word else 0)
    assert word in told.stderr.decode()


def test_a_run_goes_on_without_its_outlets_and_the_log_says_so_once(tmp_path: Path) -> None:
    """stdout full and stderr closed, as on a full disk of logs; nothing else may get the number of what is closed."""
    sweep = write_sweep(tmp_path)
    outlet = full()
    told = python("-m", "tests.fake_cli", "run", sweep, stdout=outlet, preexec_fn=lambda: os.close(2))
    os.close(outlet)
    assert told.returncode == 0
    assert len(Store(tmp_path / "out").cell_rows()) == 4
    notes = [one.text for one in EntryReader(tmp_path / "out" / "logs").new() if "cannot be written" in one.text]
    assert len(notes) == 2
    assert "stdout" in notes[0]
    assert "stderr" in notes[1]


def test_a_reader_that_does_not_read_holds_no_run_up() -> None:
    code = """
import fcntl, os, sys
from orchestrator import outlets
outlets.PATIENCE_SECONDS = 0.1
fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, 4096)
outlets.install()
told = []
with outlets.losses_told(told.append):
    outlets.hurry()
    for _ in range(100):
        print("x" * 1000)
print(told, file=sys.stderr, flush=True)
"""
    reads, writes = os.pipe()
    told = python("-c", code, stdout=writes, stderr=subprocess.PIPE)
    os.close(reads)
    os.close(writes)
    assert told.stderr.decode().count("nobody reads it") == 2, "once to whoever keeps the log, once on stderr"
