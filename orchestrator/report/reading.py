"""What a sweep's table says, in one line per series: only what the counts say, good or bad."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.report.series import Series, cell_text, mostly, series_of
from orchestrator.rows import CellRow
from orchestrator.statistics import interval_text


def reading(rows: Sequence[CellRow], failed: int = 0, planned: int | None = None) -> str:
    """One line per series of finished cells, and a last one when cells failed or (of ``planned``) have not run.

    The best cell has the highest rate of coherent refusals, then the fewest garbled, then the weakest multiplier.
    """
    lines = [f"{series.title}: {'; '.join(_findings(series))}" for series in series_of(rows)]
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
    best = max(rows, key=lambda row: (_rate(row), -row.count("garbled"), -abs(row.multiplier or 0.0)))
    count = best.count("coherent_refusal")
    if count == 0:
        return f"no coherent refusal in any of {_cells(len(rows))}"
    text = f"best cell {cell_text(best)}: {count}/{best.n} coherent refusals {interval_text(count, best.n)}"
    if baseline is not None and baseline.labelled and _rate(best) <= _rate(baseline):
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


def _rate(row: CellRow) -> float:
    return row.count("coherent_refusal") / row.n if row.n else 0.0


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"
