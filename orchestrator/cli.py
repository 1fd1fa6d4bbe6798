"""The command line: run, plan, status, retry, score. What people read and what programs read never share a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.errors import InputError, plain

if TYPE_CHECKING:
    from orchestrator.run import RunOptions
    from orchestrator.store import Store

ROWS_SHOWN = 60
"""A longer table is left to the page."""

EPILOG = """Examples, for python -m orchestrator ...

  plan sweeps/quickstart.yaml    what would run, and what it costs

  run sweeps/quickstart.yaml     run it; the same command continues it later

  status results/quickstart      how far it is, what failed and why

  retry results/quickstart       run the failed cells again

  score results/quickstart       label the stored responses anew

Exit codes: 0 done, 1 some cells failed, 2 bad input, 130 interrupted."""

app = typer.Typer(
    help="Activation-steering sweeps: extract a direction, add it back at many layers and strengths, see what the model does.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

SweepFile = Annotated[Path, typer.Argument(help="The sweep file, a YAML.", metavar="SWEEP")]
ResultsFolder = Annotated[Path, typer.Argument(help="The results folder of a sweep.", metavar="RESULTS")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; everything else goes to stderr.")]
IsQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="No banner, progress or table.")]
PoolName = Annotated[
    Literal["ray", "local"] | None,
    typer.Option("--pool", help="ray: on the cluster or this machine; local: in process. Default: what the sweep says."),
]
WorkerCount = Annotated[int | None, typer.Option("--workers", min=1, help="How many workers; default: as many as fit.")]
ResultsOption = Annotated[Path | None, typer.Option("--results", help="The results folder to use instead of the sweep's own.")]


@app.command(epilog="Example:  python -m orchestrator run sweeps/quickstart.yaml --results /tmp/try")
def run(
    sweep: SweepFile,
    pool: PoolName = None,
    results: ResultsOption = None,
    workers: WorkerCount = None,
    as_json: AsJson = False,
    quiet: IsQuiet = False,
) -> None:
    """Run what is missing of a sweep, then show its table.

    Running the same command again continues where it stopped; of a finished sweep nothing is run. Ctrl-C stops and keeps
    every finished cell. Cells that failed are left alone until `retry`, except where the cause lay outside of them.
    """
    from orchestrator.run import RunOptions

    with _input_errors_told():
        _run(sweep, results, RunOptions(pool, workers, quiet), as_json)


@app.command(epilog="Example:  python -m orchestrator plan sweeps/quickstart.yaml --json")
def plan(sweep: SweepFile, results: ResultsOption = None, as_json: AsJson = False) -> None:
    """Show what a sweep would run and an estimate of its cost. Loads no model and writes nothing."""
    from orchestrator.plan_table import render_plan
    from orchestrator.run import prepare
    from orchestrator.summaries import plan_object, state_line

    with _input_errors_told():
        prepared = prepare(sweep, results)
        if as_json:
            _print_json(plan_object(prepared))
            return
        _console(False).print(render_plan(prepared.plan))
        _print(_console(False), [f"{state_line(prepared)}; results in {prepared.store.root}"])


@app.command(epilog="Example:  python -m orchestrator status results/quickstart")
def status(results: ResultsFolder, as_json: AsJson = False) -> None:
    """How far a sweep is, per model, and what failed and why. Works while it runs."""
    from orchestrator.store import Store
    from orchestrator.summaries import status_json, status_lines

    with _input_errors_told():
        store = Store(results)
        _show(status_json(store), status_lines(store), as_json)


@app.command(epilog="Example:  python -m orchestrator retry results/quickstart --filter kind=job")
def retry(
    target: Annotated[Path, typer.Argument(help="The results folder, or the sweep file.", metavar="RESULTS_OR_SWEEP")],
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="KEY=VALUE", help="Only these failures: kind, model, behavior or item. May be repeated."
        ),
    ] = None,
    pool: PoolName = None,
    workers: WorkerCount = None,
    as_json: AsJson = False,
    quiet: IsQuiet = False,
) -> None:
    """Forget recorded failures and run those cells again (and whatever else is missing)."""
    from orchestrator.retrying import clear_failures, sweep_of
    from orchestrator.run import RunOptions

    with _input_errors_told():
        sweep, results = sweep_of(target)
        cleared = clear_failures(sweep, results, filters or [])
        if not quiet:
            _console(as_json).print(Text(f"{cleared} failures cleared"))
        _run(sweep, results, RunOptions(pool, workers, quiet), as_json)


@app.command(epilog="Example:  python -m orchestrator score results/quickstart --classifier text")
def score(
    results: ResultsFolder,
    classifier: Annotated[str | None, typer.Option(help="Which classifier; default: the sweep's own.")] = None,
    as_json: AsJson = False,
) -> None:
    """Label all stored responses anew, without a model, and rebuild the tables."""
    from orchestrator.scoring import score_results
    from orchestrator.summaries import score_lines

    with _input_errors_told():
        found = score_results(results, classifier)
        _show(found, score_lines(results, found), as_json)


def _run(sweep: Path, results: Path | None, options: RunOptions, as_json: bool) -> None:
    from orchestrator.run import prepare, run_sweep
    from orchestrator.summaries import banner_lines, ending_lines

    console = _console(as_json)
    prepared = prepare(sweep, results)
    if not options.quiet:
        _print(console, banner_lines(prepared))
    summary = run_sweep(prepared, options, console)
    if not options.quiet:
        _show_results(console, prepared.store, summary.failed)
    _print(console, ending_lines(summary))
    if as_json:
        _print_json(summary.as_json())
    raise typer.Exit(summary.exit_code)


def _show_results(console: Console, store: Store, failed: int) -> None:
    from orchestrator.report import cells_table, reading

    rows = store.cell_rows()
    if 0 < len(rows) <= ROWS_SHOWN:
        console.print(cells_table(rows, console.width))
    _print(console, reading(rows, failed, len(store.planned().cells)).splitlines())


def _console(as_json: bool) -> Console:
    return Console(stderr=as_json, markup=False, highlight=False)


def _show(content: dict[str, object], lines: list[str], as_json: bool) -> None:
    if as_json:
        _print_json(content)
    else:
        _print(_console(False), lines)


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(Text(plain(line)), soft_wrap=True)


def _print_json(content: dict[str, object]) -> None:
    print(json.dumps(content, indent=1))


@contextmanager
def _input_errors_told() -> Iterator[None]:
    """Bad input ends in its own words and exit code 2, never in a traceback."""
    try:
        yield
    except InputError as error:
        console = Console(stderr=True, markup=False, highlight=False)
        for line in str(error).splitlines():
            console.print(Text(plain(f"error: {line}"), style="red"), soft_wrap=True)
        raise typer.Exit(error.exit_code) from None
