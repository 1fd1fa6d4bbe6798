"""What the commands share: arguments by name, what people read and what programs read, and how bad input ends.

The two kinds of output never share a stream: with ``--json`` stdout holds JSON alone.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.errors import InputError, Problem, as_told, nearest_name, plain
from orchestrator.interrupts import EXIT_INTERRUPTED
from orchestrator.outlets import trusted
from orchestrator.program import interruption
from orchestrator.results.which import ALLOWED, Named, named
from orchestrator.storage import Place, place_of


def as_place(written: str) -> Place:
    """A folder or a URL, for typer."""
    with input_errors_told():
        return place_of(written)


def one_of(option: str, names: Sequence[str]) -> Callable[[str], str]:
    """Takes one of ``names`` for an ``option``, for typer, whose own words know no nearest name."""

    def take(written: str) -> str:
        with input_errors_told():
            if written not in names:
                raise InputError(Problem(option, written, "unknown name", ", ".join(names), nearest_name(written, names)))
            return written

    return take


def finite(number: float | None) -> float | None:
    """Takes a number as an option's value, for typer, whose own bounds let NaN and infinity pass."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no finite number")
    return number


def as_results(written: str) -> Place:
    """The results that are named, for typer."""
    return as_named(written).place


def as_named(written: str) -> Named:
    """The results that are named, with the sweep file if it was that, for typer."""
    with input_errors_told():
        return named(written)


WHICH_RESULTS = f"Which: {ALLOWED}."
ResultsFolder = Annotated[Any, typer.Argument(parser=as_results, help=WHICH_RESULTS, metavar="RESULTS")]
"""A ``Place``; typer knows no unions."""
NamedResults = Annotated[Any, typer.Argument(parser=as_named, help=WHICH_RESULTS, metavar="RESULTS")]
"""A ``Named``."""
ResultsOption = Annotated[
    Any, typer.Option("--results", parser=as_place, metavar="RESULTS", help="Where results go instead of where the sweep says.")
]
"""A ``Place`` or None."""
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr.")]
WHICH_CELLS = "column=value,... (layer=15,multiplier=8), baseline, all, or a cell's id"
"""A selection, in words."""
Selection = Annotated[str, typer.Argument(metavar="SELECTION", help=f"Which cells: {WHICH_CELLS}.")]
FailureFilters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="SELECTION",
        help=f"Only these failures: {WHICH_CELLS}; also by kind, item, worker. Repeated: all must hold.",
    ),
]
FailureKind = Annotated[str | None, typer.Option("--kind", help="Only failures of this kind, as `errors` lists them.")]


def console_for(as_json: bool) -> Console:
    """Where people read: stdout, or stderr when programs have stdout."""
    return Console(file=trusted(sys.stderr if as_json else sys.stdout), markup=False, highlight=False)


def show(content: dict[str, object], lines: Sequence[str], as_json: bool) -> None:
    """The one or the other."""
    if as_json:
        print_json(content)
    else:
        print_lines(console_for(False), lines)


def print_lines(console: Console, lines: Sequence[str]) -> None:
    """Each as it is, without what could drive a terminal."""
    for line in lines:
        console.print(Text(plain(line)), soft_wrap=True)


def print_json(content: dict[str, object], indent: int | None = 1) -> None:
    """On stdout; without indent it is one line."""
    print(json.dumps(content, indent=indent), flush=True)


@contextmanager
def stdout_kept(as_json: bool) -> Iterator[None]:
    """Around whatever may run a user's own code or a library: where stdout is for JSON, what these print goes to stderr."""
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        yield


@contextmanager
def input_errors_told() -> Iterator[None]:
    """Bad input ends in words and exit code 2, what the machine refuses with 3, a signal with 130; none in a traceback."""
    try:
        yield
    except KeyboardInterrupt:
        print_lines(console_for(True), [interruption()])
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except Exception as error:
        told = as_told(error)
        if told is None:
            raise
        for line in str(told).splitlines():
            console_for(True).print(Text(plain(f"error: {line}"), style="red"), soft_wrap=True)
        raise typer.Exit(told.exit_code) from None
