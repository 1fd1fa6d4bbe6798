"""The command that prints answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli.terminal import AsJson, ResultsFolder, Selection, console_for, input_errors_told, print_json, print_lines


def show(
    results: ResultsFolder,
    selection: Selection = "all",
    versus: Annotated[
        str | None, typer.Option("--vs", metavar="SELECTION", help="Beside the answers of these cells: baseline, or others.")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="Only these: success, garbled, no_answer, other, or a label; label:NAME where it is both.",
        ),
    ] = None,
    grep: Annotated[
        str | None, typer.Option("--grep", metavar="RE", help="Only answers in which this is found (RE2, any case).")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="ID", help="Only to this prompt; repeated: any.")
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="With --vs: only where the labels differ.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many at most.")] = 20,
    whole: Annotated[bool, typer.Option("--whole", help="Answers of any length in full.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print answers: what the model wrote, its label and why, and beside it what another cell wrote to the same prompt."""
    from orchestrator.answers import AnswersAsked, answers_json, answers_lines, answers_of, notes_of

    with input_errors_told():
        found = answers_of(results, AnswersAsked(selection, versus, label, grep, tuple(prompt or ()), changed))
        if as_json:
            print_json({**answers_json(found, limit), "notes": notes_of(results)})
        else:
            print_lines(
                console_for(False), [*answers_lines(found, limit, whole), *(f"note: {note}" for note in notes_of(results))]
            )


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = ((show, "show results/quickstart layer=15,multiplier=8 --vs baseline"),)
"""With an example."""
