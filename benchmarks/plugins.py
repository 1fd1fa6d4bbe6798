"""The tools that steer per request inside vLLM, against the engine: the same rows under the same steerings.

K = 1 and K = 256 distinct configurations over the same rows, and the same rows unsteered, each in one call of the tool. Both
tools need CUDA; without it vLLM's CPU build answers the rows unsteered, and notes say why the tools are missing.
``python -m benchmarks.plugins --json out.json``; on a model of 7 billion parameters: ``python -m benchmarks.cuda``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from actors.environments import Environment, EnvironmentUnavailableError
from benchmarks import table
from benchmarks.mixing import mixed, numbered
from benchmarks.outside.environments import EASYSTEER, HOTWIRE, VLLM
from benchmarks.outside.process import OutsideProcess, ProcessContender
from benchmarks.ratios import Pair, Ratio, paired
from benchmarks.timing import Contender, Plan, Rounds, interleave
from benchmarks.workload import Bench, BenchmarkCell, Engine, Workload, embedded_spec, load

SCRIPTS = Path(__file__).resolve().parent / "outside"
MANY = 256
"""Distinct configurations, or as many as there are rows."""
UNSTEERED = "unsteered"


@dataclass(frozen=True)
class Tool:
    """``how`` it steers several configurations. ``without``: why it does not run where that is not what it needs."""

    environment: Environment
    script: str
    how: str
    cuda: bool = True
    steers: bool = True
    without: str = ""

    def missing(self, cuda: bool) -> str:
        """Why it cannot run here; empty: it may."""
        return self.without if cuda != self.cuda else ""


TOOLS: dict[str, Tool] = {
    "easysteer": Tool(
        EASYSTEER,
        "run_easysteer.py",
        "one call, a spec per request; as many at a time as there are configurations",
        without="needs CUDA: it steers in vLLM's second model runner, which needs Triton, and vLLM's CPU build has none",
    ),
    "hotwire": Tool(
        HOTWIRE,
        "run_hotwire.py",
        "one call, vector, layers and scale per request; a slot for each vector, layer and scale",
        without="needs CUDA: its kernel is Triton's, and vLLM's CPU build loads models past the place where it hooks in",
    ),
    "vllm": Tool(
        VLLM,
        "run_vllm.py",
        "unsteered",
        cuda=False,
        steers=False,
        without="this is its CPU build; on CUDA the unsteered rows of the other two are vLLM's",
    ),
}


def runs_of(bench: Bench, rows: int, new_tokens: int) -> dict[str, list[Workload]]:
    """By name: one configuration, many, and none, over the same rows."""
    many = min(MANY, rows)
    return {
        "K=1": mixed(bench, rows, 1, new_tokens),
        f"K={many}": mixed(bench, rows, many, new_tokens),
        UNSTEERED: [Workload((BenchmarkCell("none", None),), tuple(numbered(rows)), new_tokens)],
    }


@dataclass(frozen=True)
class Beside:
    """Contenders beside the engine; ``notes``: for each tool how it steers, or why it is missing."""

    contenders: Sequence[ProcessContender] = ()
    notes: Sequence[str] = ()

    @property
    def about(self) -> dict[str, dict[str, str]]:
        """Versions of each tool."""
        return {one.process.name: dict(one.process.about) for one in self.contenders}


def named(only: str) -> list[str]:
    """Tools by their names, by commas; ``typer.BadParameter`` for others."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    for name in names:
        if name not in TOOLS:
            raise typer.BadParameter(f"--only: {name!r} is none of {', '.join(TOOLS)}")
    return names


def started(bench: Bench, runs: Mapping[str, Sequence[Workload]], wanted: Sequence[str], stack: ExitStack) -> Beside:
    """The wanted tools, their models loaded, until ``stack`` ends."""
    found: list[ProcessContender] = []
    notes: list[str] = []
    for name, tool in ((name, tool) for name, tool in TOOLS.items() if name in wanted):
        asked = {f"{name}, {run}": workloads for run, workloads in runs.items() if tool.steers or run == UNSTEERED}
        try:
            if why := tool.missing(bench.model.device.type == "cuda"):
                raise EnvironmentUnavailableError(f"{name}: {why}")
            command = [str(tool.environment.ready()), str(SCRIPTS / tool.script)]
            process = stack.enter_context(OutsideProcess(name, command, bench, asked, steered=tool.steers))
        except EnvironmentUnavailableError as error:
            notes.append(f"not measured: {error}")
            continue
        found += process.contenders
        notes.append(f"{name}: {tool.how}")
    return Beside(found, notes)


def beside(rounds: Rounds, engine: Mapping[str, str]) -> list[Ratio]:
    """The engine's speed over each tool's at the same run, and over vLLM's unsteered at every run. ``engine``: its contenders."""
    outside = [name for name in rounds.kept[0] if name.partition(", ")[0] in TOOLS and ", " in name]
    return [
        paired(rounds, Pair(ours, theirs))
        for theirs in outside
        for run, ours in engine.items()
        if theirs.endswith(f", {run}") or not TOOLS[theirs.partition(", ")[0]].steers
    ]


def equal_rows(rounds: Rounds, engine: Mapping[str, str]) -> dict[str, str]:
    """Per contender of a tool: how many of its rows have exactly the tokens of the engine's at the same run."""
    found: dict[str, str] = {}
    for theirs in rounds.kept[0]:
        ours = engine.get(theirs.partition(", ")[2])
        if ours is None or ours == theirs:
            continue
        pairs = [(one[ours].work.tokens[key], ids) for one in rounds.kept for key, ids in one[theirs].work.tokens.items()]
        found[theirs] = f"{sum(mine == other for mine, other in pairs)} of {len(pairs)}"
    return found


def equal_note(equal: Mapping[str, str]) -> list[str]:
    """The line under the table."""
    told = "; ".join(f"{name} {count}" for name, count in equal.items())
    return [f"rows with exactly the engine's tokens: {told}"] if told else []


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    others: Annotated[float, typer.Option(help="cores that other processes may use before a round counts as disturbed")] = 0.25,
    rows: Annotated[int, typer.Option(help="rows in the batch")] = 256,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 48,
    only: Annotated[str, typer.Option(help="tools beside the engine, by commas; none: ''")] = ",".join(TOOLS),
) -> None:
    """Measure and print."""
    wanted = named(only)
    bench = load(embedded_spec())
    runs = runs_of(bench, rows, tokens)
    engine = {run: f"engine, {run}" for run in runs}
    with ExitStack() as stack:
        tools = started(bench, runs, wanted, stack)
        ours: list[Contender] = [Engine(bench, workloads, engine[run]) for run, workloads in runs.items()]
        done = interleave([*ours, *tools.contenders], Plan(rounds, others, spare))
    equal = equal_rows(done, engine)
    settings: dict[str, Any] = {"rows": rows, "new_tokens": tokens, "device": bench.model.device.type}
    extra = {"versions": tools.about, "rows_equal": equal}
    notes = [*equal_note(equal), *tools.notes]
    table.publish(table.Result("plugins", settings, done, beside(done, engine), extra, notes), json)


if __name__ == "__main__":
    typer.run(main)
