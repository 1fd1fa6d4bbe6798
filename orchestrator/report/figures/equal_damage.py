"""Success of steerings that do equal damage, under each other."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.report.blocks import Row
from orchestrator.report.equal_damage import STRONGEST, ArmFound, EqualDamage
from orchestrator.report.figures.chart import Chart
from orchestrator.report.figures.dots import DotLook
from orchestrator.report.figures.tidy import rate_row
from orchestrator.report.findings import SweepFindings
from orchestrator.report.values import target_words
from orchestrator.untrusted import visible


def charts(found: SweepFindings) -> Iterator[Chart]:
    """A panel for each model and behavior: the arms, coloured by the KL at which they were matched."""
    panels: dict[tuple[str, str], list[EqualDamage]] = {}
    for group in found.equal_damage:
        panels.setdefault((group.model, group.behavior), []).append(group)
    for (model, behavior), groups in panels.items():
        rows = [_row(group, arm) for group in groups for arm in group.arms]
        words = target_words([arm.row for group in groups for arm in group.arms])
        look = DotLook("arm", "matched", words)
        yield Chart(visible(f"{model} · {behavior}: {words} at equal damage"), rows, look)


def _row(group: EqualDamage, arm: ArmFound) -> Row:
    damage = {"kl": arm.row.kl, "kl_low": arm.row.kl_low, "kl_high": arm.row.kl_high}
    name = visible(arm.name if arm.reached else f"{arm.name} {STRONGEST}")
    return {**rate_row(arm.row), "arm": name, "matched": f"KL {group.kl:g}", **damage}
