"""The paper's own statistics against its own counts: every interval, p-value, effect size and ratio that it states.

Counts are n times the printed rate. A number agrees when the recomputed one, rounded as the paper prints it, is the same;
one stated as "about" may be off by one in its last digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import yaml

from orchestrator.paper.tables import MODELS, Measurement, PaperTable, Span, data_text, decimals_of, paper_tables, table_name
from orchestrator.statistics import cohens_h, effectively_steerable, fisher, p_text, transfer_effectiveness, wilson

CheckKind = Literal["wilson", "fisher", "cohens_h", "margin", "te", "te_interval", "contradiction"]

Counts = tuple[int, int]


@dataclass(frozen=True)
class Check:
    """One statement of the paper: ``where`` it stands, ``about`` what, as ``stated``, as recomputed (``found``)."""

    kind: CheckKind
    where: str
    about: str
    stated: str
    found: str
    agrees: bool
    slight: bool = False

    @property
    def verdict(self) -> str:
        """``agrees`` or ``differs``; a ``slight`` difference is one in the last digit."""
        return "agrees" if self.agrees else "differs (last digit)" if self.slight else "differs"


def audit(tables: Sequence[PaperTable] | None = None) -> tuple[Check, ...]:
    """Every check; with ``tables`` only what those state, without the text's statements."""
    chosen = paper_tables() if tables is None else tables
    measured = [one for table in chosen for one in table.measured]
    checks = [check for one in measured for check in _of_measurement(one)]
    if tables is None:
        claims = yaml.safe_load(data_text("claims.yaml"))
        checks += [_of_tables(claim, chosen) if claim["kind"] in _OF_TABLES else _of_claim(claim) for claim in claims]
        checks += contradictions(measured)
    return tuple(checks)


def contradictions(measured: Iterable[Measurement]) -> list[Check]:
    """Conditions for which two tables give different counts at the same n: greedy decoding should give one."""
    seen: dict[tuple[object, ...], Measurement] = {}
    found: dict[tuple[object, ...], Check] = {}
    for one in measured:
        if one.counts is None:
            continue
        key = _condition(one)
        first = seen.setdefault(key, one)
        if first.counts is not None and first.counts != one.counts:
            places = [f"{counts[0]}/{counts[1]} ({table_name(of.table)})" for of in (first, one) if (counts := of.counts)]
            where = f"{table_name(first.table)}, {table_name(one.table)}"
            unsure = "" if None not in (first.layer, one.layer) else " (one prints the depth only)"
            found.setdefault(key, Check("contradiction", where, f"{first.condition}{unsure}", places[0], places[1], False))
    return list(found.values())


def _of_measurement(one: Measurement) -> list[Check]:
    where, checks = table_name(one.table), []
    if one.interval is not None and one.counts is not None:
        checks.append(_interval(where, one.condition, one.interval, one.counts))
    if one.te is not None and one.te_interval is not None and one.counts is not None and one.control is not None:
        n = one.counts[1]
        checks += _transfer(where, one, (one.counts, (round(one.control * n / 100), n)))
    return checks


def _transfer(where: str, one: Measurement, arms: tuple[Counts, Counts]) -> list[Check]:
    stated, span = one.te or "", one.te_interval
    te = transfer_effectiveness(_outcomes(arms[0]), _outcomes(arms[1]), "independent")
    if te.value is None or te.low is None or te.high is None or span is None:
        return []
    about = f"{one.condition}: {_of(arms[0])} over {_of(arms[1])}"
    found = Span(te.low, te.high, span.decimals)
    value = f"{te.value:.{decimals_of(stated)}f}"
    return [
        Check("te", where, about, stated, value, value == stated),
        Check("te_interval", where, about, str(span), f"{found} (independent)", str(found) == str(span)),
    ]


def _interval(where: str, about: str, stated: Span, counts: Counts) -> Check:
    interval = wilson(*counts)
    found = Span(100 * interval.low, 100 * interval.high, stated.decimals)
    apart = max(abs(found.low - stated.low), abs(found.high - stated.high))
    slight = apart <= 1.5 * 10.0**-stated.decimals
    return Check("wilson", where, f"{about}: {_of(counts)}", str(stated), str(found), str(found) == str(stated), slight)


def _of_claim(claim: dict[str, str]) -> Check:
    where, about, stated, first = f"section {claim['where']}", claim["about"], claim["stated"], _counts(claim["first"])
    if claim["kind"] == "wilson":
        return _interval(where, about, Span.of(stated), first)
    if claim["kind"] == "margin":
        found = _margin(first)
        return Check("margin", where, f"{about}: {_of(first)}", stated, f"{found:.1f}", *_agrees(stated, found))
    second = _counts(claim["second"])
    about = f"{about}: {_of(first)}, {_of(second)}"
    if claim["kind"] == "cohens_h":
        h = abs(cohens_h(*first, *second))
        return Check("cohens_h", where, about, stated, f"{h:.{decimals_of(stated)}f}", *_agrees(stated, h))
    p, one_sided = fisher(*first, *second), fisher(*first, *second, "greater")
    found_text = f"{p_text(p)} (one-sided {p_text(one_sided)})"
    return Check("fisher", where, about, stated, found_text, *_agrees(stated, p))


_OF_TABLES = ("models", "rates", "norms")
_SHOWN = 3
"""Rates that are named of those that contradict a statement."""


def _of_tables(claim: dict[str, str], tables: Sequence[PaperTable]) -> Check:
    """A statement about what the tables hold, against them; what they hold against it is named."""
    if claim["kind"] == "models":
        (table,) = (one for one in tables if one.table == claim["table"])
        found, agrees = f"{len(table.rows)} ({table_name(table.table)})", len(table.rows) == int(claim["count"])
    else:
        steered = [one for table in tables for one in table.measured if one.steered]
        against = _rates_between(claim, steered) if claim["kind"] == "rates" else _norms_against(claim, steered)
        found, agrees = _listed(against), not against
    return Check("contradiction", claim["where"], claim["about"], claim["stated"], found, agrees)


def _rates_between(claim: dict[str, str], measured: Sequence[Measurement]) -> list[str]:
    """The rates strictly inside the gap that is claimed, each condition and rate once; without the one that is excepted."""
    span, (model, rate) = Span.of(claim["between"]), claim["but"].split()
    inside = [one for one in measured if span.low < one.coherent < span.high]
    told = [f"{one.coherent:.0f} % ({one.condition})" for one in inside if (one.model, round(one.coherent)) != (model, int(rate))]
    return list(dict.fromkeys(told))


def _norms_against(claim: dict[str, str], measured: Sequence[Measurement]) -> list[str]:
    """Where steering works with a norm outside the range, or does not with one inside it."""
    span = Span.of(claim["between"])
    return [
        f"{one.norm:g} at {one.coherent:.0f} % ({one.condition})"
        for one in measured
        if one.norm is not None and one.counts is not None
        if effectively_steerable(*one.counts) != (span.low <= one.norm <= span.high)
    ]


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more or "nothing against it in the tables"


def _margin(counts: Counts) -> float:
    """How far the interval reaches from the rate to its farther end, in percentage points."""
    interval, rate = wilson(*counts), counts[0] / counts[1]
    return 100 * max(rate - interval.low, interval.high - rate)


def _agrees(stated: str, found: float) -> tuple[bool, bool]:
    """Whether ``found`` rounds to ``stated``, and whether it is at most one off in the last digit, which ``about`` allows."""
    if stated.startswith("<"):
        return found < float(stated.removeprefix("<")), False
    number = stated.removeprefix("about ")
    steps = abs(found - float(number)) * 10.0 ** decimals_of(number)
    slight = steps <= 1.5 + 1e-9
    return (slight if number != stated else steps <= 0.5 + 1e-9), slight


def _condition(one: Measurement) -> tuple[object, ...]:
    layer = one.layer
    if layer is None and one.depth is not None:
        layer = one.depth * MODELS[one.model].n_layers // 100
    axes = (one.model, one.origin, one.steered, one.method, one.selected, one.multiplier, one.quantization, one.extractor)
    return (*axes, layer, one.n)


def _counts(text: str) -> Counts:
    k, n = text.split("/")
    return int(k), int(n)


def _of(counts: Counts) -> str:
    return f"{counts[0]}/{counts[1]}"


def _outcomes(counts: Counts) -> list[bool]:
    return [True] * counts[0] + [False] * (counts[1] - counts[0])
