"""What a sweep's table says, in one line per series: only what the counts say, good or bad."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.records.rows import CellRow
from orchestrator.report.series import Series, cell_text, mostly, series_of
from orchestrator.report.values import best_of, refusal_rate
from orchestrator.statistics import interval_text


def reading(rows: Sequence[CellRow], failed: int = 0, planned: int | None = None, limit: int | None = None) -> str:
    """One line per series of finished cells, and a last one when cells failed or (of ``planned``) have not run.

    At most ``limit`` series are told (None: all). The best cell has the highest rate of coherent refusals, then the fewest
    garbled, then the weakest multiplier; it is the best of several on the very prompts that its rate is of.
    """
    found = series_of(rows)
    lines = [f"{series.title}: {'; '.join(_findings(series))}" for series in found[:limit]]
    if len(found) > len(lines):
        lines.append(f"and {len(found) - len(lines)} more series")
    missing = max(0, planned - len(rows) - failed) if planned is not None else 0
    absent = [
        text for count, text in ((failed, "failed"), (missing, "not run yet")) if count for text in [f"{_cells(count)} {text}"]
    ]
    if not rows:
        absent.insert(0, "no finished cells")
    return "\n".join([*lines, *([", ".join(absent)] if absent else [])])


def _findings(series: Series) -> list[str]:
    steered = [row for row in series.steered if row.multiplier != 0]
    labelled = [row for row in steered if row.labelled]
    found = [_baseline(series.baseline)]
    if not steered:
        return [*found, "no steered cells"]
    if labelled:
        found.append(_best(labelled, series.baseline))
        found.append(_garbled(labelled))
    if len(labelled) < len(steered):
        found.append(f"{_cells(len(steered) - len(labelled))} not labelled")
    return [text for text in (*found, _verified(steered)) if text]


def _baseline(row: CellRow | None) -> str:
    if row is None:
        return "no unsteered baseline"
    if not row.labelled:
        return "the unsteered baseline is not labelled"
    text = f"{row.count('coherent_refusal')}/{row.n} refusals unsteered"
    garbled = row.count("garbled")
    return text + (f" and {garbled}/{row.n} garbled" if garbled else "")


def _best(rows: Sequence[CellRow], baseline: CellRow | None) -> str:
    best = best_of(rows)
    count = best.count("coherent_refusal")
    if count == 0:
        return f"no coherent refusal in any of {_cells(len(rows))}"
    text = f"best cell {cell_text(best)}: {count}/{best.n} coherent refusals {interval_text(count, best.n)}"
    text += " (in-sample)" if best.in_sample else ""
    if baseline is not None and baseline.labelled and refusal_rate(best) <= refusal_rate(baseline):
        return f"no cell refuses more often than unsteered ({text})"
    return text


def _garbled(rows: Sequence[CellRow]) -> str:
    garbled = [row for row in rows if mostly(row, row.count("garbled"))]
    if not garbled:
        return "no cell mostly garbled"
    if len(garbled) == len(rows):
        return "every steered cell is mostly garbled"
    weakest = min(garbled, key=lambda row: abs(row.multiplier or 0.0))
    return f"{len(garbled)} of {_cells(len(rows))} mostly garbled, the weakest at {cell_text(weakest)}"


def _verified(rows: Sequence[CellRow]) -> str:
    verified = sum(row.fired is True for row in rows)
    if verified == len(rows):
        return f"steering verified in all {len(rows)} steered cells" if len(rows) > 1 else "steering verified"
    return f"steering NOT verified in {len(rows) - verified} of {len(rows)} steered cells"


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"
