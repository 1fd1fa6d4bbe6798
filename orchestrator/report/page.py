"""``report.md``: the reading, and per series its table, picture and samples; then where the numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.classifiers import LabelName
from orchestrator.plan_file import PlannedCells
from orchestrator.report.reading import reading
from orchestrator.report.samples import Sample
from orchestrator.report.series import Series, cell_text
from orchestrator.report.tables import markdown_table
from orchestrator.report.untrusted import fenced, markdown
from orchestrator.rows import CellRow

PROMPT_SHOWN = 200
RESPONSE_SHOWN = 400


@dataclass(frozen=True)
class Section:
    """One series with its picture (path relative to the page, None without labelled steered cells) and samples."""

    series: Series
    figure: Path | None
    samples: Mapping[LabelName, Sequence[Sample]]


def page_text(planned: PlannedCells, rows: Sequence[CellRow], sections: Sequence[Section], failed: int) -> str:
    """The whole page. The same results give the same text: it carries no date but those of the cells."""
    said = reading(rows, failed, len(planned.cells)).splitlines()
    blocks = [f"# {markdown(planned.name)}", "\n".join(f"- {markdown(line)}" for line in said)]
    blocks.append(
        "Rates are percent of a cell's responses with their 95 % Wilson interval and count. `x norm` is the multiplier over the "
        "residual stream's norm at the first steered layer. `fired`: the residual stream was measured to move as asked."
    )
    for section in sections:
        blocks += _section(section)
    return "\n\n".join([*blocks, *_provenance(rows)]) + "\n"


def _section(section: Section) -> list[str]:
    blocks = [f"## {markdown(section.series.title)}", markdown_table(section.series)]
    if section.figure is not None:
        blocks.append(f"![Heat maps, layer by multiplier: coherent refusals and garbled]({section.figure.as_posix()})")
    for label, samples in section.samples.items():
        blocks.append(f"### Labelled {label.replace('_', ' ')}")
        for sample in samples:
            blocks += _sample(sample)
    return blocks


def _sample(sample: Sample) -> list[str]:
    where = cell_text(sample.row) if sample.row.steered else "unsteered"
    return [
        f"{markdown(where)}, prompt {markdown(sample.response.prompt_id)}:",
        fenced(sample.response.prompt, PROMPT_SHOWN),
        "Response:",
        fenced(sample.response.text, RESPONSE_SHOWN),
        f"Evidence: {markdown(sample.label.evidence)}",
    ]


def _provenance(rows: Sequence[CellRow]) -> list[str]:
    if not rows:
        return []
    lines = [
        "| model | weights | revision | adapter | dtype | quantization | fingerprint | template |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in {row.variant: row for row in rows}.values():
        about = [row.model, f"{row.source}: {row.location}", row.revision or "-", "yes" if row.adapter else "no"]
        about += [row.dtype, row.quantization, row.model_fingerprint[:12] or "-", (row.template_sha256 or "-")[:12]]
        lines.append("| " + " | ".join(markdown(text) for text in about) + " |")
    first, last = min(row.finished_at for row in rows), max(row.finished_at for row in rows)
    facts = [f"- cells finished between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"]
    facts.append(f"- classifier: {markdown(', '.join(sorted({row.classifier for row in rows if row.classifier})) or 'none')}")
    facts += [f"- {markdown(name)}: {markdown(', '.join(values))}" for name, values in _environment(rows).items()]
    return ["## Where the numbers come from", "\n".join(lines), "\n".join(facts)]


def _environment(rows: Sequence[CellRow]) -> dict[str, list[str]]:
    """What the workers said of themselves: every name with its distinct values over all cells."""
    found: dict[str, set[str]] = {}
    for provenance in {row.provenance for row in rows}:
        for name, value in json.loads(provenance).items():
            found.setdefault(name, set()).add(str(value))
    return {name: sorted(values) for name, values in sorted(found.items()) if name != "template_sha256"}
