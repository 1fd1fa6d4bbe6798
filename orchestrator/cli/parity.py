"""The command that asks whether it is the model, or the tool that read it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import typer

from orchestrator.cli.terminal import (
    AsJson,
    ResultsOption,
    console_for,
    finite,
    input_errors_told,
    one_of,
    print_json,
    print_lines,
    stdout_kept,
)
from orchestrator.errors import InputError

DType = Literal["float32", "float16", "bfloat16"]
DTYPES: tuple[DType, ...] = get_args(DType)


def parity(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="An embedded model's name, a folder, or organisation/name.")],
    behavior: Annotated[
        Path | None,
        typer.Option(
            "--behavior",
            metavar="FILE",
            help="The behavior file whose contrast prompts are read. Default: the shipped refusal.jsonl.",
        ),
    ] = None,
    tools: Annotated[
        str | None, typer.Option("--tools", metavar="A,B", help="Only these tools, with commas between them. Default: all.")
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option("--own", metavar="NAME=COMMAND", help="A script of yours, given MODEL_FOLDER JOB.json OUT.npz. Repeated."),
    ] = None,
    faults: Annotated[bool, typer.Option("--faults/--no-faults", help="Plant the known mistakes, and diagnose by them.")] = True,
    pairs: Annotated[bool, typer.Option("--pairs/--no-pairs", help="Plant them also two at a time.")] = True,
    steering: Annotated[
        bool, typer.Option("--steering/--no-steering", help="Let the tools also add the direction, and compare the answers.")
    ] = True,
    rates: Annotated[
        float | None,
        typer.Option(
            "--rates",
            callback=finite,
            metavar="MULTIPLIER",
            help="Also answer with the direction of every planted mistake, so strongly.",
        ),
    ] = None,
    direction: Annotated[
        Path | None, typer.Option("--direction", metavar="FILE", help="Diagnose this direction: .npy, .npz or .safetensors.")
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="The layer of a direction that is of one layer alone.")] = None,
    prompts: Annotated[int, typer.Option("--prompts", min=1, help="Contrast prompts of each class, at most.")] = 8,
    adapter: Annotated[Path | None, typer.Option("--adapter", help="A PEFT adapter, merged into the model.")] = None,
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype", parser=one_of("--dtype", DTYPES), metavar=f"[{'|'.join(DTYPES)}]", help="What the model computes in."
        ),
    ] = "float32",
    revision: Annotated[str | None, typer.Option("--revision", help="Of a model on the hub.")] = None,
    results: ResultsOption = None,
    as_json: AsJson = False,
) -> None:
    """Read one model with several tools and say which read the same, and what is wrong with those that do not.

    Every tool reads the same prompts of the same model. What differs is put down to a tensor (an input for an output, a normed
    stream) and to a mistake (right padding, a missing template, ...), each of which is planted here on purpose to compare with.
    The same command continues a study that was stopped.
    """
    from orchestrator.parity_command import ParityAsked, run_parity

    with input_errors_told():
        asked = ParityAsked(
            model=model,
            behavior=behavior,
            tools=None if tools is None else tuple(one.strip() for one in tools.split(",") if one.strip()),
            own=dict(_own(one) for one in own or ()),
            faults=faults,
            pairs=pairs,
            steering=steering,
            rates=rates,
            direction=direction,
            layer=layer,
            prompts=prompts,
            adapter=adapter,
            dtype=cast("DType", dtype),
            revision=revision,
            results=results,
        )
        with stdout_kept(as_json):
            done = run_parity(asked, lambda line: print_lines(console_for(True), [line]))
        if as_json:
            print_json(done.json)
            return
        console = console_for(False)
        console.print(done.table(console.width))
        print_lines(console, done.lines)


def _own(written: str) -> tuple[str, tuple[str, ...]]:
    name, _, command = written.partition("=")
    if not name or not command.strip():
        raise InputError.because("no name with a command", "--own", written, "NAME=COMMAND, such as mine='python read.py'")
    return name, tuple(shlex.split(command))


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = ((parity, "parity smollm2-135m-instruct --own mine='python read.py'"),)
"""With an example."""
