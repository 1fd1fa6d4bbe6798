"""The commands that look at a sweep, or ask something of its driver, from anywhere that sees its results folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from orchestrator.cli.terminal import (
    WHICH_CELLS,
    AsJson,
    FailureFilters,
    FailureKind,
    ResultsFolder,
    console_for,
    finite,
    input_errors_told,
    print_json,
    print_lines,
    show,
)
from orchestrator.errors import plain
from orchestrator.outlets import spare

if TYPE_CHECKING:
    from orchestrator.control.asking import DriverReply
    from orchestrator.control.status import Status
    from orchestrator.storage import Place

Seconds = Annotated[
    float, typer.Option("--every", min=0.2, callback=finite, metavar="SECONDS", help="With --watch or --follow: how often.")
]
Wait = Annotated[
    float, typer.Option("--wait", min=0.0, callback=finite, metavar="SECONDS", help="How long to wait for the driver to hear.")
]


def status(
    results: ResultsFolder,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it again and again until the driver has ended.")] = False,
    every: Seconds = 2.0,
    as_json: AsJson = False,
) -> None:
    """How far a sweep is, per model, what its workers do, and what failed and why.

    Reads the results folder alone, from any machine that sees it, whether the driver runs or not; writes nothing.
    With --watch --json: one JSON object per line.
    """
    from orchestrator.control.status import read_status, status_json, status_lines

    with input_errors_told():
        found = read_status(results)
        if not watch:
            show(status_json(found), status_lines(found), as_json)
        elif as_json:
            _again(results, found, every, lambda one: print_json(status_json(one), indent=None))
        else:
            _watch(results, found, every)


def errors(results: ResultsFolder, filters: FailureFilters = None, kind: FailureKind = None, as_json: AsJson = False) -> None:
    """The failures of a sweep by kind: how many of each, the most frequent message, and a cell that has it."""
    from orchestrator.retrying import failures_of, list_json, list_lines

    with input_errors_told():
        found = failures_of(results, filters or (), kind)
        show(list_json(found), list_lines(found), as_json)


def logs(
    results: ResultsFolder,
    cell: Annotated[
        str | None, typer.Argument(metavar="SELECTION", help=f"One cell or direction: {WHICH_CELLS}; or a direction's id.")
    ] = None,
    worker: Annotated[str | None, typer.Option("--worker", help="Only what this worker did.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last events.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens next; Ctrl-C ends it.")] = False,
    every: Seconds = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: one object for a cell, else one per line.")] = False,
) -> None:
    """What the driver and its workers did: the last events, those of one worker, or everything about one cell.

    Of a cell: where and how often it ran, how long it took, what its worker logged meanwhile, and its failure's traceback.
    """
    from orchestrator.control.history import history_json, history_lines, read_history
    from orchestrator.logs.showing import Feed

    with input_errors_told():
        if cell is not None and not follow:
            found = read_history(results, cell)
            show(history_json(found), history_lines(found), as_json)
            return
        feed = Feed(results, cell, worker, as_json)
        try:
            _tell(feed.last(lines), as_json)
            while follow:
                time.sleep(every)
                _tell(feed.more(), as_json)
        except KeyboardInterrupt:
            return


def pause(results: ResultsFolder, wait: Wait = 15.0, as_json: AsJson = False) -> None:
    """Ask the driver to hand out nothing new: what runs is finished, the models stay loaded. `resume` goes on."""
    from orchestrator.control.asking import pause as ask

    _ask(results, lambda: ask(results, wait), as_json)


def resume(results: ResultsFolder, wait: Wait = 15.0, as_json: AsJson = False) -> None:
    """Lift a `pause`: the driver goes on where it was."""
    from orchestrator.control.asking import resume as ask

    _ask(results, lambda: ask(results, wait), as_json)


def cancel(results: ResultsFolder, wait: Wait = 60.0, as_json: AsJson = False) -> None:
    """Ask the driver to stop as Ctrl-C does: every finished cell is kept, and the same `run` continues."""
    from orchestrator.control.asking import cancel as ask

    _ask(results, lambda: ask(results, wait), as_json)


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (status, "status results/quickstart --watch"),
    (errors, "errors results/quickstart --kind job"),
    (logs, "logs results/quickstart layer=15,multiplier=8"),
    (pause, "pause results/quickstart"),
    (resume, "resume results/quickstart"),
    (cancel, "cancel results/quickstart"),
)
"""Each with an example."""


def _ask(results: Place, question: Callable[[], DriverReply], as_json: bool) -> None:
    spare()
    with input_errors_told():
        answer = question()
        show(answer.as_json(results), [answer.message], as_json)


def _tell(lines: Iterable[str], as_json: bool) -> None:
    for line in lines:
        if as_json:
            print(line, flush=True)
        else:
            print_lines(console_for(False), [line])


def _watch(results: Place, found: Status, every: float) -> None:
    console = console_for(False)
    if not console.is_terminal:
        _again(results, found, every, lambda one: print_lines(console, [*_lines(one), ""]))
        return
    with Live(_screen(found), console=console, auto_refresh=False, vertical_overflow="crop") as live:
        _again(results, found, every, lambda one: live.update(_screen(one), refresh=True))


def _again(results: Place, found: Status, every: float, tell: Callable[[Status], None]) -> None:
    """Until no driver is heard of any more, or Ctrl-C."""
    from orchestrator.control.status import read_status

    try:
        tell(found)
        while found.live is not None:
            time.sleep(every)
            found = read_status(results)
            tell(found)
    except KeyboardInterrupt:
        return


def _screen(found: Status) -> Group:
    return Group(*(Text(plain(line), overflow="ellipsis", no_wrap=True) for line in _lines(found)))


def _lines(found: Status) -> list[str]:
    from orchestrator.control.status import status_lines

    return status_lines(found)
