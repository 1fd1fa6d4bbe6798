"""Programs that end well, badly, never, and with children that outlive them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from actors.commands import CommandError, CommandTimeoutError, run_command


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_one_that_ends_well_says_nothing_however_much_it_prints() -> None:
    run_command(python("import sys; [sys.stdout.write('x' * 10**6) for _ in range(20)]; sys.stderr.write('y' * 10**6)"), 60)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys; print('no', file=sys.stderr); print('ink\\n\\n', file=sys.stderr); sys.exit(3)", "ended with code 3: ink$"),
        ("print('on stdout'); raise SystemExit(1)", "ended with code 1: on stdout$"),
        ("raise SystemExit(1)", "ended with code 1: no message$"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV: no message$"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL, as where memory runs short"),
        ("import sys; sys.stderr.buffer.write(b'\\xff\\x00 odd'); sys.exit(1)", "odd"),
    ],
)
def test_one_that_ends_badly_says_why(text: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        run_command(python(text), 60)


def test_one_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run_command([str(tmp_path / "nothing")], 60)


def test_one_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    text = f"import os, time; pid = os.fork(); pid and open({str(child)!r}, 'w').write(str(pid)); time.sleep(600)"
    began = time.monotonic()
    with pytest.raises(CommandTimeoutError, match="took more than 2 s"):
        run_command(python(text), 2)
    assert time.monotonic() - began < 60
    for _ in range(100):
        if not _runs(int(child.read_text())):
            return
        time.sleep(0.1)
    pytest.fail("its child still runs")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
