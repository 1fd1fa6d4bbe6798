"""The command that gives results to other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.terminal import ResultsFolder, Selection, console_for, input_errors_told, print_lines


def export(
    results: ResultsFolder,
    to: Annotated[str, typer.Option("--to", metavar="FORM", help="gguf, steering-vectors, npz, pt, inspect, final-results.")],
    selection: Selection = "all",
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the files go.")] = Path("exports"),
) -> None:
    """Write directions, answers or a summary in the form of another tool; of some cells: their answers and their steerings."""
    from orchestrator.compare.selection import select
    from orchestrator.errors import InputError, Problem, nearest_name
    from orchestrator.exports import EXPORTS
    from orchestrator.loaded import load_results

    with input_errors_told():
        if to not in EXPORTS:
            raise InputError(Problem("--to", to, "there is no such form", ", ".join(EXPORTS), nearest_name(to, EXPORTS)))
        if out.exists() and not out.is_dir():
            raise InputError(Problem("--out", str(out), "it is a file", "a folder, made where there is none"))
        found = load_results(str(results))
        chosen = None if selection.strip() in ("", "all") else select(found.rows, selection)
        print_lines(console_for(False), [str(path) for path in EXPORTS[to].write(found, chosen, out)])


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = ((export, "export results/quickstart layer=15,multiplier=8 --to gguf"),)
"""With an example."""
