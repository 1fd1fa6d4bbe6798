"""Does it cost anything that the rows of a batch are steered differently, or at all?

K = 1, 8, 64, 256 distinct configurations (direction x multiplier x layer scope) over the same rows; all of them beginning at one
layer, and beginning at different layers; rows steered at every layer against rows not steered; rows each at tokens of its own and
with a schedule of its own against the same rows at every token; and rows each at a site and with an intervention of its own.
``python -m benchmarks.mixing --json out.json``
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from actors.library_settings import start_again
from actors.types import Prompt, Steering
from benchmarks import table
from benchmarks.ratios import Metric, Pair, Ratio, paired, per_part, tokens_per_cpu_second, tokens_per_second
from benchmarks.timing import Contender, Plan, Rounds, Sample, interleave
from benchmarks.workload import Bench, BenchmarkCell, Engine, Workload, embedded_spec, load, prompts_of

TARGET = 0.97
COUNTS = (1, 8, 64, 256)
SPREAD_COUNTS = (1, 256)
KINDS_TARGET = 0.95
KINDS = "tokens and schedules differ"
ACTS = "interventions and sites differ"
SITES = ("output", "attention", "mlp", "input", "output")
INTERVENTIONS = (("addition", 1.0), ("rotation", 80.0), ("ablation", 1.0))
"""Each with its multiplier; the addition keeps the configuration's own."""
PLACES = ("all", "generation", "last_prompt+generation", "first:8", "template+from:2", "prompt")
SCHEDULES = ("constant", "linear:32", "exponential:8", "constant")
FIRST_LAYER = 0.3
"""Depth at which configurations begin, as a share of the blocks."""
LONG = 100
"""New tokens per row of the paper's runs; what a run of that length would take is computed from the two phases."""


def configuration(number: int, n_layers: int, d_model: int, *, spread: bool) -> Steering:
    """A steering of its own for every ``number``: random unit direction, one of four multipliers, one of four scopes.

    ``spread``: first layers differ, evenly around the middle, number 0 in the middle; else all begin at the same layer.
    """
    generator = np.random.default_rng(number)
    first = n_layers // 2 + (number + 8) % 16 - 8 if spread and n_layers > 16 else int(n_layers * FIRST_LAYER)
    following = range(first, n_layers)
    layers = (tuple(following), (first,), tuple(following)[::2], tuple(following)[:4])[number % 4]
    direction = generator.standard_normal(d_model)
    unit = (direction / np.linalg.norm(direction)).astype(np.float32)
    return Steering(layers, np.repeat(unit[None], len(layers), axis=0), (4.0, 8.0, 12.0, 20.0)[number // 4 % 4])


def placed(number: int, n_layers: int, d_model: int) -> Steering:
    """The same configuration at some tokens only, fading: every combination of the two in turn."""
    steering = configuration(number, n_layers, d_model, spread=False)
    return replace(steering, positions=PLACES[number % len(PLACES)], schedule=SCHEDULES[number // 5 % len(SCHEDULES)])


def acted(number: int, n_layers: int, d_model: int) -> Steering:
    """The same configuration at a site and with an intervention of its own: every combination of the two in turn."""
    steering = configuration(number, n_layers, d_model, spread=False)
    intervention, multiplier = INTERVENTIONS[number % len(INTERVENTIONS)]
    strength = steering.multiplier if intervention == "addition" else multiplier
    return replace(steering, multiplier=strength, intervention=intervention, site=SITES[number // 3 % len(SITES)])


Made = Callable[[int, int, int], Steering]
"""(number, layers, width) -> a steering of its own."""


def mixed(
    bench: Bench, n_rows: int, count: int, new_tokens: int, *, spread: bool = False, made: Made | None = None
) -> list[Workload]:
    """``n_rows`` rows, the same prompts whatever ``count`` is, under ``count`` distinct configurations, or what is ``made``."""
    rows = numbered(n_rows)
    make = made or partial(configuration, spread=spread)
    return [
        Workload(
            (BenchmarkCell(f"c{number}", make(number, bench.n_layers, bench.d_model)),),
            tuple(row for index, row in enumerate(rows) if index * count // n_rows == number),
            new_tokens,
        )
        for number in range(count)
    ]


def numbered(n_rows: int) -> list[Prompt]:
    """``n_rows`` prompts: the behavior's first sixteen test prompts over and over, each with an id of its own."""
    texts = prompts_of("test", 16)
    return [Prompt(f"{texts[index % len(texts)].id}.{index}", texts[index % len(texts)].text) for index in range(n_rows)]


def contenders(bench: Bench, n_rows: int, new_tokens: int) -> list[Contender]:
    """Same layer for K in ``COUNTS``, different layers for K in ``SPREAD_COUNTS``, no steering, steering everywhere, and as many
    configurations as there are rows (up to the largest count) at tokens of their own."""
    everywhere = configuration(0, bench.n_layers, bench.d_model, spread=False)
    all_layers = tuple(range(bench.n_layers))
    everywhere = Steering(all_layers, np.repeat(everywhere.vectors[:1], bench.n_layers, axis=0), 4.0)
    rows = tuple(numbered(n_rows))
    return [
        *(Engine(bench, mixed(bench, n_rows, k, new_tokens), f"K={k}") for k in COUNTS if k <= n_rows),
        *(
            Engine(bench, mixed(bench, n_rows, k, new_tokens, spread=True), f"K={k}, layers differ")
            for k in SPREAD_COUNTS
            if k <= n_rows
        ),
        Engine(bench, [Workload((BenchmarkCell("none", None),), rows, new_tokens)], "unsteered"),
        Engine(bench, [Workload((BenchmarkCell("all", everywhere),), rows, new_tokens)], "all layers"),
        Engine(bench, mixed(bench, n_rows, _most(n_rows), new_tokens, made=placed), KINDS),
        Engine(bench, mixed(bench, n_rows, _most(n_rows), new_tokens, made=acted), ACTS),
    ]


def _most(n_rows: int) -> int:
    return max(count for count in COUNTS if count <= n_rows)


def at_length(new_tokens: int) -> Metric:
    """Tokens per second of a run of ``new_tokens`` per row: its prefill as measured, its decoding at the measured speed."""

    def metric(sample: Sample) -> float:
        parts = sample.work.parts
        rows = sample.work.rows
        decode = parts["decode_seconds"] * rows * (new_tokens - 1) / parts["decode_tokens"]
        return rows * new_tokens / (parts["prefill_seconds"] + decode)

    return metric


METRICS: dict[str, Metric] = {
    "decode": per_part("decode_tokens", "decode_seconds"),
    "decode, CPU-s": per_part("decode_tokens", "decode_cpu_seconds"),
    "whole run": tokens_per_second,
    "whole run, CPU-s": tokens_per_cpu_second,
    f"computed for {LONG} tokens": at_length(LONG),
}


def ratios(rounds: Rounds) -> list[Ratio]:
    """Every K against its K=1, steering everywhere against none, and rows at tokens of their own against the same at every token,
    in each metric. The target is stated for decoding: prefill
    does more for more configurations, as each computes the template's prefix under its own steering."""
    names = [name for name in rounds.kept[0] if name.startswith("K=")]
    pairs = [(name, "K=1, layers differ" if "differ" in name else "K=1") for name in names]
    pairs = [*(pair for pair in pairs if pair[0] != pair[1]), ("all layers", "unsteered")]
    plain = max((name for name in names if "differ" not in name), key=lambda name: int(name[2:]))
    targets = dict.fromkeys(pairs, TARGET) | {(KINDS, plain): KINDS_TARGET, (ACTS, plain): KINDS_TARGET}
    return [
        paired(rounds, Pair(of, to, None if metric.startswith("whole run") else target, metric), function)
        for metric, function in METRICS.items()
        for (of, to), target in targets.items()
    ]


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    others: Annotated[float, typer.Option(help="cores that other processes may use before a round counts as disturbed")] = 0.25,
    rows: Annotated[int, typer.Option(help="rows in the batch")] = 256,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 9,
) -> None:
    """Measure and print."""
    bench = load(embedded_spec())
    done = interleave(contenders(bench, rows, tokens), Plan(rounds, others, spare))
    slots = bench.worker._engine.slots(64) if bench.worker._engine else 0
    settings = {"rows": rows, "new_tokens": tokens, "slots_that_fit": slots}
    notes = [
        "unsteered rows share their whole prefill, steered ones only the blocks below their first layer: read 'decode' for the "
        "price of steering itself",
        f"'computed for {LONG} tokens' takes the measured prefill and the measured decoding speed",
    ]
    table.publish(table.Result("mixing", settings, done, ratios(done), notes=notes), json)


if __name__ == "__main__":
    start_again()
    typer.run(main)
