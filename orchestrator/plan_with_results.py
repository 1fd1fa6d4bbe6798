"""The plan of a sweep, given what its results folder holds: settings that finished cells decide are in it."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.cells import CellKey
from orchestrator.plan import Plan, make_plan
from orchestrator.planning.considered import Tally
from orchestrator.planning.costs import DEFAULT_COSTS, Costs
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store
from orchestrator.sweep import Sweep


def plan_with_results(sweep: Sweep, store: Store, costs: Costs = DEFAULT_COSTS) -> Plan:
    """The plan, with all that follows from the finished cells as ``cells.parquet`` has them. Writes nothing."""
    return make_plan(sweep, tallies(store) if sweep.chooses else None, costs)


def tallies(store: Store) -> Mapping[CellKey, Tally]:
    """What the responses of the labelled cells of the results folder count as."""
    return {row.key: _tally(row) for row in store.cell_rows() if row.labelled}


def _tally(row: CellRow) -> Tally:
    return Tally(row.n, row.count("success"), row.count("garbled"), row.count("no_answer"), row.kl)
