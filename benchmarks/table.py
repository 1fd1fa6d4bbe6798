"""What a benchmark prints (one table) and writes (one JSON document)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.ratios import Ratio, Summary
from benchmarks.timing import Rounds

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Result:
    """A benchmark's outcome: ``settings`` and ``notes`` say what was run and what was left out, and why."""

    benchmark: str
    settings: Mapping[str, Any]
    rounds: Rounds
    ratios: Sequence[Ratio] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def contenders(self) -> list[str]:
        """Names in the order they ran."""
        return list(self.rounds.kept[0]) if self.rounds.kept else []

    def document(self) -> dict[str, Any]:
        """The JSON document; plain values only."""
        return {
            "schema": SCHEMA_VERSION,
            "benchmark": self.benchmark,
            "machine": describe(),
            "settings": dict(self.settings),
            "contenders": {name: self._contender(name) for name in self.contenders},
            "ratios": [{**asdict(ratio), "verdict": ratio.verdict} for ratio in self.ratios],
            "extra": dict(self.extra),
            "rounds_set_aside": len(self.rounds.set_aside),
            "rounds_disturbed": self.rounds.disturbed,
            "notes": list(self.notes),
        }

    def _contender(self, name: str) -> dict[str, Any]:
        samples = self.rounds.samples(name)
        return {
            "tokens_per_second": asdict(Summary.of([sample.tokens_per_second for sample in samples])),
            "tokens_per_cpu_second": asdict(Summary.of([sample.tokens_per_cpu_second for sample in samples])),
            "rows_per_second": asdict(Summary.of([sample.rows_per_second for sample in samples])),
            "samples": [
                {
                    "rows": sample.work.rows,
                    "new_tokens": sample.work.new_tokens,
                    "seconds": sample.seconds,
                    "cpu_seconds": sample.cpu_seconds,
                    "others_cores": sample.others,
                    "parts": dict(sample.work.parts),
                    **({"machine_rates": list(sample.rates)} if sample.rates else {}),
                }
                for sample in samples
            ],
        }


def publish(result: Result, json_path: Path | None, console: Console | None = None) -> None:
    """Print the table; write the document where asked."""
    console = console or Console()
    console.print(speeds(result))
    if result.ratios:
        console.print(comparisons(result))
    for note in (*result.notes, *_noise(result.rounds)):
        console.print(f"- {note}", markup=False, highlight=False)
    if json_path is not None:
        json_path.write_text(json.dumps(result.document(), indent=1) + "\n", encoding="utf-8")


def speeds(result: Result) -> Table:
    """One line per contender that makes tokens: medians over rounds, smallest and largest."""
    table = Table(title=f"{result.benchmark}: medians of {len(result.rounds.kept)} interleaved rounds")
    for column in ("contender", "rows", "new tokens", "tokens/s", "min-max", "tokens/CPU-s", "rows/s", "others"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for name in result.contenders:
        samples = result.rounds.samples(name)
        if not any(sample.work.new_tokens for sample in samples):
            continue
        speed = Summary.of([sample.tokens_per_second for sample in samples])
        rows = Summary.of([sample.rows_per_second for sample in samples])
        table.add_row(
            name,
            _range([sample.work.rows for sample in samples]),
            _range([sample.work.new_tokens for sample in samples]),
            f"{speed.median:.1f}",
            f"{speed.low:.1f}-{speed.high:.1f}",
            f"{Summary.of([sample.tokens_per_cpu_second for sample in samples]).median:.1f}",
            f"{rows.median:.3f}",
            f"{max(sample.others for sample in samples):.2f}",
        )
    return table


def comparisons(result: Result) -> Table:
    """One line per ratio, taken within each round."""
    table = Table(title="ratios within a round")
    for column in ("ratio", "of", "median", "min-max", "target", "verdict"):
        table.add_column(column, justify="left" if column in ("ratio", "of", "verdict") else "right")
    for ratio in result.ratios:
        summary = ratio.summary
        target = "" if ratio.target is None else f">= {ratio.target:g}"
        spread = f"{summary.low:.3g}-{summary.high:.3g}"
        table.add_row(f"{ratio.of} / {ratio.to}", ratio.metric, f"{summary.median:.3g}", spread, target, ratio.verdict)
    return table


def _range(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def _noise(rounds: Rounds) -> list[str]:
    notes = []
    rates = [rate for one in rounds.kept for sample in one.values() for rate in sample.rates]
    if rates:
        notes.append(f"the machine's own products, before and after each run: {min(rates):.0f} to {max(rates):.0f} GFLOP/s")
    why = "other processes were busy or the machine's own speed changed"
    if rounds.set_aside:
        notes.append(f"{len(rounds.set_aside)} rounds set aside and repeated: {why}")
    if rounds.disturbed:
        notes.append(f"{rounds.disturbed} rounds kept although {why}: read the spread before the median")
    return notes
