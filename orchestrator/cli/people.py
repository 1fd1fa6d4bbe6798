"""The commands about people who label responses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli.terminal import AsJson, ResultsFolder, console_for, input_errors_told, print_json, print_lines
from orchestrator.counting import counted
from orchestrator.errors import InputError
from orchestrator.outlets import spare

if TYPE_CHECKING:
    from orchestrator.storage import Place


def label(
    results: ResultsFolder,
    n: Annotated[int, typer.Option("--n", min=1, help="How many responses.")] = 100,
    rater: Annotated[str | None, typer.Option("--rater", metavar="NAME", help="Who labels; default: your login name.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw and the order; raters with the same read the same.")] = 0,
    scorer: Annotated[
        str | None, typer.Option("--scorer", help="Draw evenly over this scorer's labels; default: the sweep's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Open a page on this machine on which a person labels a sample of the responses, without being told which cell they are of.

    Every label is saved at once; the same command continues. Ctrl-C ends it. Several raters run it, each under a name.
    """
    from orchestrator.labelling.desk import desk, rater_here
    from orchestrator.labelling.sample import Draw

    spare()
    with input_errors_told(), desk(results, rater or rater_here(), Draw(n, seed, scorer)) as server:
        session, console = server.session, console_for(as_json)
        if as_json:
            print_json({"url": server.url, "rater": session.rater, "done": session.done, "total": session.total}, indent=None)
        print_lines(console, [f"{session.rater}: {session.done} of {session.total} labelled; Ctrl-C ends", server.url])
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print_lines(console, ["", f"{session.rater}: {session.done} of {session.total} labelled, all saved"])


def agreement(
    results: ResultsFolder,
    scorers: Annotated[
        list[str] | None, typer.Argument(metavar="SCORER SCORER", help="Which two; default: every pair there is.")
    ] = None,
    correct: Annotated[
        bool, typer.Option("--correct", help="Take the second scorer for right, and correct every cell's rate by the first.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """How far two scorers agree, people among them: kappa, alpha, the confusion matrix, precision and recall of each label.

    `sweep` is what labels the responses in all tables; a rater is called `rater:NAME`.
    """
    from orchestrator.agreement.answer import agreement_of
    from orchestrator.agreement.text import agreement_json, render_agreement

    with input_errors_told():
        found = agreement_of(results, scorers or (), correct)
        if as_json:
            print_json(agreement_json(found))
            return
        for part in render_agreement(found):
            console_for(False).print(part, crop=False, soft_wrap=isinstance(part, Text))


def take_in(results: Place, file: Path | None, rater: str | None, as_json: bool) -> None:
    """The ratings of ``file``, if there is one, as those of ``rater`` (None: whose name the file has)."""
    from orchestrator.labelling.given import take_ratings

    if file is None:
        if rater is not None:
            raise InputError.because(
                "a rater's ratings come from a file", "--rater", rater, "--labels FILE, or the command `label`"
            )
        return
    name = rater or file.stem
    new, known = take_ratings(results, file, name)
    print_lines(console_for(as_json), [f"{counted(new, 'rating')} of {name} taken in, {known} there already"])


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (label, "label results/quickstart --n 100 --rater anna"),
    (agreement, "agreement results/quickstart sweep rater:anna --correct"),
)
"""Each with an example."""
