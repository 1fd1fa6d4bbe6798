"""The command that writes a sweep and a behavior to start from."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.terminal import console_for, input_errors_told, print_lines
from orchestrator.errors import InputError, Problem

STARTER = files("orchestrator.cli") / "starter"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the sweep and its behavior are called.")] = "lists",
    folder: Annotated[Path, typer.Option("--in", metavar="FOLDER", help="Where; default: here.")] = Path(),
) -> None:
    """Write a sweep and a behavior to start from, with a comment on every line: NAME.yaml and NAME.jsonl, which run as they are.

    They are about numbered lists: put your prompts and what counts as success in their place. No file that is there already
    is touched.
    """
    with input_errors_told():
        written = write_starter(name, folder)
        sweep = written[0]
        print_lines(
            console_for(False),
            [
                f"wrote {' and '.join(map(str, written))}",
                f"to look: python -m orchestrator plan {sweep}",
                f"to run:  python -m orchestrator run {sweep}",
            ],
        )


def write_starter(name: str, folder: Path) -> tuple[Path, Path]:
    """The sweep and the behavior file called ``name`` in ``folder``, which is made. InputError for a name that is none, and where
    one of the files is there."""
    if not _NAME.fullmatch(name):
        raise InputError(Problem("NAME", name, "no name for a file", "lower-case letters, digits and dashes, a letter first"))
    found = folder / f"{name}.yaml", folder / f"{name}.jsonl"
    there = [path for path in found if path.exists()]
    if there:
        raise InputError.because("it is there already", "NAME", str(there[0]), "another NAME, or --in FOLDER")
    folder.mkdir(parents=True, exist_ok=True)
    for path, source in zip(found, ("sweep.yaml", "behavior.jsonl"), strict=True):
        path.write_text((STARTER / source).read_text(encoding="utf-8").replace("NAME", name), encoding="utf-8")
    return found


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = ((init, "init pirate --in my-sweeps"),)
"""With an example."""
