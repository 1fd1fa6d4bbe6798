"""Runs a script of ``actors/parity/scripts`` for many models in one process of its environment: ``SCRIPT LIST.json``, a list of
``[model folder, JOB.json, OUT.npz]``. Why there is no ``OUT.npz`` stands in ``OUT.npz.txt``. Imports no project."""

from __future__ import annotations

import json
import runpy
import signal
import sys
from pathlib import Path

SECONDS = 120
"""For one model."""


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def _run(script: str, folder: str, job: str, out: str) -> None:
    sys.argv = [script, folder, job, out]
    sys.modules.pop("job_files", None)  # it reads the words that it is started with
    signal.alarm(SECONDS)
    try:
        runpy.run_path(script, run_name="__main__")
    except (Exception, SystemExit) as error:  # noqa: BLE001 # whatever a library raises is what is asked for
        said = str(error).strip().splitlines() or [""]
        Path(f"{out}.txt").write_text(f"{type(error).__name__}: {said[0]}", encoding="utf-8")
    finally:
        signal.alarm(0)


def main() -> None:
    """One after the other, those that are not done."""
    script, listed = sys.argv[1:]
    sys.path.insert(0, str(Path(script).parent))
    signal.signal(signal.SIGALRM, _too_long)
    for folder, job, out in json.loads(Path(listed).read_text(encoding="utf-8")):
        if not Path(out).exists() and not Path(f"{out}.txt").exists():
            Path(f"{out}.txt").write_text("it ended the process", encoding="utf-8")
            _run(script, folder, job, out)
            if Path(out).exists():
                Path(f"{out}.txt").unlink()


main()
