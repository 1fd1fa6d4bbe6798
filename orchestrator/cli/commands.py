"""The command line: what makes, runs and reads results. The commands that watch and steer a run are in ``control``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.cli.answers import COMMANDS as ANSWERS
from orchestrator.cli.behavior import behavior
from orchestrator.cli.control import COMMANDS as CONTROL
from orchestrator.cli.exporting import COMMANDS as EXPORTING
from orchestrator.cli.figures import COMMANDS as FIGURES
from orchestrator.cli.parity import COMMANDS as PARITY
from orchestrator.cli.people import COMMANDS as PEOPLE
from orchestrator.cli.starting import COMMANDS as STARTING
from orchestrator.cli.terminal import (
    WHICH_CELLS,
    WHICH_RESULTS,
    AsJson,
    FailureFilters,
    FailureKind,
    NamedResults,
    ResultsFolder,
    ResultsOption,
    console_for,
    input_errors_told,
    one_of,
    print_json,
    print_lines,
    show,
    stdout_kept,
)
from orchestrator.errors import EXIT_CODE
from orchestrator.outlets import hurry, spare
from orchestrator.program import run_program

if TYPE_CHECKING:
    from orchestrator.results.store import Store
    from orchestrator.run import RunOptions
    from orchestrator.storage import Place

EPILOG = """Examples, for python -m orchestrator ...

  init lists                     a sweep and a behavior to start from

  plan sweeps/quickstart.yaml    what would run, and what it costs

  run sweeps/quickstart.yaml     run it; the same command continues it later

  status results/quickstart      how far it is, what failed and why

  retry results/quickstart       run the failed cells again

  run sweeps/full.yaml --detach  in the background; then status --watch, logs, pause, resume, cancel

  show results/quickstart --label garbled   read the answers, with labels and why

  figures results/quickstart     figures and tables for a paper

  score results/quickstart       score the stored responses anew

  label results/quickstart       a page on which a person labels a sample of them

  agreement results/quickstart   how far scorers and people agree

  compare results/quickstart layer=9 layer=15   two cells or groups, tested

  behavior check sweeps/behaviors/refusal.jsonl   what a behavior file holds

  parity smollm2-135m-instruct   does every tool read the same of a model?

Exit codes: 0 done, 1 some cells failed (of score: a scorer failed, or files were damaged), 2 bad input,
3 results cannot be stored or kept, 130 interrupted, 141 nobody reads the output."""

COMPARE_EPILOG = """Examples, for python -m orchestrator compare ...

  results/quickstart layer=15,multiplier=8 baseline   a cell and the unsteered

  results/quickstart layer=9 layer=15                 two groups of cells

  results/quickstart --by layer --against 15          each layer with layer 15

  results/full --paper 8                              beside Table 8

  --paper --audit                                     the paper's own statistics"""


class Program(typer.Typer):
    """The commands, as the program that runs them."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Never returns: ends the process."""
        run_program(lambda: super(Program, self).__call__(*arguments, **options))


app = Program(
    help="Activation-steering sweeps: extract a direction, add it back at many layers and strengths, see what the model does.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"activation-steering-sweeps {version('activation-steering-sweeps')}")
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="The version of this program, and no more.")
    ] = False,
) -> None:
    """What stands before a command."""


SweepFile = Annotated[Path, typer.Argument(help="The sweep file, a YAML.", metavar="SWEEP")]
IsQuiet = Annotated[bool, typer.Option("--quiet", "-q", help="No banner, progress or table.")]
PoolName = Annotated[
    str | None,
    typer.Option(
        "--pool",
        parser=one_of("--pool", ("ray", "local")),
        metavar="[ray|local]",
        help="ray: on the cluster or this machine; local: in process. Default: what the sweep says.",
    ),
]
WorkerCount = Annotated[int | None, typer.Option("--workers", min=1, help="How many workers; default: as many as fit.")]
CostsFile = Annotated[Path | None, typer.Option("--costs", help="A costs file (YAML): constants of the estimate by name.")]


@app.command(epilog="Example:  python -m orchestrator run sweeps/quickstart.yaml --results /tmp/try")
def run(
    sweep: SweepFile,
    pool: PoolName = None,
    results: ResultsOption = None,
    workers: WorkerCount = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Start the driver in the background, where it outlives this terminal.")
    ] = False,
    as_json: AsJson = False,
    quiet: IsQuiet = False,
) -> None:
    """Run what is missing of a sweep, then show its table.

    Running the same command again continues where it stopped; of a finished sweep nothing is run. Ctrl-C stops and keeps
    every finished cell. Cells that failed are left alone until `retry`, except where the cause lay outside of them.
    """
    from orchestrator.run import RunOptions

    with input_errors_told():
        options = RunOptions(pool, workers, quiet)
        if detach:
            _detach(sweep, results, options, as_json)
        else:
            _run(sweep, results, options, as_json)


@app.command(epilog="Example:  python -m orchestrator plan sweeps/quickstart.yaml --json")
def plan(
    sweep: SweepFile,
    results: ResultsOption = None,
    costs: CostsFile = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every warning, pair and grid that waits, one by one.")
    ] = False,
    hub: Annotated[
        bool, typer.Option("--hub", help="Ask the hub, too: are repositories there, do they open, how much is to download.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep would run, an estimate of its cost, and what stands against it: this machine's memory and GPUs, gated or
    missing repositories, downloads. Loads no model and writes nothing; exit code 2 where the sweep can run nowhere.

    The constants of the estimate can be given in a costs file; `refit` makes one from a finished run.
    """
    from orchestrator.cli.plan_table import render_plan, render_preflight
    from orchestrator.cli.summaries import plan_object, state_line
    from orchestrator.models.hub_facts import facts_here, facts_of
    from orchestrator.planning.costs import DEFAULT_COSTS, load_costs
    from orchestrator.preflight import preflight
    from orchestrator.run import prepare

    with input_errors_told():
        with stdout_kept(as_json):
            constants = DEFAULT_COSTS if costs is None else load_costs(costs)
            prepared = prepare(sweep, results, constants)
            found = preflight(prepared.plan, prepared.sweep.pool, facts_of if hub else facts_here, costs=constants)
        if as_json:
            print_json({**plan_object(prepared), "preflight": vars(found)})
        else:
            console = console_for(False)
            console.print(render_plan(prepared.plan, verbose), crop=False)
            print_lines(console, [f"{state_line(prepared)}; results in {prepared.store.place}"])
            console.print(render_preflight(found))
    if found.impossible:
        raise typer.Exit(EXIT_CODE)


@app.command(epilog="Example:  python -m orchestrator retry results/quickstart --failed --filter layer=15 --kind job")
def retry(
    results: NamedResults,
    failed: Annotated[bool, typer.Option("--failed", help="Every recorded failure that the filters leave; the default.")] = True,
    filters: FailureFilters = None,
    kind: FailureKind = None,
    only_list: Annotated[bool, typer.Option("--list", help="Only show what would be retried; as `errors`.")] = False,
    pool: PoolName = None,
    workers: WorkerCount = None,
    as_json: AsJson = False,
    quiet: IsQuiet = False,
) -> None:
    """Forget recorded failures and run those cells again (and whatever else is missing)."""
    from orchestrator.retrying import clear_failures, failures_of, list_json, list_lines, sweep_of
    from orchestrator.run import RunOptions

    with input_errors_told():
        if only_list:
            with stdout_kept(as_json):
                found = failures_of(results.place, filters or (), kind)
            show(list_json(found), list_lines(found), as_json)
            return
        sweep = results.sweep or sweep_of(results.place)
        with stdout_kept(as_json):
            cleared = clear_failures(sweep, results.place, filters or (), kind)
        if not quiet:
            print_lines(console_for(as_json), list_lines(cleared, "cleared"))
        _run(sweep, results.place, RunOptions(pool, workers, quiet), as_json)


@app.command(epilog="Example:  python -m orchestrator score results/quickstart --scorer refusal")
def score(
    results: ResultsFolder,
    scorer: Annotated[
        str | None,
        typer.Option("--scorer", "--classifier", help="Only this scorer, or `text`: the rules for refusals. Default: all."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE", help="Take in ratings made elsewhere: JSONL, as --rater's.")
    ] = None,
    rater: Annotated[
        str | None, typer.Option("--rater", metavar="NAME", help="Whose ratings --labels has; default: the file's name.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score all stored responses anew, without a model, and rebuild the tables."""
    from orchestrator.cli.people import take_in
    from orchestrator.cli.summaries import figure_lines, score_lines
    from orchestrator.rescoring import score_results
    from orchestrator.results.store import Store

    spare()
    with input_errors_told():
        take_in(results, labels, rater, as_json)
        with stdout_kept(as_json):
            found = score_results(results, scorer)
        show(found, score_lines(results, found), as_json)
        print_lines(console_for(as_json), figure_lines(Store(results)))
        if found["damaged"] or found["lacking"] or found["failed"]:
            raise typer.Exit(1)


@app.command(epilog=COMPARE_EPILOG)
def compare(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RESULTS A B", help=f"{WHICH_RESULTS} Then two selections; with --paper, tables instead of A and B."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Compare the levels of this column.")] = None,
    against: Annotated[str | None, typer.Option("--against", metavar="LEVEL", help="With --by: the reference level.")] = None,
    where: Annotated[str, typer.Option("--where", metavar="SELECTION", help=f"Only these cells: {WHICH_CELLS}.")] = "",
    pool: Annotated[bool, typer.Option("--pool", help="With --by: take the matched cells of a level together.")] = False,
    paper: Annotated[bool, typer.Option("--paper", help="Put the sweep beside the paper's tables.")] = False,
    audit: Annotated[bool, typer.Option("--audit", help="With --paper: recompute the paper's own statistics.")] = False,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="LABEL",
            help="What is counted: success (default), garbled, no_answer, other, or a label; label:NAME where it is both.",
        ),
    ] = None,
    independent: Annotated[
        bool, typer.Option("--independent", help="Transfer effectiveness by independent resampling, as in the paper.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare two cells, two groups of cells, or every level of a column with one; or the sweep with the paper.

    A and B are selections: column=value,... (model=qwen-7b,layer=16,multiplier=15), baseline, all, or a cell's id.
    A column given twice takes either value. A group's cells are counted together.
    """
    from orchestrator.compare.answer import Request, answer
    from orchestrator.compare.comparison import Question

    with input_errors_told():
        question = Question(label or "outcome:success", "independent" if independent else "joint")
        content, shown = answer(Request(tuple(words or ()), by, against, where, pool, paper, audit, question))
        if as_json:
            print_json(content)
        else:
            for part in shown:
                console_for(False).print(part, crop=False, soft_wrap=isinstance(part, Text))


@app.command(epilog="Example:  python -m orchestrator refit results/quickstart --out costs.yaml")
def refit(
    results: ResultsFolder,
    out: Annotated[Path | None, typer.Option("--out", help="Write the costs file there instead of to stdout.")] = None,
) -> None:
    """Fit the constants of the cost model to a finished run, for `plan --costs`, and say what the run does not determine."""
    from orchestrator.planning.costs import check_replaceable, encode_costs
    from orchestrator.refit import refit_results
    from orchestrator.storage.local import write_for_people

    with input_errors_told():
        if out is not None:
            check_replaceable(out)
        fit = refit_results(results)
        text = encode_costs(fit.found, "\n".join([f"Refitted from {results.name}.", *fit.notes]))
        print_lines(console_for(True), fit.notes)
        if out is None:
            print(text, end="")
        else:
            write_for_people(out, text.encode())
            print_lines(console_for(False), [f"costs in {out}: python -m orchestrator plan SWEEP --costs {out}"])


app.add_typer(behavior, name="behavior")
for command, example in (*STARTING, *ANSWERS, *FIGURES, *EXPORTING, *CONTROL, *PEOPLE, *PARITY):
    app.command(epilog=f"Example:  python -m orchestrator {example}")(command)


def _detach(sweep: Path, results: Place | None, options: RunOptions, as_json: bool) -> None:
    from orchestrator.cli.summaries import banner_lines
    from orchestrator.control.detached import start
    from orchestrator.run import prepare

    spare()
    with stdout_kept(as_json):
        prepared = prepare(sweep, results)
    if not options.quiet:
        print_lines(console_for(as_json), banner_lines(prepared))
    chosen = {"--results": results, "--pool": options.pool, "--workers": options.workers}
    words = [word for name, value in chosen.items() if value is not None for word in (name, str(value))]
    started = start(["run", str(sweep), *words, *(["--quiet"] if options.quiet else [])], prepared.store)
    show(started.as_json(), started.lines(), as_json)


def _run(sweep: Path, results: Place | None, options: RunOptions, as_json: bool) -> None:
    from orchestrator.cli.summaries import banner_lines, ending_lines, figure_lines
    from orchestrator.run import prepare, run_sweep

    hurry()
    console = console_for(as_json)
    with stdout_kept(as_json):
        prepared = prepare(sweep, results)
        if not options.quiet:
            print_lines(console, banner_lines(prepared))
        summary = run_sweep(prepared, options, console)
    if not options.quiet:
        _show_results(console, prepared.store, summary.failed)
    print_lines(console, ending_lines(summary))
    if summary.done and summary.page == "current":
        print_lines(console, figure_lines(prepared.store))
    if as_json:
        print_json(summary.as_json())
    raise typer.Exit(summary.exit_code)


def _show_results(console: Console, store: Store, failed: int) -> None:
    from orchestrator.report import SERIES_TOLD, reading_lines, results_tables
    from orchestrator.report.findings import SweepFindings
    from orchestrator.report.parity import study_lines

    rows = store.cell_rows()
    found = SweepFindings(store, rows)
    tables = results_tables(store, console.width)
    if tables is not None:
        console.print(tables)
    print_lines(console, reading_lines(rows, failed, store.planned().cells, SERIES_TOLD, found.deciding))
    if store.planned().parity:
        print_lines(console, [*study_lines(found.parity)])
