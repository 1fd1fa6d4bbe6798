"""How the engine's speed grows with the number of rows in flight. ``python -m benchmarks.scaling --json out.json``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actors.library_settings import start_again
from benchmarks import table
from benchmarks.ratios import Pair, paired
from benchmarks.timing import Plan, interleave
from benchmarks.workload import BenchmarkCell, Engine, Workload, embedded_spec, extracted, grid, load, prompts_of

CELLS = (1, 3, 6, 13, 26)


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    others: Annotated[float, typer.Option(help="cores that other processes may use before a round counts as disturbed")] = 0.25,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 24,
) -> None:
    """Measure and print."""
    bench = load(embedded_spec())
    cells = grid(extracted(bench), bench.n_layers)
    again = tuple(BenchmarkCell(f"{cell.name} again", cell.steering) for cell in cells)
    prompts = prompts_of("test", 10)
    running = [
        Engine(bench, [Workload((*cells, *again)[:count], prompts, tokens)], f"{count * len(prompts)} rows") for count in CELLS
    ]
    done = interleave(running, Plan(rounds, others, spare))
    ratios = [paired(done, Pair(one.name, running[0].name)) for one in running[1:]]
    table.publish(table.Result("scaling", {"new_tokens": tokens}, done, ratios), json)


if __name__ == "__main__":
    start_again()
    typer.run(main)
