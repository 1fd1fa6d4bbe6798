"""Which prompt flips in which cell: prompts by the cells of a series, the unsteered one first, coloured by outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.outcome import OUTCOMES, in_words
from orchestrator.report.blocks import Row
from orchestrator.report.figures.canvas import COLOURS, REST
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.heat import HeatLook
from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import Series, setting_text
from orchestrator.report.values import best_of, most_successful
from orchestrator.results.rows import CellRow
from orchestrator.results.schema import batches_of
from orchestrator.storage import UnreadableFileError
from orchestrator.untrusted import visible

SERIES = 6
"""Series with such a map, the most successful; the answers of all are below in the page."""
CELLS = 24
PROMPTS = 40
"""Columns and rows of a map: the cells of the best one's layer and multiplier, the prompts that flip most often."""
_COLUMNS = ("cell_id", "behavior", "prompt_id", "sample", "label", "outcome")

_Said = Mapping[str, tuple[str | None, str | None]]
"""What each prompt's first answer is: its label, and what that counts as."""


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A map for each of the most successful series."""
    shown = {series.title: _cells(series) for series in most_successful(found.shown, SERIES) if series.steered}
    said = _said(found, {row.key for rows in shown.values() for row in rows})
    for title, rows in shown.items():
        labelled = [row for row in rows if said.get(row.key)]
        if len(labelled) > 1:
            tidy = list(_tidy(labelled, said))
            yield Chart(f"{title}: outcome of each prompt", tidy, LOOK, title)


def _cells(series: Series) -> list[CellRow]:
    """The baseline, and of many cells those of the best one's layer or multiplier."""
    labelled = [row for row in series.steered if row.labelled and row.n]
    if len(labelled) > CELLS:
        best = best_of(labelled)
        labelled = [row for row in labelled if row.place == best.place or row.multiplier == best.multiplier]
    base = [] if series.baseline is None or not series.baseline.labelled else [series.baseline]
    return [*base, *labelled[: CELLS - len(base)]]


def _said(
    found: SweepFindings, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, tuple[str | None, str | None]]]:
    """The labels of the first sample of each prompt, from ``responses.parquet``."""
    said: dict[tuple[str, str], dict[str, tuple[str | None, str | None]]] = {key: {} for key in keys}
    wanted = {cell_id for cell_id, _ in said}
    try:
        for batch in batches_of(found.store.folder.responses, _COLUMNS):
            columns = [batch.column(name).to_pylist() for name in _COLUMNS]
            for cell_id, behavior, prompt, sample, label, outcome in zip(*columns, strict=True):
                if sample == 0 and cell_id in wanted and (cell_id, behavior) in said and label is not None:
                    said[cell_id, behavior][prompt] = (label, outcome)
    except (FileNotFoundError, UnreadableFileError):
        return {}
    return said


def _tidy(rows: Sequence[CellRow], said: Mapping[tuple[str, str], _Said]) -> Iterator[Row]:
    """Prompt by prompt, those first whose outcome differs most often from that of the first cell."""
    first = said[rows[0].key]
    flips = Counter(dict.fromkeys(first, 0))
    for row in rows[1:]:
        flips.update(prompt for prompt, (_, outcome) in said[row.key].items() if prompt in first and outcome != first[prompt][1])
    for prompt, count in flips.most_common(PROMPTS):
        for row in rows:
            label, outcome = said[row.key].get(prompt, (None, None))
            yield {
                "prompt_id": visible(prompt),
                "cell": setting_text(row) if row.steered else "unsteered",
                "label": label,
                "outcome": outcome,
                "value": OUTCOMES.index(outcome) if outcome in OUTCOMES else None,
                "flips": count,
                "layer": row.layer,
                "multiplier": row.multiplier,
                "cell_id": row.cell_id,
            }


def _told(row: Row) -> str:
    return in_words(str(row["label"])) if row["label"] else "no label"


def _unwritten(_row: Row) -> str:
    return ""


_COLOURS = {"success": COLOURS[0], "garbled": COLOURS[1], "no_answer": COLOURS[3], "other": REST}
LOOK = HeatLook(
    *("prompt_id", "cell", "prompt", "cell", _unwritten, _told),
    colours={in_words(outcome): _COLOURS[outcome] for outcome in OUTCOMES},
    ends=(-0.5, len(OUTCOMES) - 0.5),
    cell=(0.3, 0.19),
)
