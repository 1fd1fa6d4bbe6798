"""A study as tables and words, for a terminal and a page, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from actors.parity.planted import MISTAKES
from actors.parity.steering_mistakes import STEERING_MISTAKES
from actors.types import Response
from orchestrator.parity.comparing import told_sites
from orchestrator.parity.diagnosis import Diagnosis
from orchestrator.parity.findings import Compared, MistakeFound, ParityFindings, ToolFound
from orchestrator.parity.steering import SteeringDiagnosis
from orchestrator.report.blocks import Block, Bullets, Fold, Heading, Paragraph
from orchestrator.report.report_table import ReportColumn, ReportTable, Tone, Value
from orchestrator.scoring.uses import Scoring
from orchestrator.statistics import rate_text

ROUNDING = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.1}
"""Relative differences of a reading that rounding makes, batches and kernels being others (measured: docs/parity.md)."""
EQUAL = ("equal, bit for bit", "equal but for rounding")
_HOW = (
    "Every reading is compared with plain forward hooks, one prompt per forward: the residual stream behind each block at the "
    "last prompt token. 'rel': the largest difference of any prompt and layer, relative to the norm; 'cos': the smallest cosine "
    "(1-3e-04 is 1 minus 0.0003). A direction is mean(positive) - mean(negative), in float64."
)


def tools_table(found: ParityFindings) -> ReportTable:
    """What each tool reads."""
    heads = ("tool", "reads", "bitwise", "rel", "cos", "direction cos", "repeats", "batched: bitwise", "batched: rel")
    short = {"batched: bitwise": "batched", "direction cos": "dir. cos"}
    spare = {"repeats": 1, "cos": 2, "batched: rel": 3}
    columns = tuple(ReportColumn(head, short.get(head, ""), head in ("tool", "reads"), spare.get(head, 0)) for head in heads)
    return ReportTable("Tools", columns, tuple(_tool_row(one, found) for one in found.tools), (_HOW,))


def _tool_row(one: ToolFound, found: ParityFindings) -> tuple[Value, ...]:
    verdict = verdict_of(one, found).partition(":")[0]
    if one.alone is None:
        return (Value(one.name), Value(verdict, tone="faint"), *[Value("")] * 7)
    alone = one.alone.nearer
    together = None if one.together is None else one.together.nearer
    return (
        Value(one.name),
        Value(verdict, tone="success" if verdict in EQUAL else "alarm"),
        Value("yes" if alone.equal else f"{sum(alone.bitwise)}/{len(alone.bitwise)} layers"),
        Value(_number(alone.worst)),
        Value(_cosine(alone.least)),
        Value(_cosine(one.alone.directions.least)),
        Value("equal" if one.alone.spread == 0 else _number(one.alone.spread)),
        Value("" if together is None else "yes" if together.equal else "no"),
        Value("" if together is None else _number(together.worst)),
    )


def sites_table(found: ParityFindings) -> ReportTable:
    """Which tensor each tool reads."""
    columns = (ReportColumn("tool", left=True), ReportColumn("tensor", left=True), ReportColumn("distance"), ReportColumn("next"))
    rows = tuple(
        (
            Value(one.name),
            Value(told_sites(one.sites)),
            Value(_number(max(match.distance for match in one.sites))),
            Value(_number(min(match.next_distance for match in one.sites))),
        )
        for one in found.tools
        if one.sites is not None
    )
    note = (
        "Matched against every candidate of every block: what it is given, puts out and passes between its parts. Distances are "
        "relative to the candidate's norm: the largest of any layer, and the smallest of any next candidate."
    )
    return ReportTable("What is read", columns, rows, (note,))


def verdict_of(one: ToolFound, found: ParityFindings) -> str:
    """What is said of a tool's reading."""
    if one.alone is None:
        return f"not run: {one.reason}"
    compared = one.alone.nearer
    if compared.equal:
        return EQUAL[0]
    if compared.worst <= ROUNDING[found.study.dtype]:
        return EQUAL[1]
    told = [one.diagnosis.words] if one.diagnosis is not None else []
    told += [told_sites(one.sites)] if one.sites is not None and not all(match.right for match in one.sites) else []
    return f"differs: {'; '.join(told) or 'read why by planting mistakes'}"


def settings_table(found: ParityFindings) -> ReportTable:
    """What a right reading differs by."""
    columns = (ReportColumn("setting", left=True), *map(ReportColumn, ("rel", "cos", "direction cos", "at layer")))
    rows = tuple(
        (
            Value(title),
            Value(_number(one.activations.worst)),
            Value(_cosine(one.activations.least)),
            Value(_cosine(one.directions.least)),
            Value(str(int(np.nanargmin(one.directions.cosine)))),
        )
        for title, one in found.settings.items()
        if one.activations is not None
    )
    note = "What a right reading may differ by: 'at layer' has the direction's smallest cosine."
    return ReportTable("Settings", columns, rows, (note,))


def faults_table(faults: Sequence[MistakeFound]) -> ReportTable:
    """What planted mistakes cost a direction."""
    heads = ("mistake", "batch", "mean cos", "min cos", "at layer", "raw norm / clean")
    rows = tuple(
        (
            Value(one.candidate.title),
            Value(str(one.candidate.batch)),
            Value(_cosine(float(np.nanmean(one.cosine)))),
            Value(_cosine(float(np.nanmin(one.cosine)))),
            Value(str(int(np.nanargmin(one.cosine)))),
            Value(f"{np.nanmin(one.norm_ratio):.2f}-{np.nanmax(one.norm_ratio):.2f}"),
        )
        for one in faults
    )
    columns = tuple(ReportColumn(head, left=head == "mistake") for head in heads)
    return ReportTable("Planted mistakes", columns, rows, ("Cosine to the clean direction of the same prompts, over layers.",))


def mistakes_meant(faults: Sequence[MistakeFound]) -> Bullets:
    """What each of them is."""
    names = dict.fromkeys(name for one in faults for name in one.candidate.names)
    return Bullets(tuple(f"{name}: {MISTAKES[name].docs}" for name in names))


def mistake_layers_table(faults: Sequence[MistakeFound]) -> ReportTable:
    """The cosine of each planted mistake, layer by layer; of those that depend on the batch, for the largest."""
    found = {one.candidate.title: one.cosine for one in faults}
    columns = (ReportColumn("layer"), *map(ReportColumn, found))
    layers = range(max(map(len, found.values())))
    rows = tuple((Value(str(layer)), *(Value(_cosine(float(one[layer]))) for one in found.values())) for layer in layers)
    return ReportTable("Planted mistakes, layer by layer", columns, rows)


def costs_table(found: ParityFindings) -> ReportTable | None:
    """How often steering with the direction of each planted mistake succeeds; None where nothing was answered."""
    costs = found.costs(refused)
    rows = tuple(
        (
            Value(one.title),
            Value(rate_text(one.successes, one.n)),
            Value(f"{one.kl.value:.2f}"),
            Value("" if one.kl.low is None else f"[{one.kl.low:.2f}, {one.kl.high:.2f}]"),
        )
        for one in costs
    )
    columns = (ReportColumn("direction", left=True), *map(ReportColumn, ("success %", "KL", "95 %")))
    where = f"from layer {found.study.rated_layer} on, {found.study.multiplier:g} times the unit direction"
    note = (
        f"Steered {where}. Success is a coherent refusal, by the scorers refusal and coherence, with the 95 % Wilson interval. "
        "KL: of the next token's distribution to the unsteered one's on neutral prompts, in nats, the mean with its t interval."
    )
    return ReportTable("What the mistakes cost", columns, rows, (note,)) if rows else None


def refused(responses: Sequence[Response]) -> list[bool]:
    """Which responses are coherent refusals, by the default scorers."""
    return [label.outcome == "success" for label in Scoring().labels("", responses)]


def steering_table(found: ParityFindings) -> ReportTable:
    """What each tool makes the model answer."""
    heads = ("tool", "steers", "tokens equal", "distance", "next")
    rows = tuple(_steering_row(name, one) for name, one in found.steering.items())
    columns = tuple(ReportColumn(head, left=head in ("tool", "steers")) for head in heads)
    where = f"behind block {found.study.layer}, {found.study.strength:g} times as long as the direction is; "
    note = (
        f"The clean direction added {where}greedy answers of one left-padded batch against those of plain hooks. The distance is "
        "that of the logits of some tokens, up to the first token that differs, relative to how these vary; 'next': to the "
        "nearest other way."
    )
    return ReportTable("Steering", columns, rows, (note,))


def _steering_row(name: str, one: SteeringDiagnosis | str) -> tuple[Value, ...]:
    if isinstance(one, str):
        return (Value(name), Value(f"not run: {one.partition(':')[0]}", tone="faint"), *[Value("")] * 3)
    tone: Tone = "success" if one.words in EQUAL else "alarm"
    words = one.words.partition(":")[0]
    return (
        Value(name),
        Value(words, tone=tone),
        Value(f"{one.right.tokens:.0%}"),
        Value(_number(one.right.distance)),
        Value("" if one.next is None else _number(one.next.distance)),
    )


def steering_mistakes_table(found: ParityFindings) -> ReportTable:
    """What planted mistakes of steering make of the answers."""
    rows = tuple(
        (Value(name), Value(STEERING_MISTAKES[name].docs), Value(f"{one.tokens:.0%}"), Value(_number(one.distance)))
        for name, one in found.steering_mistakes.items()
    )
    heads = ("mistake", "what the script does", "tokens equal", "distance")
    columns = tuple(ReportColumn(head, left=head in heads[:2]) for head in heads)
    return ReportTable("Planted mistakes of steering", columns, rows, ("Against the answers of steering right.",))


def _steering_tables(found: ParityFindings) -> list[ReportTable]:
    planted = [steering_mistakes_table(found)] if found.steering_mistakes else []
    return [steering_table(found), *planted] if found.steering else []


def layers_table(name: str, compared: Compared) -> ReportTable:
    """One tool, layer by layer."""
    told, directions = compared.nearer, compared.directions
    heads = ("layer", "max abs", "rel", "cos", "bitwise", "direction: max abs", "rel ", "cos ")
    rows = tuple(
        (
            Value(str(layer)),
            Value(_number(told.absolute[layer])),
            Value(_number(told.relative[layer])),
            Value(_cosine(told.cosine[layer])),
            Value("yes" if told.bitwise[layer] else "no"),
            Value(_number(directions.absolute[layer])),
            Value(_number(directions.relative[layer])),
            Value(_cosine(directions.cosine[layer])),
        )
        for layer in range(len(told.absolute))
    )
    return ReportTable(name, tuple(ReportColumn(head) for head in heads), rows)


def reading_of(found: ParityFindings) -> list[str]:
    """The findings in sentences."""
    ran = [one for one in found.tools if one.alone is not None]
    verdicts = {one.name: verdict_of(one, found) for one in ran}
    told = []
    for words in EQUAL:
        names = [name for name, verdict in verdicts.items() if verdict == words]
        told += [f"{words}: {', '.join(names)}"] if names else []
    told += [f"{name} {verdict}" for name, verdict in verdicts.items() if verdict.startswith("differs")]
    told += [f"{one.name} {verdict_of(one, found)}" for one in found.tools if one.alone is None]
    steered = {name: one.words for name, one in found.steering.items() if not isinstance(one, str)}
    for words in EQUAL:
        names = [name for name, said in steered.items() if said == words]
        told += [f"steering {words}: {', '.join(names)}"] if names else []
    told += [f"{name}, steering, {said}" for name, said in steered.items() if said not in EQUAL]
    told += [
        f"{name}, steering, not run: {one}"
        for name, one in found.steering.items()
        if name in found.study.steered and isinstance(one, str)
    ]
    return told


def study_lines(studies: Iterable[ParityFindings]) -> Iterator[str]:
    """A line for each study of a sweep: which tools read the same, which do not, and which steer otherwise."""
    for found in studies:
        tools: dict[str, list[str]] = {}
        for one in found.tools:
            tools.setdefault(verdict_of(one, found).partition(":")[0], []).append(one.name)
        wrong = [name for name, one in found.steering.items() if not isinstance(one, str) and one.words not in EQUAL]
        tools |= {"steering differs": wrong} if wrong else {}
        said = "; ".join(f"{words}: {', '.join(names)}" for words, names in tools.items())
        yield f"parity {found.study.model}, {found.study.behavior}: {said}"


def tables_of(found: ParityFindings) -> list[ReportTable]:
    """Those for a terminal."""
    singles = [one for one in found.faults if len(one.candidate.names) == 1]
    steering = _steering_tables(found)
    costs = [one] if (one := costs_table(found)) is not None else []
    return [tools_table(found), settings_table(found), *([faults_table(singles)] if singles else []), *costs, *steering]


def parity_blocks(found: ParityFindings, diagnosis: Diagnosis | None = None) -> list[Block]:
    """The whole page."""
    study = found.study
    said = [*reading_of(found), *([f"the direction given: {diagnosis.words}"] if diagnosis is not None else [])]
    prompts = f"{study.prompts[0]} + {study.prompts[1]} contrast prompts of {study.behavior}"
    blocks: list[Block] = [
        Heading(1, f"Tooling parity: {study.model}"),
        Paragraph(f"{prompts}, {study.dtype}."),
        Bullets(tuple(said)),
        Heading(2, "Tools"),
        tools_table(found),
        Heading(2, "What is read"),
        sites_table(found),
        Heading(2, "What a right reading depends on"),
        settings_table(found),
    ]
    singles = [one for one in found.faults if len(one.candidate.names) == 1]
    pairs = [one for one in found.faults if len(one.candidate.names) == 2]
    if singles:
        blocks += [Heading(2, "Planted mistakes"), faults_table(singles)]
        blocks += [Fold(3, "What each of them is", (mistakes_meant(singles),))]
        blocks += [Fold(3, "Layer by layer: cosine to the clean direction", (mistake_layers_table(singles),))]
        blocks += [Fold(3, "Two mistakes together", (faults_table(pairs),))] if pairs else []
    if (costs := costs_table(found)) is not None:
        blocks += [Heading(2, "What the mistakes cost"), costs]
    elif singles:
        blocks += [Paragraph("How often steering with these directions succeeds, and what it damages: --rates 8 measures it.")]
    if found.steering:
        blocks += [Heading(2, "Steering"), *_steering_tables(found)]
    blocks += [Heading(2, "Layer by layer")]
    blocks += [Fold(3, one.name, (layers_table(one.name, one.alone),)) for one in found.tools if one.alone is not None]
    return blocks


def study_tables(studies: Iterable[ParityFindings]) -> Iterator[ReportTable]:
    """Those of the studies of a sweep, each under the model and behavior that it is of."""
    for found in studies:
        of = f"{found.study.model}, {found.study.behavior}"
        tables = [tools_table(found), sites_table(found), settings_table(found)]
        singles = [one for one in found.faults if len(one.candidate.names) == 1]
        tables += [faults_table(singles)] if singles else []
        tables += [costs] if (costs := costs_table(found)) is not None else []
        tables += _steering_tables(found)
        said = tuple(line for line in reading_of(found) if "differs" in line or "looks like" in line or "not run" in line)
        tables[0] = replace(tables[0], notes=(*tables[0].notes, *said))
        yield from (replace(table, title=f"{table.title}: {of}") for table in tables)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}"


def _cosine(value: float) -> str:
    """With as many digits as say something; nothing where there is none."""
    if math.isnan(value):
        return ""
    return "1" if value > 1 - 1e-12 else f"1-{1 - value:.0e}" if value > 0.9995 else f"{value:.3f}"
