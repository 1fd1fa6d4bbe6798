"""One GPU: a random-weight model of Qwen2.5-7B's shape in bfloat16, 1,024 rows x 100 new tokens.

Tokens per second, share of the measured 8192-cube bfloat16 rate, K = 256 against K = 1 distinct configurations, and in the same
run one cell at a time through a padded ``generate`` and the tools that steer inside vLLM. Without CUDA it says so, and ends.
``python -m benchmarks.cuda --json out.json``
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from safetensors import SafetensorError

from benchmarks import plugins, table
from benchmarks.gpu.machine import qwen_7b
from benchmarks.gpu.numerics import CUBE, cube_tflops
from benchmarks.mixing import METRICS, TARGET, configuration, mixed
from benchmarks.peers import PerCell
from benchmarks.products import Record, recording
from benchmarks.random_model import random_bench
from benchmarks.ratios import Pair, Ratio, Summary, paired
from benchmarks.timing import Plan, Rounds, Work, interleave
from benchmarks.workload import Bench, BenchmarkCell, Engine, Workload, prompts_of

SHARE_TARGET = 0.50
PER_CELL_TARGET = 20.0
PER_CELL_CELLS = 6
"""Cells in the sample of (b); each round runs a third of them."""
STEERING_TOOLS = ("easysteer", "hotwire")


@dataclass(frozen=True)
class Eager:
    """The engine without recorded steps."""

    engine: Engine
    name: str = "K=1, eager"

    def run(self, round_number: int) -> Work:
        """The same work; every kernel launched by the host."""
        inner = self.engine.bench.worker._engine
        assert inner is not None
        inner.graphs = False
        try:
            return self.engine.run(round_number)
        finally:
            inner.graphs = True


def contenders(bench: Bench, rows: int, new_tokens: int) -> list[Engine | Eager | PerCell]:
    """The engine with one configuration, the same without recorded steps, with 256, and (b) on a sample of cells."""
    cells = tuple(
        BenchmarkCell(f"c{number}", configuration(number, bench.n_layers, bench.d_model, spread=False))
        for number in range(PER_CELL_CELLS)
    )
    one = Engine(bench, mixed(bench, rows, 1, new_tokens), "K=1")
    return [
        one,
        Eager(one),
        Engine(bench, mixed(bench, rows, min(256, rows), new_tokens), "K=256"),
        PerCell(bench, Workload(cells, prompts_of("test", 10), new_tokens), 1 / 3),
    ]


def tools(bench: Bench, size: tuple[int, int], wanted: Sequence[str], stack: ExitStack) -> plugins.Beside:
    """Tools that steer inside vLLM, on the same weights, which lie in a temporary folder until ``stack`` ends. ``size``: rows and
    new tokens of each."""
    if not wanted:
        return plugins.Beside()
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-weights-"))
    try:
        bench.model.save_pretrained(folder)
    except (OSError, SafetensorError) as error:
        return plugins.Beside(notes=[f"not measured: {', '.join(wanted)}: no weights for them in {folder}: {error}"])
    stack.callback(setattr, bench.model.config, "_name_or_path", bench.folder)
    bench.model.config._name_or_path = folder
    return plugins.started(bench, plugins.runs_of(bench, *size), wanted, stack)


def shares(rounds: Rounds, record: Record, cube: float) -> dict[str, float]:
    """TFLOP/s of the linear layers' products that K=1 really ran, and as a share of the cube's; whole run and decoding."""
    samples = rounds.samples("K=1")
    whole = Summary.of([record.flops() / sample.seconds / 1e12 for sample in samples]).median
    decode = Summary.of([record.flops(decoding=True) / sample.work.parts["decode_seconds"] / 1e12 for sample in samples]).median
    return {
        "cube_tflops": cube,
        "whole_tflops": whole,
        "whole_share": whole / cube,
        "decode_tflops": decode,
        "decode_share": decode / cube,
        "share_target": SHARE_TARGET,
    }


def compared(rounds: Rounds) -> list[Ratio]:
    """K = 256 against K = 1 in each metric, and the engine against (b)."""
    mixing = [
        paired(rounds, Pair("K=256", "K=1", None if name.startswith("whole run") else TARGET, name), one)
        for name, one in METRICS.items()
        if "CPU" not in name
    ]
    decode = METRICS["decode"]
    return [
        *mixing,
        paired(rounds, Pair("K=1", "K=1, eager", None, "decode, graphs against eager"), decode),
        paired(rounds, Pair("K=256", "per cell", PER_CELL_TARGET)),
    ]


def measure(bench: Bench, size: tuple[int, int], plan: Plan, beside: plugins.Beside) -> table.Result:
    """Everything, on a model that is already there. ``size``: rows and new tokens of each."""
    device = bench.model.device
    running = contenders(bench, *size)
    runs = plugins.runs_of(bench, *size)
    ours = dict(zip(runs, ("K=1", "K=256", plugins.UNSTEERED), strict=True))
    assert isinstance(running[0], Engine)
    record = Record()
    with recording(bench.model, record):
        Eager(running[0]).run(0)  # warms up as well; a replayed step would run no Python to count
    engine = bench.worker._engine
    assert engine is not None
    running[0].run(0)
    mode = engine.decoding
    cube = cube_tflops(device, size=CUBE if device.type == "cuda" else 64)
    unsteered = [Engine(bench, runs[plugins.UNSTEERED], plugins.UNSTEERED)] if beside.contenders else []
    done = interleave([*running, *unsteered, *beside.contenders], plan)
    equal = plugins.equal_rows(done, ours)
    found = shares(done, record, cube)
    notes = [
        f"8192-cube bfloat16: {cube:.1f} TFLOP/s (aim: >= {SHARE_TARGET:.0%} of it)",
        f"decoding reaches {found['decode_share']:.1%} of the cube's rate, the whole run {found['whole_share']:.1%}",
        f"decoding in K=1: {mode}",
        *plugins.equal_note(equal),
        *beside.notes,
    ]
    if device.type == "cuda":
        notes.append(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    settings: dict[str, Any] = {"rows": size[0], "new_tokens": size[1], "model": bench.model.config.to_diff_dict()}
    settings["model"].pop("_name_or_path", None)
    ratios = [*compared(done), *plugins.beside(done, ours)]
    return table.Result("cuda", settings, done, ratios, {"shares": found, "versions": beside.about, "rows_equal": equal}, notes)


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    rows: Annotated[int, typer.Option(help="rows in the batch")] = 1024,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 100,
    only: Annotated[str, typer.Option(help="tools beside the engine, by commas; none: ''")] = ",".join(STEERING_TOOLS),
) -> None:
    """Measure and print, or say that there is no CUDA here."""
    wanted = plugins.named(only)
    if not torch.cuda.is_available():
        Console().print("no CUDA here: nothing was measured")
        return
    bench = random_bench(qwen_7b(), "bfloat16", torch.device("cuda", 0), slots=rows)
    with ExitStack() as stack:
        beside = tools(bench, (rows, tokens), wanted, stack)
        # The host's own cores matter little here: only a machine crowded with others is set aside.
        result = measure(bench, (rows, tokens), Plan(rounds, 4.0, spare), beside)
    table.publish(result, json)


if __name__ == "__main__":
    typer.run(main)
