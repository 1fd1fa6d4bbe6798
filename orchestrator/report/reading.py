"""What a sweep's table says, in one line per series: only what the counts say, good or bad, and of how much of the plan.

A series of which cells are missing is told as one that is not finished: nothing is said of cells that were not run.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from orchestrator.counting import counted
from orchestrator.outcome import NO_ONE_LABEL
from orchestrator.report.controls import against_control
from orchestrator.report.series import Series, mostly, planned_in, series_of, setting_text
from orchestrator.report.values import BEST_NOTE, IN_SAMPLE, best_of, success_rate, target_words
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.rows import CellRow
from orchestrator.statistics import interval_text, percent_text
from orchestrator.untrusted import visible


def reading(
    rows: Sequence[CellRow],
    failed: int = 0,
    planned: Sequence[CellAxes] | int | None = None,
    limit: int | None = None,
    deciding: Collection[str] = (),
) -> str:
    """One line per series of finished cells, and a last one when cells failed or have not run.

    ``planned``: the cells of the plan, or only how many they are (None: those of ``rows``). At most ``limit`` series are told
    (None: all), those last of which every steered cell is ``deciding``: one that settings were chosen among. The best cell has
    the highest success rate, then the fewest garbled or without an answer, then the weakest multiplier; it is the best of
    several on the very prompts that its rate is of, and marked so; where rows have a random control, it is compared with that.
    """
    found = sorted(series_of(rows), key=lambda one: bool(one.steered) and all(row.cell_id in deciding for row in one.steered))
    total = planned if isinstance(planned, int) else len({one.cell_id for one in (rows if planned is None else planned)})
    lines = [_line(series, rows, _progress(series, rows, planned)) for series in found[:limit]]
    if len(found) > len(lines):
        lines.append(f"and {len(found) - len(lines)} more series")
    missing = max(0, total - len({row.cell_id for row in rows}) - failed)
    absent = [f"{counted(count, 'cell')} {text}" for count, text in ((failed, "failed"), (missing, "not run yet")) if count]
    if not rows:
        absent.insert(0, "no finished cells")
    return "\n".join([*lines, *([", ".join(absent)] if absent else [])])


def reading_lines(
    rows: Sequence[CellRow], failed: int, planned: Sequence[CellAxes], limit: int, deciding: Collection[str]
) -> list[str]:
    """The lines of ``reading``, and where a rate is marked as in-sample what the mark means."""
    text = reading(rows, failed, planned, limit, deciding)
    return [*text.splitlines(), *([BEST_NOTE] if IN_SAMPLE in text else [])]


def _progress(series: Series, rows: Sequence[CellRow], planned: Sequence[CellAxes] | int | None) -> tuple[int, int]:
    """Finished and planned cells of a series; where only the plan's size is known, those of the sweep."""
    if isinstance(planned, int):
        return len(rows), planned
    return len(series.rows), len(series.rows) if planned is None else planned_in(series, planned)


def _line(series: Series, rows: Sequence[CellRow], progress: tuple[int, int]) -> str:
    done, total = progress
    if done >= total:
        return f"{series.title}: {'; '.join(_findings(series, rows, ''))}"
    return f"{series.title}: so far, {done} of {counted(total, 'cell')}: {'; '.join(_findings(series, rows, ' so far'))}"


def _findings(series: Series, rows: Sequence[CellRow], so_far: str) -> list[str]:
    steered = [row for row in series.steered if row.multiplier != 0]
    labelled = [row for row in steered if row.labelled]
    found = [_baseline(series.baseline, so_far)]
    if not steered:
        return [*found, f"no steered cells{so_far}"]
    if labelled:
        found += [
            _best(labelled, series.baseline, so_far),
            _control(labelled, rows),
            _garbled(labelled, so_far),
            _unanswered(labelled),
        ]
    if len(labelled) < len(steered):
        found.append(f"{counted(len(steered) - len(labelled), 'cell')} not labelled")
    return [text for text in (*found, _arrived(steered, so_far)) if text]


def _baseline(row: CellRow | None, so_far: str) -> str:
    if row is None:
        return f"no unsteered baseline{so_far}"
    if not row.labelled:
        return "the unsteered baseline is not labelled"
    text = f"unsteered {row.count('success')} of {counted(row.n, 'answer')} are {_labelled([row])}{_by(row)}"
    garbled, cut = row.count("garbled"), row.count("no_answer")
    text += f", {garbled} garbled" if garbled else ""
    return text + (f", {cut} without an answer" if cut else "")


def _labelled(rows: Sequence[CellRow]) -> str:
    """What makes an answer a success, in words."""
    words = target_words(rows)
    return "counted as success" if words == NO_ONE_LABEL else f"labelled '{words}'"


def _by(row: CellRow) -> str:
    name = (row.classifier or "").partition("@")[0]
    return f" by the scorer {visible(name)}" if name else ""


def _best(rows: Sequence[CellRow], baseline: CellRow | None, so_far: str) -> str:
    best = best_of(rows)
    count, labelled = best.count("success"), _labelled(rows)
    if count == 0:
        return f"none of the answers of the {counted(len(rows), 'steered cell')}{so_far} is {labelled}"
    text = f"best cell{so_far} {setting_text(best)}: {count} of {best.n} {labelled}, in percent {percent_text(count, best.n)}"
    text += IN_SAMPLE if len(rows) > 1 or best.in_sample else ""
    text += f" {interval_text(best.interval('success'))}"
    if baseline is not None and baseline.labelled and success_rate(best) <= success_rate(baseline):
        return f"no cell{so_far} has more answers {labelled} than unsteered ({text})"
    return text


def _control(labelled: Sequence[CellRow], rows: Sequence[CellRow]) -> str:
    """How the best cell does beside random directions; empty where none was run."""
    found = against_control(labelled, rows)
    return "" if found is None else found.words


def _garbled(rows: Sequence[CellRow], so_far: str) -> str:
    garbled = [row for row in rows if mostly(row, row.count("garbled"))]
    if not garbled:
        return f"no cell mostly garbled{so_far}"
    if len(garbled) == len(rows):
        return f"every steered cell{so_far} is mostly garbled"
    weakest = min(garbled, key=lambda row: abs(row.multiplier or 0.0))
    return f"{len(garbled)} of {counted(len(rows), 'cell')}{so_far} mostly garbled, the weakest at {setting_text(weakest)}"


def _unanswered(rows: Sequence[CellRow]) -> str:
    cut, n = sum(row.count("no_answer") for row in rows), sum(row.n for row in rows)
    return f"{cut} of {n} responses without an answer, which had not begun within the tokens that they may have" if cut else ""


def _arrived(rows: Sequence[CellRow], so_far: str) -> str:
    """Of the cells of which anything was asked; and how many others there are, and why."""
    asked = [row for row in rows if row.fired is not None]
    missed = sum(row.fired is False for row in asked)
    unmet = sum(row.fired is None and row.acted_n == 0 for row in rows)
    told = []
    if missed:
        told.append(f"the shift did NOT arrive as asked in {missed} of {len(asked)} steered cells{so_far}")
    elif asked:
        told.append("the shift arrived as asked" + (f" in all {len(asked)} steered cells" if len(asked) > 1 else "") + so_far)
    for count, why in ((unmet, "the condition held for no prompt"), (len(rows) - len(asked) - unmet, "no shift was asked")):
        if count:
            told.append(why + (f" in {count} of {len(rows)} steered cells" if len(rows) > 1 else "") + so_far)
    return "; ".join(told)
