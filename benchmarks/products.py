"""How much of the machine's own matrix-product speed the engine reaches.

Every product of the linear layers that the engine runs is recorded (which weights, how many rows, prefill or decoding), then
replayed with nothing in between: the same shapes in the same order on the same weights, so as cold as the engine finds them, by
the same means (packed weights where the engine has them, which are the faster ones). The share is the replay's time over the
engine's. The replay computes one product after the other on all cores; the engine runs parts of its batch side by side and may be
the faster of the two. ``python -m benchmarks.products --json out.json``
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from actors.engine.decode import SlotBatch
from actors.engine.packing import PackedLinear
from actors.library_settings import start_again
from benchmarks import table
from benchmarks.ratios import Metric, Pair, Ratio, Summary, cpu_speed, paired
from benchmarks.timing import Plan, Rounds, Sample, Work, interleave
from benchmarks.workload import Bench, Engine, Workload, embedded_spec, extracted, grid, load, prompts_of

TARGET = 0.70
CUBE = 1024


@dataclass(frozen=True)
class Product:
    """One call of a linear layer, by its weight ``[out, in]`` or its packed product: ``rows`` x in x out."""

    weight: Tensor | PackedLinear
    rows: int
    decoding: bool

    @property
    def flops(self) -> int:
        """Multiplications and additions."""
        rows, width, out = self.shape
        return 2 * rows * width * out

    @property
    def shape(self) -> tuple[int, int, int]:
        """(rows, in, out)."""
        if isinstance(self.weight, PackedLinear):
            return (self.rows, self.weight.width, self.weight.out)
        return (self.rows, self.weight.shape[1], self.weight.shape[0])


@dataclass
class Record:
    """Every product of a run in order, and all FLOPs that PyTorch counts (attention included)."""

    products: list[Product] = field(default_factory=list)
    all_flops: int = 0

    def flops(self, *, decoding: bool | None = None) -> int:
        """FLOPs of the linear layers: of one phase, or of both."""
        return sum(product.flops for product in self.products if decoding is None or product.decoding == decoding)

    def shapes(self) -> list[dict[str, Any]]:
        """How often each shape ran, most FLOPs first."""
        counts = Counter((product.shape, product.decoding) for product in self.products)
        order = sorted(counts.items(), key=lambda item: -item[0][0][0] * item[0][0][1] * item[0][0][2] * item[1])
        return [
            {"rows": shape[0], "in": shape[1], "out": shape[2], "decoding": decoding, "calls": count}
            for (shape, decoding), count in order
        ]


@contextmanager
def recording(model: nn.Module, record: Record) -> Iterator[None]:
    """Note each linear layer's calls; those inside ``SlotBatch.step`` are decoding."""
    decoding = False
    step = SlotBatch.step

    def marked(batch: SlotBatch, *args: Any) -> Any:
        nonlocal decoding
        decoding = True
        try:
            return step(batch, *args)
        finally:
            decoding = False

    def note(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        assert isinstance(module, nn.Linear)
        if not isinstance(module.forward, PackedLinear):
            record.products.append(Product(module.weight, args[0].numel() // module.in_features, decoding))

    def note_packed(product: PackedLinear, inputs: Tensor, *more: Any) -> Tensor:
        record.products.append(Product(product, inputs.numel() // product.width, decoding))
        return run_packed(product, inputs, *more)

    handles = [module.register_forward_pre_hook(note) for module in model.modules() if isinstance(module, nn.Linear)]
    run_packed = PackedLinear._run
    SlotBatch.step = marked  # type: ignore[method-assign,assignment]
    PackedLinear._run = note_packed  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        SlotBatch.step = step  # type: ignore[method-assign]
        PackedLinear._run = run_packed  # type: ignore[method-assign]
        for handle in handles:
            handle.remove()


def recorded(engine: Engine) -> Record:
    """One run of the engine, recorded and counted, not timed."""
    record = Record()
    counter = FlopCounterMode(display=False)
    with recording(engine.bench.model, record), counter:
        engine.run(0)
    # The counter knows no packed products, nor the weighted sums of values.
    record.all_flops = counter.get_total_flops() + sum(
        product.flops for product in record.products if isinstance(product.weight, PackedLinear)
    )
    return record


@dataclass(frozen=True)
class Replay:
    """The recorded products alone; inputs and outputs lie ready, once per shape. ``parts``: seconds per phase."""

    record: Record
    inputs: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    outputs: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    name: str = "products alone"

    @torch.inference_mode()
    def __post_init__(self) -> None:
        """Allocate."""
        for product in self.record.products:
            rows, width, out = product.shape
            like = product.weight if isinstance(product.weight, Tensor) else torch.empty(0, dtype=product.weight.dtype)
            if (rows, width) not in self.inputs:
                self.inputs[rows, width] = torch.randn(rows, width).to(like)
            if (rows, out) not in self.outputs:
                self.outputs[rows, out] = torch.zeros(rows, out).to(like)

    @torch.inference_mode()
    def run(self, round_number: int) -> Work:
        """Run them all, prefill first; nothing else is timed."""
        seconds = {True: 0.0, False: 0.0}
        for decoding in (False, True):
            started = time.perf_counter()
            for product in self.record.products:
                if product.decoding == decoding:
                    rows, width, out = product.shape
                    if isinstance(product.weight, PackedLinear):
                        product.weight(self.inputs[rows, width])
                    else:
                        torch.mm(self.inputs[rows, width], product.weight.t(), out=self.outputs[rows, out])
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[decoding] = time.perf_counter() - started
        parts = {"decode_seconds": seconds[True], "prefill_seconds": seconds[False]}
        return Work(0, 0, parts, seconds=sum(seconds.values()))


def speed(flops: int, part: str | None = None) -> Metric:
    """GFLOP/s over a sample's whole time, or over one of its parts."""

    def metric(sample: Sample) -> float:
        return flops / 1e9 / (sample.work.parts[part] if part else sample.seconds)

    return metric


def ratios(rounds: Rounds, record: Record) -> list[Ratio]:
    """The engine's share of the replay's speed: whole run, decoding, prefill."""
    whole, decoding, prefill = (record.flops(decoding=phase) for phase in (None, True, False))
    return [
        paired(rounds, Pair("engine", "products alone", TARGET, "GFLOP/s, whole run"), speed(whole)),
        paired(rounds, Pair("engine", "products alone", None, "GFLOP per CPU-s, whole run"), cpu_speed),
        paired(rounds, Pair("engine", "products alone", None, "GFLOP/s, decoding"), speed(decoding, "decode_seconds")),
        paired(rounds, Pair("engine", "products alone", None, "GFLOP/s, prefill"), speed(prefill, "prefill_seconds")),
    ]


def cube_rate(size: int = CUBE, repeats: int = 5) -> float:
    """GFLOP/s of the best of a few square float32 products: the machine's ceiling, for orientation."""
    left, right = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def median_speeds(rounds: Rounds, record: Record) -> dict[str, dict[str, float]]:
    """GFLOP/s of engine and replay, per phase."""
    phases: Sequence[tuple[str, bool | None, str | None]] = (
        ("whole run", None, None),
        ("decoding", True, "decode_seconds"),
        ("prefill", False, "prefill_seconds"),
    )
    return {
        name: {
            label: Summary.of([speed(record.flops(decoding=phase), part)(sample) for sample in rounds.samples(name)]).median
            for label, phase, part in phases
        }
        for name in ("engine", "products alone")
    }


def prepared(bench: Bench, new_tokens: int) -> tuple[Engine, Record]:
    """The quickstart's grid and the record of one run of it, in which every product is computed whole, in float32."""
    assert bench.worker._engine is not None
    bench.worker._engine.screens = False
    engine = Engine(bench, [Workload(grid(extracted(bench), bench.n_layers), prompts_of("test", 10), new_tokens)])
    return engine, recorded(engine)


def main(
    json: Annotated[Path | None, typer.Option(help="write the figures here")] = None,
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 3,
    spare: Annotated[int, typer.Option(help="disturbed rounds to repeat at most")] = 2,
    others: Annotated[float, typer.Option(help="cores that other processes may use before a round counts as disturbed")] = 0.25,
    tokens: Annotated[int, typer.Option(help="new tokens per row")] = 24,
) -> None:
    """Measure and print."""
    engine, record = prepared(load(embedded_spec()), tokens)
    done = interleave([engine, Replay(record)], Plan(rounds, others, spare))
    speeds = median_speeds(done, record)
    vocabulary = engine.bench.model.get_output_embeddings().weight.shape[0]
    decoded = sum(product.rows for product in record.products if product.decoding and product.shape[2] == vocabulary)
    made = done.samples("engine")[0].work.parts["decode_tokens"]
    extra = {
        "gflops": speeds,
        "linear_flops": record.flops(),
        "all_flops": record.all_flops,
        "cube_gflops": cube_rate(),
        "decode_rows_used": made / decoded,
        "shapes": record.shapes()[:20],
    }
    notes = [
        *(f"{name}: " + ", ".join(f"{phase} {value:.1f} GFLOP/s" for phase, value in of.items()) for name, of in speeds.items()),
        f"a {CUBE} cube: {extra['cube_gflops']:.1f} GFLOP/s",
        f"linear layers are {record.flops() / record.all_flops:.1%} of all FLOPs",
        f"{extra['decode_rows_used']:.1%} of the rows that decoding computes are in use",
    ]
    table.publish(table.Result("products", {"new_tokens": tokens}, done, ratios(done, record), extra, notes), json)


if __name__ == "__main__":
    start_again()
    typer.run(main)
