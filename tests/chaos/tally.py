"""Adds up what happened in all runs of a session: which faults struck, in which phase, and what they cost."""

from __future__ import annotations

from collections import Counter

from tests.chaos.chaos_run import Story
from tests.chaos.faults import KINDS
from tests.chaos.watch import Phase


class Tally:
    """Of all runs of a session."""

    def __init__(self) -> None:
        self.runs = 0
        self.hits: Counter[str] = Counter()
        """Faults whose victim was at work, by kind."""
        self.lost: Counter[Phase] = Counter()
        """Workers whose death their driver noticed, by what they were doing."""
        self._strikes: Counter[tuple[str, Phase]] = Counter()
        self._too_late = self._again = self._drivers = 0
        self._seconds: list[float] = []

    def add(self, story: Story) -> None:
        """One more run."""
        self.runs += 1
        self.lost.update(story.lost)
        self._too_late += len(story.planned) - len(story.strikes)
        self._again += story.again
        self._drivers += len(story.exits)
        self._seconds.append(story.seconds)
        for strike in story.strikes:
            self._strikes[strike.fault.kind, strike.phase] += 1
            self.hits[strike.fault.kind] += strike.hit

    def lines(self) -> list[str]:
        """For people; none when nothing ran."""
        if not self.runs:
            return []
        phases = sorted({phase for _, phase in self._strikes})
        table = [[kind, *(str(self._strikes[kind, phase]) for phase in phases)] for kind in KINDS]
        return [
            f"{self.runs} runs, {self._drivers} drivers, {self._strikes.total()} faults, {self._too_late} not struck in time",
            "  ".join(text.rjust(9) for text in ["", "       ", *phases]),
            *("  ".join([row[0].ljust(18), *(cell.rjust(9) for cell in row[1:])]) for row in table),
            f"workers lost while busy: {dict(self.lost)}; cells handed out again: {self._again}",
            f"seconds per run: {min(self._seconds):.0f} to {max(self._seconds):.0f}, in all {sum(self._seconds):.0f}",
        ]
