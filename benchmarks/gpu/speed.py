"""Speed and memory at real size: Qwen2.5-7B's shape with 1,024 rows, one cell of 25, and 32B as on an 80 GB card."""

from __future__ import annotations

import logging
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

from actors.engine import engine as engine_module
from actors.engine.decode import SlotBatch
from actors.engine.engine import Engine
from actors.engine.memory import slot_bytes, take_share
from actors.engine.segments import SegmentRunner
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.machine import Answered, Machine, Work, answered, qwen_7b, qwen_32b, qwen_tiny, steerings
from benchmarks.gpu.numerics import CUBE, cube_tflops

CARD_BYTES = int(79.1 * 2**30)
"""What a process may use of an A100 or H100 of 80 GB."""


@dataclass(frozen=True)
class Setting:
    """One timed run: rows, slots at most, distinct configurations, whether steps may be recorded, and whether the slots follow
    the rows at hand."""

    name: str
    rows: int
    slots: int
    configurations: int = 1
    graphs: bool = True
    by_rows: bool = True


SETTINGS = (
    Setting("K=1", 1024, 1024),
    Setting("K=1 again", 1024, 1024),
    Setting("K=256", 1024, 1024, configurations=256),
    Setting("K=1 eager", 1024, 1024, graphs=False),
    Setting("K=1 in 256 slots", 1024, 256),
    Setting("one cell of 25 rows", 25, 1024),
    Setting("25 rows in 1024 slots", 25, 1024, by_rows=False),
)


def seven_billion(machine: Machine, found: Findings) -> None:
    """Tokens per second, share of the measured product rate, time by phase; the same run twice, and eagerly, to the token."""
    config = qwen_7b() if machine.full else qwen_tiny()
    loaded = machine.model(config, torch.bfloat16)
    cube = cube_tflops(machine.device, CUBE if machine.full else 256)
    found.tell("bfloat16 cube", tflops=f"{cube:.0f}")
    products = sum(one.numel() for one in loaded.model.parameters()) - config.vocab_size * config.hidden_size
    kept: dict[str, Answered] = {}
    for setting in SETTINGS if machine.full else [_small(one) for one in SETTINGS]:
        steered = steerings(setting.configurations, loaded)
        rows = Work(setting.rows, 100 if machine.full else 4, length=30).rows(steered, config.vocab_size)
        engine = Engine(loaded, setting.slots)
        engine.graphs, engine.by_rows = setting.graphs, setting.by_rows
        if machine.cuda:
            torch.cuda.reset_peak_memory_stats()
        with phases(machine) as spent:
            run = kept[setting.name] = answered(machine, loaded, rows, steered, engine)
        tokens = sum(len(one) for one in run.tokens.values())
        decoding = sum(spent["decode"]) - sum(spent["recording"])
        found.tell(
            setting.name,
            run.decoding,
            slots=rows[0].slots,
            tokens_per_s=round(tokens / run.seconds),
            decoding_tokens_per_s=round(tokens / decoding),
            decoding_share_of_cube=round(2 * products * tokens / decoding / 1e12 / cube, 3),
            seconds=round(run.seconds, 2),
            **{f"s_{phase}": round(sum(seconds), 2) for phase, seconds in spent.items()},
            peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1) if machine.cuda else 0.0,
        )
    found.check("7B: the same run twice", not kept["K=1"].differing(kept["K=1 again"]))
    found.check("7B: recorded = eager", not kept["K=1"].differing(kept["K=1 eager"]))
    found.tell("7B: rows that 256 slots answer otherwise", rows=kept["K=1"].differing(kept["K=1 in 256 slots"]))


def out_of_memory(machine: Machine, found: Findings) -> None:
    """A card that is too small for the slots: they are halved, every row is answered, and nothing is left behind."""
    if not machine.cuda:
        found.tell("out of memory", "needs CUDA")
        return
    config = qwen_tiny()
    loaded = machine.model(config, torch.bfloat16)
    steered = steerings(3, loaded)
    rows = Work(1024, 400).rows(steered, config.vocab_size)
    before = torch.cuda.memory_allocated()
    allowed = torch.cuda.memory_reserved() + 256 * slot_bytes(config, rows[0].capacity, 2)
    with limited(allowed):
        run = answered(machine, loaded, rows, steered, Engine(loaded, 1024))
    whole = all(len(tokens) == 400 for tokens in run.tokens.values())
    found.check("out of memory: every row is answered", whole and not run.broken, run.decoding)
    machine.clear()
    left = (torch.cuda.memory_allocated() - before) / 2**20
    found.check("... and nothing is left behind", left < 64, mib=round(left))


def thirty_two_billion(machine: Machine, found: Findings) -> None:
    """32B in bfloat16 under the limit of an 80 GB card: do the slots that are chosen by memory fit, recording included?"""
    config = qwen_32b() if machine.full else qwen_tiny()
    warnings: list[str] = []
    handler = _Listener(warnings)
    logging.getLogger("actors").addHandler(handler)
    try:
        with limited(CARD_BYTES) if machine.full else _unlimited():
            loaded = machine.model(config, torch.bfloat16)
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
    numbers = {"slots": slots, "tokens_per_s": round(24 * len(rows) / run.seconds), "halved": len(halved)}
    found.check("32B on 80 GB: the slots fit", not halved and not run.broken, run.decoding, **numbers)
    found.check("... and are the same when a run is resumed", after == slots and not run.differing(again), after=after)
    found.check("... and its recording is used again", not spent["recording"], s_recording=round(sum(spent["recording"]), 2))


def waiting(machine: Machine, found: Findings) -> None:
    """How often the host waits for the device: twice per chunk of prefill (tokens, firing) and once per block of steps."""
    if not machine.cuda:
        found.tell("waiting for the device", "needs CUDA")
        return
    config = qwen_tiny()
    loaded = machine.model(config, torch.bfloat16)
    steered = steerings(3, loaded)
    rows = Work(64, 40).rows(steered, config.vocab_size)
    engine = Engine(loaded, 32)
    answered(machine, loaded, rows, steered, engine)  # the recording is there
    with phases(Machine(torch.device("cpu"), machine.quick)) as times, warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            answered(machine, loaded, rows, steered, engine)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    seen = sum("synchroniz" in str(one.message) for one in waits)
    most = 2 * len(times["firing"]) + len(times["decode"])
    found.check("waiting for the device", seen <= most, "times the host waited", waits=seen, expected=most)


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


def _small(setting: Setting) -> Setting:
    """The same with a sixteenth of rows and slots, for a machine that only tries the checks."""
    rows, slots = -(-setting.rows // 16), max(16, setting.slots // 16)
    return Setting(setting.name, rows, slots, min(setting.configurations, rows), setting.graphs)


CHECKS: dict[str, Callable[[Machine, Findings], None]] = {
    "memory": out_of_memory,
    "waiting": waiting,
    "7B": seven_billion,
    "32B": thirty_two_billion,
}
"""Every check of this module by its name on the command line."""
