"""Comparisons, the paper beside a sweep, and the paper's audit: as tables for a terminal and as plain data for JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.compare.beside import Beside
from orchestrator.compare.comparison import Comparison, Paired, Side
from orchestrator.counting import counted
from orchestrator.errors import plain
from orchestrator.paper.audit import Check
from orchestrator.paper.tables import Measurement, PaperTable
from orchestrator.statistics import (
    TransferEffectiveness,
    effectiveness_text,
    interval_text,
    p_text,
    percent_text,
    wilson,
)
from orchestrator.uncut import Uncut

KIND_WORDS = {
    "wilson": "95 % interval",
    "fisher": "Fisher's p",
    "cohens_h": "Cohen's h",
    "margin": "margin of a 95 % interval",
    "te": "TE",
    "te_interval": "95 % interval of TE",
    "contradiction": "one condition, two rates",
}
_PAIRED_TESTS = {False: "McNemar's exact", True: "sign-flip by prompt"}
"""Whether a prompt has several answers -> the name of the paired test."""

FOOTNOTE = (
    "points: A - B, percentage points. p: {unpaired}, two-sided. h: Cohen's. paired p: {paired}, on the same prompts. "
    "Holm: adjusted for every comparison of the table."
)
PAPER_FOOTNOTE = (
    "points: ours - the paper's. p: Fisher's exact on both counts, Holm-adjusted within a table. The paper's labels are one "
    "rater's, ours a classifier's; its 50-prompt set is not published, so that at n = 50 the prompts differ."
)


def render_comparisons(comparisons: Sequence[Comparison]) -> list[RenderableType]:
    """One comparison in full, several as a table; notes once each. Lines (``Text``) may be longer than the terminal is wide."""
    notes = dict.fromkeys(note for one in comparisons for note in one.notes)
    told = [render_note(note) for note in notes]
    if len(comparisons) == 1:
        return [*_in_full(comparisons[0]), *told]
    return [_table(comparisons), Text(_footnote(comparisons), style="dim"), *told]


def _footnote(comparisons: Sequence[Comparison]) -> str:
    grouped = ", or with several answers to a prompt "
    by_kind = sorted(comparisons, key=lambda one: (one.several, one.paired is None))
    unpaired = grouped.join(" or ".join(names) for names in _by_several(by_kind, _test))
    paired = grouped.join(_PAIRED_TESTS[several] for several in sorted({one.several for one in comparisons}))
    return FOOTNOTE.format(unpaired=unpaired, paired=paired)


def _by_several(comparisons: Iterable[Comparison], name: Callable[[Comparison], str]) -> list[list[str]]:
    """The names of those with one answer to each prompt, and of the others, each once."""
    groups = groupby(comparisons, key=lambda one: one.several)
    return [list(dict.fromkeys(map(name, group))) for _, group in groups]


def _test(one: Comparison) -> str:
    """The name of the unpaired test."""
    if not one.several:
        return "Fisher's exact"
    return f"clustered by prompt ({'interval of the difference' if one.paired is None else 'cluster-robust t'})"


def render_note(note: str) -> RenderableType:
    """A remark under a table."""
    return Text(plain(f"note: {note}"), style="yellow")


def comparison_json(one: Comparison) -> dict[str, object]:
    """A comparison as plain data; rates are shares (0 to 1), ``points`` percentage points."""
    return {
        "label": one.counted,
        "target": sorted({row.target for row in (*one.a.rows, *one.b.rows) if row.target}),
        "a": _side_json(one.a),
        "b": _side_json(one.b),
        "points": one.points,
        "test": _test(one),
        "p": one.p,
        "p_holm": one.p_holm,
        "cohens_h": one.h,
        "paired": None if one.paired is None else _paired_json(one.paired, _PAIRED_TESTS[one.several]),
        "transfer_effectiveness": te_json(one.te),
        "differs": list(one.differs),
        "notes": list(one.notes),
    }


def te_json(te: TransferEffectiveness | None) -> dict[str, object] | None:
    """TE as plain data; ``unbounded`` where the interval has no upper end (JSON has no infinity)."""
    if te is None:
        return None
    unbounded = te.high is not None and math.isinf(te.high)
    return {
        "value": te.value,
        "low": te.low,
        "high": None if unbounded else te.high,
        "unbounded": unbounded,
        "bootstrap": te.kind,
        "exact": te.exact,
    }


def render_audit(checks: Sequence[Check]) -> list[RenderableType]:
    """What differs, then what differs in the last digit only, then what agrees."""
    ordered = sorted(checks, key=lambda check: (check.agrees, check.slight and not check.agrees))
    agreeing = sum(check.agrees for check in checks)
    total = (
        f"{len(checks)} statements of the paper, recomputed from its counts: {agreeing} agree, {len(checks) - agreeing} differ"
    )
    return [*map(_check, ordered), Text(total)]


def _check(check: Check) -> Text:
    style = "" if check.agrees else "yellow" if check.slight else "bold red"
    told = Text(check.verdict, style=style).append(f"  {KIND_WORDS[check.kind]}, {check.where}: {check.about}", style="default")
    words = ("", " and ") if check.kind == "contradiction" else ("paper ", ", the counts give ")
    return told.append(f"\n    {words[0]}{check.stated}{words[1]}{check.found}", style="default")


def audit_json(checks: Sequence[Check]) -> list[dict[str, object]]:
    """Every check as plain data."""
    return [{**vars(check), "verdict": check.verdict} for check in checks]


def render_beside(tables: Sequence[PaperTable], found: Sequence[Beside], missing: Sequence[Measurement]) -> list[RenderableType]:
    """A table for each of the paper's that the sweep meets, then what it did not run."""
    parts: list[RenderableType] = []
    for table in tables:
        ours = [one for one in found if one.measurement.table == table.table]
        if ours:
            parts.append(_beside_table(table, ours))
    parts += [Text(PAPER_FOOTNOTE, style="dim")] if parts else []
    for table in tables:
        names = [_condition(one) for one in missing if one.table == table.table]
        if names:
            parts.append(Text(f"not in this sweep, {table.title}: {'; '.join(names)}"))
    return parts


def beside_json(found: Sequence[Beside], missing: Sequence[Measurement]) -> dict[str, object]:
    """The same for programs."""
    return {"paper": [_beside_json(one) for one in found], "not_in_this_sweep": [_measurement_json(one) for one in missing]}


def _in_full(one: Comparison) -> list[RenderableType]:
    lines = [f"{name}  {side.name}" for name, side in (("A", one.a), ("B", one.b))]
    rates = [f"   {one.words} {_rate(side)}" + _steerable(one, side) for side in (one.a, one.b)]
    lines = [line for pair in zip(lines, rates, strict=True) for line in pair]
    paired = _PAIRED_TESTS[one.several]
    lines.append(f"A - B  {one.points:+.1f} points   {_test(one)} p {p_text(one.p)}   Cohen's h {one.h:+.2f}")
    if one.paired is not None:
        only = "more often" if one.several else "only"
        of = f"{one.paired.only_a} {only} in A, {one.paired.only_b} {only} in B"
        lines.append(f"paired on the same {counted(one.paired.n, 'prompt')}: {of}   {paired} p {p_text(one.paired.p)}")
    if one.te is not None:
        how = f"{one.te.kind} bootstrap over prompts" + (", exact" if one.te.exact else "")
        lines.append(f"transfer effectiveness {effectiveness_text(one.te)}   95 %, {how}")
    lines.append(f"differ in: {', '.join(one.differs) or 'nothing that the tables hold'}")
    return [Text(plain(line)) for line in lines]


def _table(comparisons: Sequence[Comparison]) -> Uncut:
    against = {one.b.name for one in comparisons}
    title = f"{comparisons[0].words}, B: {', '.join(sorted(against))}"
    table = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=Text(plain(title), style="bold"), title_justify="left"
    )
    with_te = any(one.te is not None for one in comparisons)
    heads = ["A", "A %", "B %", "points", "p\nHolm", "h", "paired p\nHolm", *(["TE"] if with_te else [])]
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left", no_wrap=place > 0, overflow="fold")
    for one in comparisons:
        paired = "-" if one.paired is None else _tested(one.paired.p, one.paired.p_holm)
        cells = [
            one.a.name.replace(", ", "\n"),
            _stacked(one.a),
            _stacked(one.b),
            f"{one.points:+.1f}",
            _tested(one.p, one.p_holm),
        ]
        cells += [f"{one.h:+.2f}", paired, *([_te(one.te)] if with_te else [])]
        table.add_row(*(Text(plain_lines(cell)) for cell in cells))
    return Uncut(table)


def plain_lines(text: str) -> str:
    """``plain`` line by line."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _te(te: TransferEffectiveness | None) -> str:
    return "-" if te is None else f"{effectiveness_text(te).replace(' ', chr(10), 1)}\n{te.kind}"


def _rate(side: Side) -> str:
    cells = f", {len(side.rows)} cells" if len(side.rows) > 1 else ""
    return f"{percent_text(side.k, side.n)} % {interval_text(side.interval)} {side.k}/{side.n}{cells}"


def _stacked(side: Side) -> str:
    return f"{percent_text(side.k, side.n)} {side.k}/{side.n}\n{interval_text(side.interval)}"


def _steerable(one: Comparison, side: Side) -> str:
    return "   effectively steerable (60 % or more)" if one.of_success and side.steerable else ""


def _tested(p: float | None, p_holm: float | None) -> str:
    return "\n".join("-" if one is None else p_text(one) for one in (p, p_holm))


def _side_json(side: Side) -> dict[str, object]:
    interval = side.interval
    return {
        "selection": side.name,
        "cells": [row.cell_id for row in side.rows],
        "k": side.k,
        "n": side.n,
        "rate": side.rate,
        "low": interval.low,
        "high": interval.high,
        "effectively_steerable": side.steerable,
        "in_sample": side.in_sample,
    }


def _paired_json(paired: Paired, test: str) -> dict[str, object]:
    counts = {"prompts": paired.n, "only_a": paired.only_a, "only_b": paired.only_b}
    return {**counts, "test": test, "p": paired.p, "p_holm": paired.p_holm}


def _beside_table(paper: PaperTable, ours: Sequence[Beside]) -> Uncut:
    title = Text(f"{paper.title}: {paper.caption}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title, title_justify="left")
    for place, head in enumerate(("condition", "paper %", "ours %", "points", "p\nHolm", "also")):
        table.add_column(head, justify="right" if 0 < place < 5 else "left", no_wrap=0 < place < 5, overflow="fold")
    for one in ours:
        k, n = one.row.count("success"), one.row.n
        cells = (
            one.measurement.condition,
            _paper_rate(one.measurement),
            f"{percent_text(k, n)} {k}/{n}\n{interval_text(one.row.interval('success'))}",
            f"{one.points:+.1f}",
            _tested(one.p, one.p_holm),
            "; ".join((*_other_words(one), *one.notes)),
        )
        table.add_row(*(Text(plain_lines(cell)) for cell in cells))
    return Uncut(table)


def _other_words(one: Beside) -> list[str]:
    words = [f"{name} {ours:.3g} (paper {paper:.3g})" for name, paper, ours in one.others]
    if one.te is not None:
        words.append(f"TE {effectiveness_text(one.te)} {one.te.kind} (paper {one.measurement.te} {one.measurement.te_interval})")
    return words


def _paper_rate(one: Measurement) -> str:
    if one.counts is None:
        return f"{one.coherent:g}\nn not given"
    return f"{one.coherent:g} {one.counts[0]}/{one.counts[1]}\n{interval_text(wilson(*one.counts))}"


def _condition(one: Measurement) -> str:
    return f"{one.condition} ({one.coherent:g} %" + (")" if one.n is None else f" of {one.n})")


def _measurement_json(one: Measurement) -> dict[str, object]:
    counts = one.counts
    interval = None if counts is None else wilson(*counts)
    return {
        "table": one.table,
        "condition": one.condition,
        "percent": one.coherent,
        "k": None if counts is None else counts[0],
        "n": one.n,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
    }


def _beside_json(one: Beside) -> dict[str, object]:
    k, n = one.row.count("success"), one.row.n
    row = one.row
    return {
        "paper": _measurement_json(one.measurement),
        "ours": {"cell": row.cell_id, "k": k, "n": n, "rate": k / n, "low": row.success_low, "high": row.success_high},
        "points": one.points,
        "fisher_p": one.p,
        "fisher_p_holm": one.p_holm,
        "transfer_effectiveness": te_json(one.te),
        "others": [{"what": name, "paper": paper, "ours": ours} for name, paper, ours in one.others],
        "notes": list(one.notes),
    }
