"""The constants of the cost model from a finished run: what its measured seconds say, and what they cannot say.

Least squares on the seconds that the run stored. A constant that the run does not determine keeps its value, and the note
says why: cells whose prompt and new tokens grow together do not tell prefill from decode, one model does not tell the fixed cost
of a load from its bandwidth, and a GPU's decode step may be bound by memory or by launching kernels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.cells import variant_id
from orchestrator.counting import counted
from orchestrator.devices import CPU, CPU_NAME, DeviceClass, kind_of
from orchestrator.errors import InputError
from orchestrator.plan import Plan, PlannedModel
from orchestrator.plan_with_results import plan_with_results
from orchestrator.planning.costs import DEFAULT_COSTS
from orchestrator.planning.estimate import weight_bytes
from orchestrator.results.store import Store
from orchestrator.retrying import sweep_of
from orchestrator.storage import Place
from orchestrator.sweep import load_sweep

SEPARABLE = 30.0
"""Condition number of (prompt tokens, new tokens), each scaled to length 1, up to which the two rates are told apart."""

LEAST_CELLS = 3


@dataclass(frozen=True)
class CellCost:
    """What one finished cell took: rows, tokens read and written, seconds of its own; slots of its worker, and its load.
    ``budget``: the tokens that it might have written (0: not known)."""

    rows: int
    prompt: int
    new: int
    seconds: float
    slots: int | None = None
    worker: str = ""
    load_seconds: float | None = None
    budget: int = 0


@dataclass(frozen=True)
class VariantSample:
    """The finished cells of one model variant."""

    model: PlannedModel
    cells: tuple[CellCost, ...]

    @property
    def device(self) -> str:
        """The device class of the variant in a costs file."""
        return kind_of(self.model.resources)

    @property
    def weights(self) -> int:
        """Bytes of its weights."""
        return weight_bytes(self.model.shape, self.model.spec)

    def work(self) -> float:
        """Floating-point operations of all its tokens."""
        return 2.0 * self.model.shape.working * sum(cell.prompt + cell.new for cell in self.cells)

    def seconds(self) -> float:
        """Seconds of all its cells."""
        return sum(cell.seconds for cell in self.cells)


@dataclass
class Fit:
    """What a costs file would say (``found``), and in words what was determined, what was not, and how well it fits."""

    found: dict[str, Any] = field(default_factory=lambda: {"slowdown": {}, "devices": {}})
    notes: list[str] = field(default_factory=list)

    def set(self, device: str, **values: float) -> None:
        """Give a device's constants, in four digits."""
        self.found["devices"].setdefault(device, {}).update({name: float(f"{value:.4g}") for name, value in values.items()})


def refit(measured: Sequence[VariantSample]) -> Fit:
    """The constants that ``measured`` determines. InputError when no cell was measured."""
    if not any(one.seconds() > 0 for one in measured):
        raise InputError.because("the results folder holds no finished cell with its seconds: there is nothing to fit")
    fit = Fit()
    for name in dict.fromkeys(one.device for one in measured):
        mine = [one for one in measured if one.device == name and one.seconds() > 0]
        plain = [one for one in mine if one.model.spec.quantization == "none"]
        if plain:
            (_fit_cpu if name == CPU_NAME else _fit_gpu)(fit, name, plain)
        _fit_slowdown(fit, name, mine)
        _fit_loads(fit, name, mine)
    _fit_answers(fit, measured)
    return fit


def measured_cells(plan: Plan, store: Store) -> list[VariantSample]:
    """What the finished cells of ``plan`` took, by model variant."""
    costs: dict[str, list[CellCost]] = {}
    budgets = {cell.id: cell.budget for cell in plan.cells}
    for row in {row.cell_id: row for row in store.cell_rows()}.values():
        told: Mapping[str, str] = json.loads(row.provenance)
        load, slots = told.get("load_seconds"), told.get("slots")
        prompt = sum(response.prompt_tokens for response in store.read_responses(row.cell_id))
        cost = CellCost(
            rows=row.n,
            prompt=prompt,
            new=row.new_tokens,
            seconds=row.seconds,
            slots=max(map(int, slots.split(", "))) if slots else None,  # those of several rounds, where memory ran short
            worker=row.worker or "",
            load_seconds=None if load is None else float(load),
            budget=budgets.get(row.cell_id, 0),
        )
        costs.setdefault(row.variant, []).append(cost)
    return [VariantSample(model, tuple(costs[model.variant])) for model in plan.models if model.variant in costs]


def refit_results(results: Place) -> Fit:
    """The constants that the results folder of a sweep determines; InputError when it is none or its sweep file is gone."""
    store = Store(results)
    return refit(measured_cells(plan_with_results(load_sweep(sweep_of(results)), store), store))


# --- the parts


def _fit_cpu(fit: Fit, name: str, measured: Sequence[VariantSample]) -> None:
    """Both rates if they can be told apart, else one for both; and the slots and the bandwidth that go with them."""
    cells = [(one, cell) for one in measured for cell in one.cells]
    read = [2.0 * one.model.shape.working * cell.prompt for one, cell in cells]
    write = [2.0 * one.model.shape.working * cell.new for one, cell in cells]
    seconds = [cell.seconds for _, cell in cells]
    both = _two_rates(read, write, seconds)
    if both is not None:
        fit.set(name, flops=1 / both[0], decode_flops=1 / both[1])
        predicted = [both[0] * a + both[1] * b for a, b in zip(read, write, strict=True)]
        fit.notes.append(f"{name}: prefill and decode rates from {len(cells)} cells, {_error(predicted, seconds)}")
        _lift_floor(fit, measured, 1 / both[1])
        return
    rate = sum(one.work() for one in measured) / sum(seconds)
    fit.set(name, flops=rate, decode_flops=rate)
    _lift_floor(fit, measured, rate)
    predicted = [(a + b) / rate for a, b in zip(read, write, strict=True)]
    why = "prompt and new tokens grow together, or are too few to tell prefill from decode"
    fit.notes.append(f"{name}: one rate for prefill and decode from {len(cells)} cells ({why}), {_error(predicted, seconds)}")


def _lift_floor(fit: Fit, measured: Sequence[VariantSample], rate: float) -> None:
    """The time that reading the weights takes is the least of a decode step, whatever the rate: where steps took less, memory is
    faster than that. ``cpu_slots``: the most rows that were in flight."""
    slots = max((cell.slots for one in measured for cell in one.cells if cell.slots), default=DEFAULT_COSTS.cpu_slots)
    if slots > DEFAULT_COSTS.cpu_slots:
        fit.found["cpu_slots"] = slots
    slots = max(slots, DEFAULT_COSTS.cpu_slots)
    needed = max(one.weights * rate / (2.0 * one.model.shape.working * slots) for one in measured)
    if needed > CPU.bandwidth:
        fit.set(CPU_NAME, bandwidth=needed)


def _fit_answers(fit: Fit, measured: Sequence[VariantSample]) -> None:
    """How much of what they may write answers do write; most stop earlier."""
    cells = [cell for one in measured for cell in one.cells if cell.budget]
    if cells:
        share = min(1.0, sum(cell.new for cell in cells) / sum(cell.budget for cell in cells))
        fit.found["answer_share"] = float(f"{max(share, 1e-3):.3g}")
        fit.notes.append(f"answers have {share:.0%} of the tokens that they may have: so the time is of a mean, not the most")


def _fit_gpu(fit: Fit, name: str, measured: Sequence[VariantSample]) -> None:
    """Prefill's rate is small beside decode: it stays as it is. The decode step is put down to what explains it best."""
    device = DEFAULT_COSTS.named(name)
    steps = [(one, step) for one in measured if (step := _step_seconds(one, device)) is not None]
    if not steps:
        fit.notes.append(f"{name}: nothing determined: the cells do not say how many rows were in flight")
        return
    launch = _mean(step / one.model.shape.n_layers for one, step in steps)
    bandwidth = 1 / _mean(step / one.weights for one, step in steps)
    if len({one.weights for one, _ in steps}) < 2:
        fit.set(name, block_seconds=launch)
        fit.notes.append(f"{name}: one size of model does not tell memory from launches: the step is put down to block_seconds")
        return
    by_launch = _misfit(steps, lambda one: launch * one.model.shape.n_layers)
    by_memory = _misfit(steps, lambda one: one.weights / bandwidth)
    if by_launch <= by_memory:
        fit.set(name, block_seconds=launch)
    else:
        fit.set(name, bandwidth=bandwidth, block_seconds=0.0)
    bound = "launching kernels" if by_launch <= by_memory else "reading the weights"
    fit.notes.append(
        f"{name}: decode steps of {len(steps)} models follow {bound} (off by {min(by_launch, by_memory):.0%}); flops kept"
    )


def _step_seconds(one: VariantSample, device: DeviceClass) -> float | None:
    """Seconds of a decode step with all slots in use, the prefill taken off by the device's own rate."""
    slots = next((cell.slots for cell in one.cells if cell.slots), None)
    if slots is None:
        return None
    in_flight = min(slots, sum(cell.rows for cell in one.cells))
    prefill = 2.0 * one.model.shape.working * sum(cell.prompt for cell in one.cells) / device.flops
    steps = math.ceil(sum(cell.new for cell in one.cells) / in_flight)
    return max(one.seconds() - prefill, 0.0) / steps if steps else None


def _fit_slowdown(fit: Fit, name: str, measured: Sequence[VariantSample]) -> None:
    """A quantized variant against the same model unquantized on the same device."""
    plain = {_unquantized(one.model): one.seconds() / one.work() for one in measured if one.model.spec.quantization == "none"}
    ratios: dict[str, list[float]] = {}
    for one in measured:
        base = plain.get(_unquantized(one.model))
        if one.model.spec.quantization != "none" and base is not None:
            ratios.setdefault(one.model.spec.quantization, []).append(one.seconds() / one.work() / base)
    for quantization, values in ratios.items():
        fit.found["slowdown"][quantization] = float(f"{_mean(values):.3g}")
        fit.notes.append(f"{quantization}: slowdown from {counted(len(values), 'model')} on {name}")
    alone = {one.model.name for one in measured if one.model.spec.quantization not in ("none", *ratios)}
    if alone:
        fit.notes.append(f"{', '.join(sorted(alone))}: no slowdown, the unquantized model did not run")


def _fit_loads(fit: Fit, name: str, measured: Sequence[VariantSample]) -> None:
    """``load_seconds + bytes / load_bandwidth`` over the loads of all workers."""
    loads = sorted(
        {
            (one.weights, cell.worker, cell.load_seconds)
            for one in measured
            for cell in one.cells
            if cell.load_seconds is not None and one.model.spec.quantization == "none"
        }
    )
    if not loads:
        fit.notes.append(f"{name}: no load of an unquantized model was recorded")
        return
    sizes, seconds = [float(size) for size, _, _ in loads], [float(took) for _, _, took in loads if took is not None]
    bandwidth = DEFAULT_COSTS.named(name).load_bandwidth
    if len(set(sizes)) < 2:
        fixed = max(0.0, _mean(seconds) - sizes[0] / bandwidth)
        fit.set(name, load_seconds=fixed)
        fit.notes.append(f"{name}: load_seconds from {counted(len(loads), 'load')} of one size; load_bandwidth kept")
        return
    fixed, per_byte = _nonnegative([[1.0, size] for size in sizes], seconds)
    fit.set(name, load_seconds=fixed, **({"load_bandwidth": 1 / per_byte} if per_byte > 0 else {}))
    kept = "" if per_byte > 0 else "; larger models did not load more slowly, load_bandwidth kept"
    fit.notes.append(f"{name}: load_seconds and load_bandwidth from {counted(len(loads), 'load')}{kept}")


# --- numbers


def _two_rates(read: Sequence[float], write: Sequence[float], seconds: Sequence[float]) -> tuple[float, float] | None:
    """Seconds per operation of prefill and of decode; None where the columns are too alike to be told apart."""
    import numpy as np

    if len(seconds) < LEAST_CELLS or not any(read) or not any(write):
        return None
    columns = np.array([read, write])
    columns = columns / np.linalg.norm(columns, axis=1, keepdims=True)
    if np.linalg.cond(columns) > SEPARABLE:
        return None
    slow, fast = _nonnegative([list(pair) for pair in zip(read, write, strict=True)], list(seconds))
    return (slow, fast) if slow > 0 and fast > 0 else None


def _nonnegative(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> tuple[float, float]:
    """Least squares of ``wanted`` on two columns with coefficients from 0 (scipy), the columns scaled to length 1 first."""
    import numpy as np
    from scipy.optimize import nnls

    matrix = np.array(rows, dtype=float)
    scale = np.linalg.norm(matrix, axis=0)
    found, _ = nnls(matrix / scale, np.array(wanted, dtype=float))
    first, second = (float(value) for value in found / scale)
    return first, second


def _misfit(steps: Sequence[tuple[VariantSample, float]], predict: Callable[[VariantSample], float]) -> float:
    """Mean relative error of a step's prediction."""
    return _mean(abs(predict(one) - step) / step if step else 0.0 for one, step in steps)


def _error(predicted: Sequence[float], seen: Sequence[float]) -> str:
    total = sum(seen)
    off = sum(abs(a - b) for a, b in zip(predicted, seen, strict=True)) / total if total else 0.0
    return f"off by {off:.0%} per cell"


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _unquantized(model: PlannedModel) -> str:
    return variant_id(replace(model.spec, quantization="none"))
