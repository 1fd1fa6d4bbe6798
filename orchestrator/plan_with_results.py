"""The plan of a sweep, given what its results folder holds: settings that finished cells decide are in it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.plan import Plan, make_plan
from orchestrator.planning.choices import Tally
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.store import Store
from orchestrator.sweep import Sweep


def plan_with_results(sweep: Sweep, store: Store, costs: Costs = DEFAULT_COSTS) -> Plan:
    """The plan, with all that follows from the finished cells as ``cells.parquet`` has them. Writes nothing."""
    return make_plan(sweep, tallies(store) if sweep.chooses else None, costs)


def tallies(store: Store) -> Mapping[str, Tally]:
    """How the labelled cells of the results folder were labelled, by cell id."""
    counts = {row.cell_id: (row.coherent_refusal_n, row.garbled_n, row.normal_n) for row in store.cell_rows()}
    return {
        cell_id: Tally(coherent + garbled + normal, coherent, garbled)
        for cell_id, (coherent, garbled, normal) in counts.items()
        if coherent is not None and garbled is not None and normal is not None
    }
