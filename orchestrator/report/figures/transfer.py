"""The transfer matrix: sources by targets, TE and the cosine of the two directions, grey where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from orchestrator.planned import IncomparablePair
from orchestrator.report.blocks import Row
from orchestrator.report.figures.chart import Chart, number_of
from orchestrator.report.figures.heat import HeatLook
from orchestrator.report.findings import SweepFindings
from orchestrator.report.series import kind_words
from orchestrator.report.transfer import missing_text
from orchestrator.report.values import IN_SAMPLE
from orchestrator.results.columns import Axis
from orchestrator.results.comparison_rows import TransferRow
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rows import CellRow
from orchestrator.untrusted import visible

TOP = 1.5
"""The end of the colour scale; a larger TE has its colour, and its number."""
LARGEST = 24
"""Models up to which the matrix is drawn with its numbers."""


@dataclass(frozen=True)
class Matrix:
    """``sources`` x ``targets``: per pair the transfer row that is shown, or the text of a pair that has no TE."""

    title: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    shown: dict[tuple[str, str], TransferRow]
    absent: dict[tuple[str, str], str]


_WITHIN = SETTING | {Axis.VARIANT, Axis.MODEL, Axis.QUANTIZATION, Axis.ORIGIN}
"""What the cells of one matrix differ in."""


def matrices(transfers: Sequence[TransferRow], incomparable: Sequence[IncomparablePair], rows: Iterable[CellRow]) -> list[Matrix]:
    """One matrix per behavior, method and kind of steering; ``rows``: the transfers' cells. A pair run at several places or
    strengths shows the one at which the target's self-control succeeds most: a choice that the transferred direction has no
    part in."""
    cells = {row.key: row for row in rows if row.is_transfer}
    kinds: dict[tuple[object, ...], list[TransferRow]] = {}
    for transfer in transfers:
        kinds.setdefault(condition(cells[transfer.key], _WITHIN), []).append(transfer)
    firsts = [cells[kind[0].key] for kind in kinds.values()]
    titles = [" · ".join(filter(None, ["Transfer: " + one.behavior, *kind_words(one, firsts)])) for one in firsts]
    return [_matrix(title, kind, incomparable) for title, kind in zip(titles, kinds.values(), strict=True)]


def charts(found: SweepFindings) -> Iterator[Chart]:
    """Of each matrix that can be read a panel of TE and one of the cosine between source and target."""
    for matrix in matrices(found.transfers, found.store.planned().incomparable, found.rows):
        if matrix.shown and max(len(matrix.sources), len(matrix.targets)) <= LARGEST:
            rows = [_pair(matrix, source, target) for source in matrix.sources for target in matrix.targets]
            yield Chart(f"{matrix.title}: TE", rows, _TE)
            if any(row["cosine"] is not None for row in rows):
                turned = [{**row, "te": row["value"], "value": row["cosine"]} for row in rows]
                yield Chart(f"{matrix.title}: cosine of the two directions", turned, _COSINE)


def _matrix(title: str, rows: Sequence[TransferRow], incomparable: Sequence[IncomparablePair]) -> Matrix:
    shown: dict[tuple[str, str], TransferRow] = {}
    for row in rows:
        kept = shown.get((row.source, row.target))
        if kept is None or (row.control_success_rate or 0.0) > (kept.control_success_rate or 0.0):
            shown[row.source, row.target] = row
    absent = {pair: missing_text(row) for pair, row in shown.items() if row.te is None}
    for pair in incomparable:
        widths = f"{pair.source_width} | {pair.target_width}"
        absent.setdefault((pair.source, pair.target), widths if pair.source_width != pair.target_width else "no match")
    names = [*shown, *((pair.source, pair.target) for pair in incomparable)]
    sources = tuple(dict.fromkeys(source for source, _ in names))
    targets = tuple(dict.fromkeys(target for _, target in names))
    both = [name for name in sources if name in targets]
    ordered = (*both, *(name for name in sources if name not in both)), (*both, *(name for name in targets if name not in both))
    return Matrix(title, *ordered, {pair: row for pair, row in shown.items() if row.te is not None}, absent)


def _pair(matrix: Matrix, source: str, target: str) -> Row:
    row = matrix.shown.get((source, target))
    absent = "own" if source == target else matrix.absent.get((source, target), "not run")
    told: dict[str, object] = dict.fromkeys(_COLUMNS) if row is None else {name: getattr(row, name) for name in _COLUMNS}
    names = {"source": visible(source), "target": visible(target)}
    told |= {"value": None if row is None else row.te, "low": told.pop("te_low"), "high": told.pop("te_high")}
    return {**names, **told, "cosine": told.pop("cross_cosine"), "absent": None if row else absent}


def _te_text(row: Row) -> str:
    if row["absent"]:
        return str(row["absent"])
    mark = IN_SAMPLE if row["in_sample"] else ""
    return f"{number_of(row, 'value'):.2f}{mark}\n{row['success_n']}/{row['n']} | {row['control_success_n']}/{row['control_n']}"


def _told(row: Row) -> str:
    if row["absent"]:
        return str(row["absent"])
    te, low, high = (number_of(row, name) for name in ("te" if "te" in row else "value", "low", "high"))
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    counts = f"{row['success_n']}/{row['n']} over {row['control_success_n']}/{row['control_n']}"
    cosine = number_of(row, "cosine")
    return f"TE {te:.2f}{ends}: {counts}" + ("" if cosine is None else f"\ncosine {cosine:.3f}")


def _cosine_text(row: Row) -> str:
    cosine = number_of(row, "cosine")
    return _te_text(row) if row["absent"] else "-" if cosine is None else f"{cosine:.2f}"


_COLUMNS = (
    *("method", "multiplier", "source_layer", "layer", "success_n", "n", "control_success_n", "control_n"),
    *("te_low", "te_high", "te_independent_low", "te_independent_high", "cross_cosine", "in_sample", "cell_id"),
)
_TE = HeatLook(
    *("source", "target", "source of the direction", "target (steered)", _te_text, _told),
    colours="viridis", ends=(0.0, TOP), dark_low=True, cell=(1.0, 0.46), unit="TE",
)  # fmt: skip
_COSINE = replace(_TE, text=_cosine_text, colours="RdBu", ends=(-1.0, 1.0), dark_low=False, unit="cos")
