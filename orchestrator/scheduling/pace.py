"""How long things take: measured in this run where it can be, estimated by the planner before, assumed where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.plan import Plan, PlannedModel
from orchestrator.planning.costs import DEFAULT_COSTS
from orchestrator.planning.estimate import ModelEstimate, load_seconds
from orchestrator.scheduling.board import Board

ASSUMED_SECONDS_PER_ROW = 0.5
ASSUMED_LOAD_SECONDS = 30.0
"""What a worker is taken to need for a row, and for a load, where the plan has no estimate."""

MEMORY = 0.9
"""How much of a worker's past speed is kept with each cell: the last ten cells or so decide."""

SLOWEST = 20.0


@dataclass
class Drift:
    """A sum of what was measured and one of what was expected, both fading."""

    measured: float = 0.0
    expected: float = 0.0

    def add(self, measured: float, expected: float) -> None:
        """One more cell."""
        self.measured = MEMORY * self.measured + measured
        self.expected = MEMORY * self.expected + expected


class Pace:
    """Seconds per token of each variant, seconds per load, and how much slower than others each worker is."""

    def __init__(self, plan: Plan, board: Board) -> None:
        self._board = board
        estimates = {estimate.variant: estimate for estimate in plan.estimate.models}
        planned = [(model, estimates[model.variant]) for model in plan.models if model.variant in estimates]
        self._guess = {model.variant: _seconds_per_token(model, found) for model, found in planned if found.new_tokens}
        self._load_guess = {model.variant: _load_seconds(model, found) for model, found in planned}
        self._loads: dict[str, float] = {}
        self._drift: dict[str, Drift] = {}
        self._error = Drift()

    def is_measured(self, variant: str) -> bool:
        """Whether a cell of ``variant`` was done in this run."""
        return self._board.backlog(variant).measured.seconds > 0

    def seconds(self, variant: str, budget: float) -> float:
        """What one worker needs for ``budget`` tokens of ``variant``. A guess is corrected by how wrong the others were."""
        measured = self._board.backlog(variant).measured
        if measured.seconds > 0:
            return budget * measured.seconds / measured.budget
        return budget * self._guess.get(variant, self._assumed(variant)) * self._correction()

    def load_seconds(self, variant: str) -> float:
        """What a load of ``variant`` takes: the mean of those seen, else the planner's estimate."""
        return self._loads.get(variant) or self._load_guess.get(variant, ASSUMED_LOAD_SECONDS)

    def slowness(self, worker: str) -> float:
        """How many times longer than usual ``worker`` takes; 1 before anything is known."""
        drift = self._drift.get(worker)
        return 1.0 if drift is None else min(SLOWEST, drift.measured / drift.expected)

    def cell_done(self, variant: str, worker: str, budget: int, seconds: float) -> None:
        """``worker`` took ``seconds`` for a cell of ``budget`` tokens. To be called before the board counts it."""
        if seconds <= 0:
            return
        if not self.is_measured(variant) and variant in self._guess:
            self._error.add(seconds, budget * self._guess[variant])
        if self.is_measured(variant):
            self._drift.setdefault(worker, Drift()).add(seconds, self.seconds(variant, budget))

    def loaded(self, variant: str, seconds: float) -> None:
        """A load took that long."""
        before = self._loads.get(variant)
        self._loads[variant] = seconds if before is None else MEMORY * before + (1 - MEMORY) * seconds

    def forget(self, worker: str) -> None:
        """Another worker will go by this name, maybe on another machine."""
        self._drift.pop(worker, None)

    def _correction(self) -> float:
        return self._error.measured / self._error.expected if self._error.expected else 1.0

    def _assumed(self, variant: str) -> float:
        cells = [item for item in self._board.of(variant)[-1:] if item.counted]
        return ASSUMED_SECONDS_PER_ROW * (cells[0].rows / cells[0].budget if cells else 1.0)


def _load_seconds(model: PlannedModel, estimate: ModelEstimate) -> float:
    return load_seconds(estimate.weight_bytes, DEFAULT_COSTS.device(model.resources))


def _seconds_per_token(model: PlannedModel, estimate: ModelEstimate) -> float:
    """Of one worker, for each token that is generated at most; extraction is spread over them."""
    getting_ready = estimate.download_seconds + estimate.loads * _load_seconds(model, estimate)
    return max(estimate.seconds - getting_ready, 0.0) / estimate.new_tokens
