"""Arms at equal damage: steerings whose strengths were chosen to move neutral prompts alike, each against the first one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.compare.comparison import Comparison, Question, Reader, adjusted, compare, side_of
from orchestrator.errors import InputError
from orchestrator.method_text import method_text
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.report.values import kl_value, main_outcomes, number, planned_note, rate_columns, rate_values, where_text
from orchestrator.results.rows import CellRow
from orchestrator.statistics import Mean, mean_of, p_text

_LOG = logging.getLogger(__name__)

_COLUMNS = (
    ReportColumn("model", left=True),
    ReportColumn("behavior", left=True),
    ReportColumn("KL wanted"),
    ReportColumn("arm", left=True),
    ReportColumn("method", left=True, spare=3),
    ReportColumn("where", left=True, spare=2),
    ReportColumn("mult.", spare=1),
    ReportColumn("KL"),
)
_LAST = (ReportColumn("points against the first"), ReportColumn("p", spare=1), ReportColumn("p (Holm)", "Holm"))
_NOTE = (
    "Every arm at the strength that was to have the wanted KL on neutral prompts, and at the layer that succeeded most there, "
    "chosen from an earlier grid; KL: what it has. Points: the arm's rate less the first arm's, prompt by prompt, with a t "
    "interval over prompts; p: McNemar's exact test (where a prompt has several answers the sign-flip test by prompt), "
    "Holm-adjusted over this table."
)


STRONGEST = "‡"
"""Marks the KL of an arm that was not to reach the wanted one."""
_WEAK = f"{STRONGEST} the strongest of the settings that were tried: it does less damage than the others, and is not matched."


@dataclass(frozen=True)
class ArmFound:
    """An arm with its cell, named by its grid, and its method where the grid has several. ``against``: the comparison with the
    first arm, and ``points``: how much higher its rate is; None for the first one, and where the prompts are not the same.
    ``reached``: whether its strength was to do the wanted damage; else it is the strongest that was tried."""

    name: str
    row: CellRow
    against: Comparison | None = None
    points: Mean | None = None
    reached: bool = True


@dataclass(frozen=True)
class EqualDamage:
    """The arms that a model, a behavior and a wanted ``kl`` have in common, in the order of the sweep file."""

    model: str
    behavior: str
    kl: float
    arms: tuple[ArmFound, ...]


def equal_damages(matches: Sequence[Mapping[str, Any]], rows: Sequence[CellRow], read: Reader) -> list[EqualDamage]:
    """The finished arms of ``choices.json``; p-values are adjusted over all of them."""
    by_key = {row.key: row for row in rows if row.labelled and row.n}
    groups: dict[tuple[str, str, float], list[ArmFound]] = {}
    for one in matches:
        row = by_key.get((one["cell_id"], one["behavior"]))
        if row is not None:
            groups.setdefault((one["model"], one["behavior"], one["kl"]), []).append(
                ArmFound(one["grid"], row, reached=one.get("reached", True))
            )
    named = {key: _named(arms) for key, arms in groups.items()}
    compared = [(key, arms, _against_first(arms, read)) for key, arms in named.items()]
    p = iter(adjusted([one for _, _, found in compared for one in found if one is not None]))
    return [
        EqualDamage(*key, tuple(_with(arm, None if one is None else next(p)) for arm, one in zip(arms, found, strict=True)))
        for key, arms, found in compared
    ]


def _named(arms: Sequence[ArmFound]) -> list[ArmFound]:
    several = Counter(arm.name for arm in arms)
    return [
        replace(arm, name=f"{arm.name}: {method_text(arm.row.method, arm.row.method_options)}") if several[arm.name] > 1 else arm
        for arm in arms
    ]


def _against_first(arms: Sequence[ArmFound], read: Reader) -> list[Comparison | None]:
    first, question = arms[0], Question()
    found: list[Comparison | None] = [None]
    for arm in arms[1:]:
        try:
            ours, theirs = (side_of(one.name, [one.row], question, read) for one in (arm, first))
            found.append(compare(ours, theirs, question))
        except InputError as error:  # one cell for both, or labels that are gone
            _LOG.warning("%s is not compared with %s: %s", arm.name, first.name, error)
            found.append(None)
    return found


def _with(arm: ArmFound, against: Comparison | None) -> ArmFound:
    if against is None or against.paired is None:
        return replace(arm, against=against)
    ours, theirs = against.a.answers(), against.b.answers()
    differences = [100 * (sum(found) - sum(theirs[key])) / len(found) for key, found in ours.items()]
    return replace(arm, against=against, points=mean_of(differences, [" ".join(key) for key in ours], within=(-100.0, 100.0)))


def equal_damage_table(groups: Sequence[EqualDamage]) -> ReportTable | None:
    """A row for each arm; None where nothing was asked for at equal damage."""
    rows = [arm.row for group in groups for arm in group.arms]
    if not rows:
        return None
    outcomes = main_outcomes(rows)
    lines = [
        (*_about(group, arm), *rate_values(arm.row, outcomes, arm.row.in_sample is True), *_compared(arm))
        for group in groups
        for arm in group.arms
    ]
    weak = () if all(arm.reached for group in groups for arm in group.arms) else (_WEAK,)
    columns = (*_COLUMNS, *rate_columns(rows, outcomes), *_LAST)
    return ReportTable("Equal damage", columns, tuple(lines), (_NOTE, *weak, *planned_note(rows)))


def _about(group: EqualDamage, arm: ArmFound) -> Iterator[Value]:
    row = arm.row
    yield from (Value(group.model), Value(group.behavior), number(f"{group.kl:g}"), Value(arm.name))
    yield from (Value(method_text(row.method, row.method_options)), Value(where_text(row)), number(f"{row.multiplier:g}"))
    yield kl_value(row, "" if arm.reached else STRONGEST)


def _compared(arm: ArmFound) -> Iterator[Value]:
    one, points = arm.against, arm.points
    if one is None or one.paired is None or points is None:
        yield from (number("-"),) * 3
        return
    span = "" if points.low is None or points.high is None else f" [{points.low:+.1f}, {points.high:+.1f}]"
    yield from (number(f"{points.value:+.1f}{span}"), number(p_text(one.paired.p)))
    yield number(p_text(one.paired.p if one.paired.p_holm is None else one.paired.p_holm))
