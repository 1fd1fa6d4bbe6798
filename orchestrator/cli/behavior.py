"""The commands about behavior files: they load no model and write nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.terminal import AsJson, input_errors_told, show
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from orchestrator.behaviors import BehaviorFile, SetUse

behavior = typer.Typer(help="Look at behavior files before they are run.", no_args_is_help=True, rich_markup_mode=None)


@behavior.callback()
def _commands() -> None:
    """Makes ``check`` a command of its own, though it is the only one."""


@behavior.command(epilog="Example:  python -m orchestrator behavior check sweeps/behaviors/refusal.jsonl")
def check(
    file: Annotated[Path, typer.Argument(help="The behavior file, or the name of a published set.", metavar="FILE")],
    test: Annotated[
        Path | None, typer.Option("--test", help="The file or set with its test prompts, where they lie apart.")
    ] = None,
    holdout: Annotated[
        float | None, typer.Option("--holdout", help="How many pairs (or which share of them) become test prompts.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", help="Whose chat template renders two prompts: embedded, a folder, or a cached hub model.")
    ] = "smollm2-135m-instruct",
    as_json: AsJson = False,
) -> None:
    """Say what a behavior file holds, in what its classes differ besides the behavior, and how the model reads its prompts.

    A file that cannot be used ends with exit code 2 and everything that is wrong with it; warnings leave it at 0.
    """
    from orchestrator.behaviors import read_behavior
    from orchestrator.behaviors.check import check_behavior
    from orchestrator.models.templates import renderer_of

    with input_errors_told():
        read = read_behavior(file.stem, _source(file), None if test is None else _source(test), _count(holdout))
        found = check_behavior(read, renderer_of(model))
        lines = found.lines() if found.rendered else [*found.lines(), f"the chat template of {model} is not at hand"]
        show(found.as_json(), lines, as_json)


def _source(given: Path) -> BehaviorFile | SetUse:
    from orchestrator.behaviors import BehaviorFile, SetUse
    from orchestrator.behaviors.sets import SETS

    return SetUse(str(given)) if str(given) in SETS and not given.exists() else BehaviorFile(given)


def _count(holdout: float | None) -> int | float | None:
    if holdout is None or 0 < holdout < 1:
        return holdout
    if not 1 <= holdout < math.inf or holdout % 1:
        raise InputError.because("not a number of pairs, nor a share of them", "--holdout", holdout, "a whole number, or 0.25")
    return int(holdout)
