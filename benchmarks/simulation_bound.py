"""How soon any scheduler could be done at best: a lower bound of the makespan, however the work is placed.

Two bounds, of which the larger counts.

**Volume**, for each kind of GPU, as every model runs on one kind. In time ``T`` the GPUs of a kind give ``T x power`` seconds,
a GPU that is s times slower than the others counting 1 / s. They are spent on all the cells and extractions of the kind's
variants, and on loads: a variant with work ``w`` and load ``l`` must be loaded on at least ``ceil(w / (T - l))`` GPUs, since
none can do more than ``T - l`` of its work. The least ``T`` for which this adds up is the bound. Time between tasks and waiting
are not in it.

**Path**: the load of a direction's model, its extraction, and the cell itself, on a GPU of full speed; the longest over all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from benchmarks.simulation_workload import Workload
from orchestrator.cells import variant_id


def lower_bound(workload: Workload, power: Mapping[str, float]) -> float:
    """Seconds. ``power``: kind -> its GPUs, each counted by its speed, for the whole time."""
    return max(path_bound(workload), *(volume_bound(workload, kind, gpus) for kind, gpus in power.items()))


def volume_bound(workload: Workload, kind: str, power: float) -> float:
    """The volume bound of one kind, to a thousandth of a second, by bisection: what is needed falls as time grows."""
    work = work_of(workload)
    variants = [model.variant for model in workload.plan.models if model.resources.accelerator == kind and work[model.variant]]
    low = max((workload.loads[variant] for variant in variants), default=0.0)
    high = low + sum(work[variant] + workload.loads[variant] for variant in variants) / min(power, 1.0) + 1.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        needed = sum(
            work[variant] + workload.loads[variant] * math.ceil(work[variant] / (middle - workload.loads[variant]))
            for variant in variants
        )
        low, high = (low, middle) if needed <= middle * power else (middle, high)
    return low


def path_bound(workload: Workload) -> float:
    """The longest chain of load, extraction and cell."""
    longest = 0.0
    for cell in workload.plan.cells:
        before = workload.loads[variant_id(cell.target)]
        if cell.steering is not None:
            source = cell.steering.direction
            before = max(before, workload.loads[variant_id(source.model)] + workload.seconds[source.id])
        longest = max(longest, before + workload.seconds[cell.id])
    return longest


def work_of(workload: Workload) -> Counter[str]:
    """Variant -> seconds of its cells and extractions on a GPU of full speed."""
    work: Counter[str] = Counter()
    for cell in workload.plan.cells:
        work[variant_id(cell.target)] += workload.seconds[cell.id]  # type: ignore[assignment]
    for spec in workload.plan.directions:
        work[variant_id(spec.model)] += workload.seconds[spec.id]  # type: ignore[assignment]
    return work
