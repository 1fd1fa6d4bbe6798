"""Speed and memory at real size: Qwen2.5-7B's shape with 1,024 rows, one cell of 25, and 32B as on an 80 GB card."""

from __future__ import annotations

import logging
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from actors.engine import engine as engine_module
from actors.engine.decode import SlotBatch, choose
from actors.engine.engine import Engine
from actors.engine.memory import slot_bytes, take_share
from actors.engine.sampling import Draws
from actors.engine.segments import SegmentRunner
from actors.positions import ALL
from actors.steering import SteeringHooks
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Answered, Body, Machine, Work, answered, qwen_7b, qwen_32b, qwen_tiny, steerings
from benchmarks.gpu.numerics import CUBE, cube_tflops

CARD_BYTES = int(79.1 * 2**30)
"""What a process may use of an A100 or H100 of 80 GB."""


REPEATS = 5


@dataclass(frozen=True)
class Setting:
    """One timed run: rows, slots at most, distinct configurations (K), whether steps may be recorded, whether the slots follow
    the rows at hand, which tokens are steered, and whether tokens are drawn."""

    name: str
    rows: int
    slots: int
    configurations: int = 1
    graphs: bool = True
    by_rows: bool = True
    positions: str = ALL
    drawn: bool = False


SETTINGS = (
    Setting("K=1", 1024, 1024),
    Setting("K=1 again", 1024, 1024),
    Setting("K=256", 1024, 1024, configurations=256),
    Setting("K=1 eager", 1024, 1024, graphs=False),
    Setting("K=1 in 256 slots", 1024, 256),
    Setting("K=16", 1024, 512, configurations=16),
    Setting("K=16, steered in the first 8 tokens of the answer", 1024, 512, configurations=16, positions="first:8"),
    Setting("K=16, drawn tokens", 1024, 512, configurations=16, drawn=True),
    Setting("one cell of 25 rows", 25, 1024),
    Setting("25 rows in 1024 slots", 25, 1024, by_rows=False),
)


def seven_billion(machine: Machine, found: Findings) -> None:
    """Tokens per second, share of the measured product rate, seconds by phase (the first tokens of answers come of the prefill; a
    recording is part of the first step); the same run twice, and eagerly, to the token."""
    config = qwen_7b() if machine.full else qwen_tiny()
    _tell_tiny("7B", machine, found)
    loaded = machine.model(config, machine.dtype)
    cube = cube_tflops(machine.device, machine.dtype, CUBE if machine.full else 256)
    found.tell("square product", f"of {_name(machine.dtype)}, the rate that shares below are of", tflops=round(cube, 2))
    products = sum(one.numel() for one in loaded.model.parameters()) - config.vocab_size * config.hidden_size
    kept: dict[str, Answered] = {}
    for setting in SETTINGS if machine.full else [_small(one) for one in SETTINGS]:
        steered = steerings(setting.configurations, loaded, positions=setting.positions)
        work = Work(setting.rows, 100 if machine.full else 4, length=30, drawn=setting.drawn)
        rows = work.rows(steered, config.vocab_size)
        engine = Engine(loaded, setting.slots)
        engine.graphs, engine.by_rows = setting.graphs, setting.by_rows
        if machine.cuda:
            torch.cuda.reset_peak_memory_stats()
        with phases(machine) as spent:
            run = kept[setting.name] = answered(machine, loaded, rows, steered, engine)
        tokens = sum(len(one) for one in run.tokens.values())
        decoding = sum(spent["decode"]) - sum(spent["recording"])
        found.tell(
            f"7B: {setting.name}",
            f"{setting.rows} rows; steps: {run.decoding}",
            slots=rows[0].slots,
            tokens_per_s=round(tokens / run.seconds),
            decoding_tokens_per_s=round(tokens / decoding),
            decoding_share_of_square_product=round(2 * products * tokens / decoding / 1e12 / cube, 3),
            seconds=round(run.seconds, 2),
            **{f"seconds_{phase}": round(sum(seconds), 2) for phase, seconds in spent.items()},
            peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1) if machine.cuda else 0.0,
        )
    first = kept["K=1"]
    for name, other in (("the same run twice", "K=1 again"), ("recorded = eager", "K=1 eager")):
        differing = first.differing(kept[other])
        found.check(f"7B: {name}", not differing and not first.broken, "rows that answer otherwise", rows=differing)
    found.tell("7B: 256 slots", "rows that answer otherwise than in 1024", rows=first.differing(kept["K=1 in 256 slots"]))


def sampling(machine: Machine, found: Findings) -> None:
    """How long it takes to draw a token for every slot from a vocabulary of real size, beside taking the likeliest; whether the
    tokens are those that a CPU draws from the same logits."""
    slots, vocabulary = (512, 152064) if machine.full else (32, 4096)
    logits = (torch.randn(slots, vocabulary, device=machine.device) * 3).to(machine.dtype)
    temperature, top_p = (torch.full((slots,), value, dtype=torch.float64, device=machine.device) for value in (1.0, 0.95))
    draws = Draws(temperature, top_p, torch.rand(slots, dtype=torch.float64).to(machine.device))
    seconds, peak = {}, 0.0
    for name, given in (("likeliest", None), ("drawn", draws)):
        choose(logits, given)
        machine.wait()
        before = _allocated(machine)
        started = time.perf_counter()
        for _ in range(REPEATS):
            choose(logits, given)
        machine.wait()
        seconds[name] = (time.perf_counter() - started) / REPEATS
        peak = (torch.cuda.max_memory_allocated() - before) / 2**20 if machine.cuda else 0.0
    times: dict[str, float | str] = {f"ms_{name}": round(1000 * one, 2) for name, one in seconds.items()}
    found.tell("sampling", f"a token for each of {slots} slots, of {vocabulary} words", **times, mib_drawn=round(peak))
    few = slice(0, 32)
    logits = torch.randn(32, vocabulary, device=machine.device) * 3  # hardly two are equal, of which a CPU may take either first
    here = choose(logits, Draws(*(one[few] for one in draws)))[0].cpu()
    there = choose(logits.cpu(), Draws(*(one[few].cpu() for one in draws)))[0]
    other = int((here != there).sum())
    found.check("drawn tokens are those of a CPU", other <= 1, f"of {len(here)}; one may lie on an edge", other=other)


def _allocated(machine: Machine) -> int:
    """Bytes in use, the peak being measured from here on."""
    if not machine.cuda:
        return 0
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def out_of_memory(machine: Machine, found: Findings) -> None:
    """A card that is too small for the slots: they are halved, every row is answered, and nothing is left behind."""
    if not machine.cuda:
        found.tell("out of memory", "not looked at: needs CUDA")
        return
    config = qwen_tiny()
    loaded = machine.model(config, torch.bfloat16)
    steered = steerings(3, loaded)
    rows = Work(1024, 400).rows(steered, config.vocab_size)
    answered(machine, loaded, rows[:64], steered, Engine(loaded, 64))  # cuBLAS has its workspaces, which are no slots
    machine.clear()
    before = torch.cuda.memory_allocated()
    allowed = torch.cuda.memory_reserved() + 256 * slot_bytes(config, rows[0].capacity, 2)
    with limited(allowed):
        run = answered(machine, loaded, rows, steered, Engine(loaded, 1024))
    whole = all(len(tokens) == 400 for tokens in run.tokens.values())
    found.check("out of memory: every row is answered", whole and not run.broken, run.decoding)
    machine.clear()
    left = (torch.cuda.memory_allocated() - before) / 2**20
    found.check("out of memory: nothing is left behind", left < 64, mib=round(left))


def thirty_two_billion(machine: Machine, found: Findings) -> None:
    """32B in bfloat16 under the limit of an 80 GB card: do the slots that are chosen by memory fit, recording included?"""
    config = qwen_32b() if machine.full else qwen_tiny()
    _tell_tiny("32B", machine, found)
    warnings: list[str] = []
    handler = _Listener(warnings)
    logging.getLogger("actors").addHandler(handler)
    try:
        with limited(CARD_BYTES) if machine.full else _unlimited():
            loaded = machine.model(config, machine.dtype)
            machine.clear()
            engine = Engine(loaded, None if machine.full else 32)
            slots = engine.slots(160)
            steered = steerings(10, loaded)
            rows = Work(slots + 64 if machine.full else 40, 24, length=40).rows(steered, config.vocab_size)
            run = answered(machine, loaded, rows, steered, engine)
            after = engine.slots(160)
            with phases(machine) as spent:
                again = answered(machine, loaded, rows, steered, engine)
    finally:
        logging.getLogger("actors").removeHandler(handler)
    halved = [text for text in warnings if "out of memory" in text]
    numbers: dict[str, float | str] = {"slots": slots, "tokens_per_s": round(24 * len(rows) / run.seconds), "halved": len(halved)}
    steps = f"of an 80 GB card; steps: {run.decoding}"
    found.check("32B on 80 GB: the slots fit", not halved and not run.broken, steps, **numbers)
    other = run.differing(again)
    same = after == slots and not other
    found.check("32B on 80 GB: the same when a run is resumed", same, "rows that answer otherwise", rows=other, slots_after=after)
    recording = round(sum(spent["recording"]), 2)
    found.check("32B on 80 GB: its recording is used again", not spent["recording"], seconds_recording=recording)


def waiting(machine: Machine, found: Findings) -> None:
    """The host may not wait for the device within a block of steps; how often it does in all, copies to the device among it, is
    told."""
    if not machine.cuda:
        found.tell("waiting for the device", "not looked at: needs CUDA")
        return
    config = qwen_tiny()
    loaded = machine.model(config, torch.bfloat16)
    steered = steerings(3, loaded)
    rows = Work(64, 40).rows(steered, config.vocab_size)
    engine = Engine(loaded, 32)
    answered(machine, loaded, rows, steered, engine)  # the recording is there
    within: list[int] = []
    step = SlotBatch.step
    with warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter("always")

        def counted(batch: SlotBatch, hooks: SteeringHooks) -> tuple[Tensor, Tensor]:
            before = len(waits)
            chosen = step(batch, hooks)
            within.append(len(waits) - before)
            return chosen

        setattr(SlotBatch, "step", counted)  # noqa: B010 - its type has a self
        torch.cuda.set_sync_debug_mode("warn")
        try:
            answered(machine, loaded, rows, steered, engine)
        finally:
            torch.cuda.set_sync_debug_mode("default")
            setattr(SlotBatch, "step", step)  # noqa: B010
    seen = sum("called a synchronizing" in str(one.message) for one in waits)
    found.check("no waiting for the device within blocks of steps", not sum(within), waits=sum(within), blocks=len(within))
    found.tell("waiting for the device in all", "copies to it included", waits=seen, rows=len(rows))


@contextmanager
def phases(machine: Machine) -> Iterator[dict[str, list[float]]]:
    """Seconds of each call by phase of what runs in the ``with`` block. Each waits for the device, so their sum is a little too
    long."""
    spent: dict[str, list[float]] = defaultdict(list)
    timed = [
        (engine_module, "record_firing", "firing"),
        (SlotBatch, "admit", "admission"),
        (SlotBatch, "_record", "recording"),
        (SlotBatch, "step", "decode"),
        (SegmentRunner, "run_all", "prefill"),
    ]
    before: list[tuple[Any, str, Any]] = [(owner, name, getattr(owner, name)) for owner, name, _ in timed]
    for owner, name, phase in timed:
        setattr(owner, name, _timed(getattr(owner, name), phase, spent, machine))
    try:
        yield spent
    finally:
        for owner, name, original in before:
            setattr(owner, name, original)


def _timed(call: Callable[..., Any], phase: str, spent: dict[str, list[float]], machine: Machine) -> Callable[..., Any]:
    @wraps(call)
    def timing(*args: Any, **options: Any) -> Any:
        machine.wait()
        started = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            machine.wait()
            spent[phase].append(time.perf_counter() - started)

    return timing


@contextmanager
def limited(allowed: int) -> Iterator[None]:
    """This process takes ``allowed`` bytes of the card, as a worker does that shares it: the allocator refuses more."""
    take_share(min(1.0, allowed / torch.cuda.get_device_properties(0).total_memory))
    try:
        yield
    finally:
        take_share(1.0)


@contextmanager
def _unlimited() -> Iterator[None]:
    yield


class _Listener(logging.Handler):
    """Keeps the texts of warnings."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._texts = texts

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self._texts.append(record.getMessage())


def _tell_tiny(size: str, machine: Machine, found: Findings) -> None:
    """Nobody may take what follows for a model of that size."""
    if not machine.full:
        found.tell(size, "a tiny model and few rows in its place, and no limit of memory: this tries the check alone")


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _small(setting: Setting) -> Setting:
    """The same with a sixteenth of rows and slots, for a machine that only tries the checks."""
    rows, slots = -(-setting.rows // 16), max(16, setting.slots // 16)
    return replace(setting, rows=rows, slots=slots, configurations=min(setting.configurations, rows), by_rows=True)


PARTS: dict[str, Body] = {
    "memory": out_of_memory,
    "waiting": waiting,
    "sampling": sampling,
    "7B": seven_billion,
    "32B": thirty_two_billion,
}
"""The checks of this module by their names on the command line."""
