"""Rows grouped into series: the cells that differ only in layer and multiplier, with the baseline they compare to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from orchestrator.report.untrusted import visible
from orchestrator.rows import CellRow


@dataclass(frozen=True)
class Series:
    """``steered`` cells by layers and multiplier; ``baseline`` is None when it was not run or is not finished.

    ``title`` names the model and the behavior, and whatever else tells this series from the others.
    """

    title: str
    baseline: CellRow | None
    steered: tuple[CellRow, ...]

    @property
    def rows(self) -> tuple[CellRow, ...]:
        """The baseline, then the steered cells."""
        return self.steered if self.baseline is None else (self.baseline, *self.steered)


_Part = Callable[[CellRow], str]

_PARTS: tuple[_Part, ...] = (
    lambda row: f"direction from {row.source_model}" if row.is_transfer else "",
    lambda row: row.method or "",
    lambda row: "" if row.method_options in (None, "{}") else str(row.method_options),
    lambda row: f"read by {row.extractor}",
    lambda row: (row.scope or "").replace("_", " "),
    lambda row: row.intervention or "",
    lambda row: f"{row.max_new_tokens} new tokens",
)


def series_of(rows: Iterable[CellRow]) -> list[Series]:
    """The series of ``rows``, in the order of their first row. A baseline alone is a series too."""
    rows = list(rows)
    baselines = {_target(row): row for row in rows if not row.steered}
    places: dict[tuple[object, ...], list[CellRow]] = {}
    for row in rows:
        if row.steered:
            places.setdefault(_key(row), []).append(row)
    used = {_target(found[0]) for found in places.values()}
    groups = [(baselines.get(_target(found[0])), sorted(found, key=_place)) for found in places.values()]
    groups += [(row, []) for key, row in baselines.items() if key not in used]
    order = {row.cell_id: number for number, row in reversed(list(enumerate(rows)))}
    groups.sort(key=lambda group: min(order[row.cell_id] for row in (group[0], *group[1]) if row is not None))
    telling = _telling([found[0] for _, found in groups if found])
    return [Series(_title(found[0] if found else baseline, telling), baseline, tuple(found)) for baseline, found in groups]


def layer_text(row: CellRow) -> str:
    """Where a cell is steered: ``L15+`` from layer 15 on, ``L15`` there only, ``L12,15`` a list, ``L10-20`` a run."""
    layers = row.layers or ()
    if not layers:
        return "none"
    if row.scope == "from_layer" or (
        len(layers) > 1 and row.n_layers is not None and _run(layers) and layers[-1] == row.n_layers - 1
    ):
        return f"L{layers[0]}+"
    if len(layers) > 2 and _run(layers):
        return f"L{layers[0]}-{layers[-1]}"
    shown = ",".join(str(layer) for layer in layers[:4])
    return f"L{shown}" + (",..." if len(layers) > 4 else "")


def depth_text(row: CellRow) -> str:
    """The first steered layer in percent of the depth: as asked in the sweep, else layer / layers; empty if unknown."""
    if row.depth is not None:
        return f"{100 * row.depth:.0f} %"
    if row.layer is None or not row.n_layers:
        return ""
    return f"{100 * row.layer / row.n_layers:.0f} %"


def multiplier_text(row: CellRow) -> str:
    """The multiplier without needless zeros; ``-`` for a baseline."""
    return "-" if row.multiplier is None else f"{row.multiplier:g}"


def cell_text(row: CellRow) -> str:
    """A steered cell in words: ``L15+ x 8``."""
    return f"{layer_text(row)} x {multiplier_text(row)}"


def mostly(row: CellRow, garbled: int) -> bool:
    """More than half of the cell's responses."""
    return 2 * garbled > row.n


def _target(row: CellRow) -> tuple[object, ...]:
    return (row.variant, row.model, row.behavior, row.max_new_tokens)


def _key(row: CellRow) -> tuple[object, ...]:
    steering = (row.method, row.method_options, row.extractor, row.source_model, row.scope, row.intervention)
    return (*_target(row), row.direction_id, *steering)


def _place(row: CellRow) -> tuple[tuple[int, ...], float]:
    return (row.layers or (), row.multiplier or 0.0)


def _run(layers: Sequence[int]) -> bool:
    return layers == tuple(range(layers[0], layers[-1] + 1))


def _telling(firsts: Sequence[CellRow]) -> list[_Part]:
    """The parts of a title that tell series of one model and behavior apart, and always a transfer's source."""
    groups = [list(found) for _, found in groupby(sorted(firsts, key=_named), key=_named)]
    return [part for part in _PARTS if part is _PARTS[0] or any(len({part(row) for row in found}) > 1 for found in groups)]


def _named(row: CellRow) -> tuple[str, str]:
    return (row.model, row.behavior)


def _title(row: CellRow | None, telling: Sequence[_Part]) -> str:
    if row is None:
        return ""
    extra = [part(row) for part in telling] if row.steered else []
    return visible(" · ".join(word for word in (row.model, row.behavior, *extra) if word))
