"""What the checks found: printed as it comes, kept for one table and a JSON document. Needs nothing but the standard library."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

Verdict = Literal["PASS", "FAIL", "INFO"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, whether it held (INFO: nothing to hold), in words and numbers; seconds since the start."""

    verdict: Verdict
    name: str
    text: str
    numbers: dict[str, float | str]
    at: float

    @property
    def shown(self) -> str:
        """The numbers in words."""
        return " ".join(f"{key}={value}" for key, value in self.numbers.items())


@dataclass
class Findings:
    """All findings of a run, in order; ``heard`` is told each as it is made."""

    all: list[Finding] = field(default_factory=list)
    heard: Callable[[Finding], None] | None = None
    _started: float = field(default_factory=time.monotonic)

    def check(self, name: str, held: bool, text: str = "", **numbers: float | str) -> None:
        """Note whether something held."""
        self._add("PASS" if held else "FAIL", name, text, numbers)

    def tell(self, name: str, text: str = "", **numbers: float | str) -> None:
        """Note a measurement that nothing is demanded of."""
        self._add("INFO", name, text, numbers)

    def section(self, name: str, body: Callable[[], None]) -> Exception | None:
        """Run ``body``; whatever it raises is a failed check with its traceback, and is given back."""
        try:
            body()
        except Exception as error:  # noqa: BLE001 - the run must reach its end on a machine that nobody has seen
            self._add("FAIL", name, f"{type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}", {})
            traceback.print_exc(limit=-6)
            return error
        return None

    def take_over(self, finding: Finding) -> None:
        """Keep what another process found, which has printed it."""
        self.all.append(replace(finding, at=self._now()))

    @property
    def failed(self) -> int:
        """How many checks did not hold."""
        return sum(one.verdict == "FAIL" for one in self.all)

    def write(self, path: Path) -> None:
        """The findings as JSON."""
        path.write_text(json.dumps([asdict(one) for one in self.all], indent=1) + "\n")

    def summary(self) -> str:
        """One table of all findings, what failed first, and counts."""
        order: list[Verdict] = ["FAIL", "INFO", "PASS"]
        ordered = sorted(self.all, key=lambda found: order.index(found.verdict))
        lines = ["| | check | |", "|---|---|---|"]
        lines += [f"| {one.verdict} | {one.name} | {f'{one.text} {one.shown}'.strip().replace('|', '/')} |" for one in ordered]
        counts = {verdict: sum(one.verdict == verdict for one in self.all) for verdict in reversed(order)}
        return "\n".join([*lines, "", ", ".join(f"{count} {verdict}" for verdict, count in counts.items())])

    def _add(self, verdict: Verdict, name: str, text: str, numbers: dict[str, float | str]) -> None:
        finding = Finding(verdict, name, text, numbers, self._now())
        self.all.append(finding)
        if self.heard is not None:
            self.heard(finding)
        print(f"{finding.at:7.1f}s {verdict} {name}: {text} {finding.shown}".rstrip(), flush=True)

    def _now(self) -> float:
        return round(time.monotonic() - self._started, 1)
