"""A whole small sweep, five ways: 13 cells x 10 prompts x 48 new tokens on the embedded model, float32.

``python -m benchmarks.throughput --json out.json``
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from actors.environments import Environment, EnvironmentUnavailableError
from actors.library_settings import start_again
from benchmarks import table
from benchmarks.machine import one_core_busy, product_rate
from benchmarks.outside.environments import STEERING_VECTORS, VLLM
from benchmarks.outside.process import OutsideProcess, ProcessContender
from benchmarks.peers import PerCell, PerPrompt
from benchmarks.ratios import Pair, paired, tokens_per_cpu_second
from benchmarks.timing import Contender, Plan, Rounds, interleave
from benchmarks.workload import Bench, Engine, Workload, embedded_spec, extracted, grid, load, prompts_of

TARGETS = {"per prompt": 10.0, "per cell": 3.5, "steering-vectors": None, "vllm": 1.0}
BUSY_TARGETS = {"per prompt": None, "per cell": None, "steering-vectors": None, "vllm": 0.9}
"""Where another process keeps one core busy."""
SCRIPTS = Path(__file__).resolve().parent / "outside"


@dataclass(frozen=True)
class Shares:
    """Which part of the whole a slow contender runs per round; its tokens per second stand for the rest."""

    per_prompt: float
    per_cell: float


def contenders(
    bench: Bench, workload: Workload, shares: Shares, wanted: Sequence[str], stack: ExitStack, *, large_pages: bool = False
) -> tuple[list[Contender], list[str]]:
    """The wanted contenders, started, and why any of them is missing."""
    found: list[Contender] = []
    missing: list[str] = []
    if "per prompt" in wanted:
        found.append(PerPrompt(bench, workload, shares.per_prompt))
    if "per cell" in wanted:
        found.append(PerCell(bench, workload, shares.per_cell))
    outside: list[tuple[str, Environment, str, float]] = [
        ("steering-vectors", STEERING_VECTORS, "run_steering_vectors.py", shares.per_cell),
        ("vllm", VLLM, "run_vllm.py", 1.0),
    ]
    for name, environment, script, share in outside:
        if name not in wanted:
            continue
        try:
            command = [str(environment.ready()), str(SCRIPTS / script)]
            run, steered = {name: [workload]}, name != "vllm"
            process = OutsideProcess(name, command, bench, run, share, steered=steered, large_pages=large_pages)
            found += stack.enter_context(process).contenders
        except EnvironmentUnavailableError as error:
            missing.append(f"not measured: {error}")
    found.append(Engine(bench, [workload]))
    return found, missing


def agreement(rounds: Rounds, baseline: str = "baseline") -> dict[str, str]:
    """Per contender: how many of its rows have exactly the engine's tokens (vLLM steers nothing: its baseline rows only)."""
    found: dict[str, str] = {}
    for name in rounds.kept[0]:
        equal = compared = 0
        for one in rounds.kept:
            for key, tokens in one[name].work.tokens.items():
                if name != "engine" and (name != "vllm" or key[0] == baseline):
                    compared += 1
                    equal += tokens == one["engine"].work.tokens[key]
        if compared:
            found[name] = f"{equal} of {compared}"
    return found


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    others: Annotated[float, typer.Option(help="cores that other processes may use before a round counts as disturbed")] = 0.25,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 48,
    prompt_share: Annotated[float, typer.Option(help="share of the rows that the per-prompt loop runs per round")] = 0.1,
    cell_share: Annotated[float, typer.Option(help="share of the cells that cell-at-a-time contenders run per round")] = 1 / 3,
    only: Annotated[str, typer.Option(help="contenders besides the engine, by commas")] = ",".join(TARGETS),
    prompts: Annotated[int, typer.Option(min=1, max=10, help="prompts per cell")] = 10,
    cell: Annotated[str, typer.Option(help='this cell alone, such as "baseline" or "L9 x4"; all where it is empty')] = "",
    busy: Annotated[bool, typer.Option("--busy", help="another process keeps one core busy all the while")] = False,
    large_pages: Annotated[
        bool, typer.Option("--large-pages", help="the other tools' processes, too, begin with the engine's large pages")
    ] = False,
) -> None:
    """Measure and print."""
    bench = load(embedded_spec())
    cells = grid(extracted(bench), bench.n_layers)
    if cell and cell not in (names := [one.name for one in cells]):
        raise typer.BadParameter(f"{cell!r} is none of {', '.join(names)}", param_hint="--cell")
    workload = Workload(tuple(one for one in cells if cell in ("", one.name)), prompts_of("test", prompts), tokens)
    with ExitStack() as stack:
        running, missing = contenders(
            bench, workload, Shares(prompt_share, cell_share), only.split(","), stack, large_pages=large_pages
        )
        with one_core_busy() if busy else nullcontext():
            done = interleave(running, Plan(rounds, others + busy, spare, product_rate, warm=True))
        about = {one.name: dict(one.process.about) for one in running if isinstance(one, ProcessContender)}
    same, targets = agreement(done), BUSY_TARGETS if busy else TARGETS
    peers = [name for name in done.kept[0] if name != "engine"]
    ratios = [
        *(paired(done, Pair("engine", name, targets[name])) for name in peers),
        *(paired(done, Pair("engine", name, None, "tokens/CPU-s"), tokens_per_cpu_second) for name in peers),
    ]
    settings = {
        "cells": [cell.name for cell in workload.cells],
        "prompts": len(workload.prompts),
        "new_tokens": tokens,
        "adapter": embedded_spec().adapter is not None,
        "prompt_share": prompt_share,
        "cell_share": cell_share,
        "busy": busy,
        "large_pages_for_all": large_pages,
    }
    notes = [
        "every row makes exactly the asked number of tokens: the end-of-sequence token is off everywhere",
        "every contender ran once before, uncounted",
        f"rows with exactly the engine's tokens: {', '.join(f'{name} {count}' for name, count in same.items())}",
        *(["another process kept one core busy; `others` counts it"] if busy else []),
        *missing,
    ]
    table.publish(table.Result("throughput", settings, done, ratios, {"versions": about, "rows_equal": same}, notes), json)


if __name__ == "__main__":
    start_again()
    typer.run(main)
