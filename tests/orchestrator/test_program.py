"""How a process of the command line begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actors.library_settings import AT_START

PROGRAM = """
import os, sys
from orchestrator.program import run_program
run_program(lambda: print(os.getpid(), os.environ.get("GLIBC_TUNABLES"), *sys.argv[1:], sep="|"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library's setting is Linux's")
@pytest.mark.parametrize(
    ("asked", "before", "after"),
    [
        ("run", None, AT_START["GLIBC_TUNABLES"]),
        ("retry", None, AT_START["GLIBC_TUNABLES"]),
        ("run", "glibc.malloc.check=0", "glibc.malloc.check=0"),
        ("status", None, "None"),
    ],
)
def test_what_may_hold_a_model_starts_its_own_program_again_once(
    tmp_path: Path, asked: str, before: str | None, after: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if name not in AT_START}
    environment |= {"PYTHONPATH": os.getcwd(), **({} if before is None else {"GLIBC_TUNABLES": before})}
    words = [asked, "a b", "--pool", "local"]
    with subprocess.Popen([sys.executable, program, *words], env=environment, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate()
    assert told.strip().split("|") == [str(process.pid), after, *words], "the same process, the same words, nothing said twice"
    assert process.returncode == 0
