"""An article's measurements of the geometry of refusal, those that the sweep's analyses made too beside ours.

The article: Browne-Moore (June 2026), on Qwen3.5-9B and Mistral-7B with BeaverTails. ``docs/article.md`` reads them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from orchestrator.analysis import ANALYSES
from orchestrator.analysis.analysis import AnalysisRow, span
from orchestrator.analysis.angles import AngleRow
from orchestrator.analysis.categories import CategoryRow
from orchestrator.analysis.motion import MotionRow
from orchestrator.analysis.propagation import PropagationRow
from orchestrator.analysis.random_floor import FloorRow
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import number
from orchestrator.results.plan_file import PlannedCells

_COLUMNS = (
    ReportColumn("measured", left=True),
    ReportColumn("article: Qwen3.5-9B", "Qwen3.5-9B", left=True),
    ReportColumn("article: Mistral-7B", "Mistral-7B", left=True),
    ReportColumn("here", left=True),
)
_NOTE = (
    "The article: Browne-Moore, June 2026, on refusal, BeaverTails' prompts, the direction between what the model refused and "
    "complied with; -: not measured. Here: brackets are 95 % intervals, 'to' is the range over what was measured, 'random' what "
    "random directions of the same length do. Cosines are of what was added, whichever sign it had. Other models, prompts and "
    "strengths are no replication."
)


@dataclass(frozen=True)
class Published:
    """A number of the article, as it prints it for each of its models, and how the rows of an ``analysis`` say it of another one:
    empty where they do not tell."""

    analysis: str
    measured: str
    qwen: str
    mistral: str
    here: Callable[[Sequence[Any]], str]


def beside_article_tables(planned: PlannedCells, rows_of: Callable[[str], Sequence[AnalysisRow]]) -> Iterator[ReportTable]:
    """The article's numbers beside those of each model and behavior that is scored by refusals, in a table each. ``rows_of``: the
    rows of an analysis by its name."""
    found = {name: rows_of(name) for name in ANALYSES}
    for model, behavior in dict.fromkeys((row.model, row.behavior) for rows in found.values() for row in rows):
        if any(use.name == "refusal" for use in planned.scoring_of(behavior).scorers):
            own = {name: [row for row in rows if (row.model, row.behavior) == (model, behavior)] for name, rows in found.items()}
            if lines := tuple(_lines(own)):
                yield ReportTable(f"{model} · {behavior}", _COLUMNS, lines, (_NOTE,))


def _lines(found: Mapping[str, Sequence[AnalysisRow]]) -> Iterator[tuple[Value, ...]]:
    for one in PUBLISHED:
        if found[one.analysis] and (here := one.here(found[one.analysis])):
            yield (Value(one.measured), *map(number, (one.qwen, one.mistral, here)))


def _mean_angle(rows: Sequence[AngleRow]) -> str:
    means = [row for row in rows if row.layer is None]
    several = len({row.classes for row in means}) > 1
    return "; ".join(
        f"{span(row.corrected, row.corrected_low, row.corrected_high, 1)}, raw {row.raw:.1f}{f' (by {row.classes})' * several}"
        for row in means
    )


def _spread_of_angles(rows: Sequence[AngleRow]) -> str:
    """Standard deviation over depth of the raw angles between neighbours."""
    classes = rows[0].classes
    raw = [row.raw for row in _neighbours(rows) if row.classes == classes]
    return f"{stdev(raw):.1f}" if len(raw) > 1 else ""


def _states(rows: Sequence[AngleRow]) -> str:
    return _range([row.state_cosine for row in _neighbours(rows)])


def _neighbours(rows: Sequence[AngleRow]) -> list[AngleRow]:
    return [row for row in rows if row.layer is not None and row.other == row.layer + 1]


def _one_on(name: str, chance: str) -> Callable[[Sequence[PropagationRow]], str]:
    return lambda rows: _carried([row for row in rows if row.layer == row.source + 1], name, chance)


def _at_last(name: str, chance: str) -> Callable[[Sequence[PropagationRow]], str]:
    def told(rows: Sequence[PropagationRow]) -> str:
        last = max(row.layer for row in rows)
        return _carried([row for row in rows if row.layer == last != row.source], name, chance)

    return told


def _carried(rows: Sequence[PropagationRow], name: str, chance: str) -> str:
    if not rows:
        return ""
    signs = [1.0 if name == "norm_ratio" or row.multiplier >= 0 else -1.0 for row in rows]
    found = [sign * getattr(row, name) for sign, row in zip(signs, rows, strict=True)]
    ends = [sign * getattr(row, f"{chance}_{end}") for sign, row in zip(signs, rows, strict=True) for end in ("low", "high")]
    return f"{_range(found)} (random: {_range(ends)})"


def _below_all(rows: Sequence[FloorRow]) -> str:
    """Of how many layers and strengths the direction moves neutral prompts less than every isotropic one does."""
    own = [row for row in rows if row.against == "isotropic"]
    return f"{sum(row.below == 0 for row in own)} of {len(own)}" if own else ""


def _to_the_mean(rows: Sequence[FloorRow]) -> str:
    return _range([row.ratio for row in rows if row.against == "isotropic"])


def _pushed(rows: Sequence[MotionRow], of: Callable[[MotionRow], float | None]) -> str:
    """The prompts of the negative class that are pushed to the positive one, and the other way round."""
    told = {
        "to refuse": [of(row) for row in rows if row.steered == "negative" and row.multiplier > 0],
        "to comply": [of(row) for row in rows if row.steered == "positive" and row.multiplier < 0],
    }
    known = {words: [value for value in values if value is not None] for words, values in told.items()}
    return "; ".join(f"{words} {_range(values)}" for words, values in known.items() if values)


def _category_angles(rows: Sequence[CategoryRow]) -> str:
    means = [row for row in rows if row.category is None and row.classes == rows[0].classes]
    late = [row for row in means if 2 * row.layer >= max(one.layer for one in means)]
    corrected = [row.corrected for row in late if row.corrected is not None]
    spreads = [row.raw_spread for row in late if row.raw_spread is not None]
    if not (late and spreads):
        return ""
    without = f", corrected {fmean(corrected):.1f}" if corrected else ""
    return f"{fmean(row.raw for row in late):.1f} (σ {fmean(spreads):.1f}){without}, mean of the later half"


def _range(values: Sequence[float]) -> str:
    low, high = (f"{round(one, 2) + 0.0:.2f}" for one in (min(values), max(values)))  # no -0.00
    return low if low == high else f"{low} to {high}"


PUBLISHED = (
    Published(
        "angles", "angle between neighbouring layers' directions, degrees", "93.4 [93.3, 93.6]", "88.8 [88.7, 89.0]", _mean_angle
    ),
    Published("angles", "its standard deviation over depth", "4.65", "2.20", _spread_of_angles),
    Published("angles", "cosine of neighbouring layers' activations", "nearly 1", "nearly 1", _states),
    Published(
        "propagation",
        "cosine of the shift and the layer's own direction, one block on",
        "0.09 to 0.18",
        "0.08 to 0.15",
        _one_on("alignment", "chance"),
    ),
    Published("propagation", "the same at the last layer", "0.08 to 0.20", "-0.12 to 0.14", _at_last("alignment", "chance")),
    Published(
        "propagation",
        "cosine of the shift and what was added, at the last layer",
        "0.08 to 0.23",
        "0.08 to 0.23",
        _at_last("kept", "kept_chance"),
    ),
    Published(
        "propagation",
        "length of the shift over what was added, one block on",
        "0.49",
        "0.40",
        _one_on("norm_ratio", "norm_chance"),
    ),
    Published("propagation", "the same at the last layer", "0.75", "1.20 to 2.12", _at_last("norm_ratio", "norm_chance")),
    Published(
        "random_floor",
        "KL below that of all random directions, at how many layers and signs",
        "4 of 4 layers",
        "1 of 4 layers",
        _below_all,
    ),
    Published("random_floor", "KL over the mean of random directions", "0.01 to 0.03", "-", _to_the_mean),
    Published(
        "motion",
        "share of the shift that is orthogonal to the direction",
        "-",
        "0.89 to 0.95",
        lambda rows: _pushed(rows, lambda row: row.orthogonal),
    ),
    Published(
        "motion",
        "place between the classes (0 refuses, 1 complies)",
        "-",
        "0.38 [0.15, 0.57] of hedges",
        lambda rows: _pushed(rows, lambda row: row.t),
    ),
    Published(
        "motion",
        "distance from the line between them",
        "-",
        "0.44 [0.37, 0.68] of hedges, p 0.27",
        lambda rows: _pushed(rows, lambda row: row.bow),
    ),
    Published("categories", "angle between categories' directions, degrees", "58.4 (σ 17.2)", "67.3 (σ 8.2)", _category_angles),
)
"""The article's tables, in its order."""
