"""Rows grouped into series: the cells that differ only in layer and multipliers, with the baseline they compare to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from actors.types import Action
from orchestrator.method_text import options_text
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import AXES, SETTING, STEERED, UNSTEERED, condition
from orchestrator.results.rows import CellRow
from orchestrator.untrusted import visible


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


def _worded(column: str) -> _Part:
    """The value of a text column, in words; of any other column, with its name."""

    def words(row: CellRow) -> str:
        value = getattr(row, column)
        return (value or "").replace("_", " ") if isinstance(value, str | None) else f"{column} {value}"

    return words


def _read_by(row: CellRow) -> str:
    return f"read by {row.extractor}"


def _steers(row: CellRow) -> str:
    return "" if row.steers is None else f"of {row.steers}"


def decoding_text(row: CellAxes) -> str:
    """``100 new tokens``, and where they were drawn how: ``temperature 0.7, top-p 0.9, 5 samples, seed 0``."""
    thought = "" if row.max_thought_tokens is None else f"{row.max_thought_tokens} thought and "
    parts = [f"{thought}{row.max_new_tokens} new tokens"]
    if row.temperature:
        parts += [f"temperature {row.temperature:g}", *([f"top-p {row.top_p:g}"] if row.top_p < 1 else [])]
        parts += [f"{row.samples} sample{'s' if row.samples > 1 else ''}", f"seed {row.seed}"]
    return ", ".join(parts)


_OF_ACTION = {"scope", "steers", "when", "then", "then_multipliers", "orthogonal", *Action.names()}
_PARTS: tuple[_Part, ...] = (
    lambda row: f"direction from {row.source_model}" if row.is_transfer else "",
    lambda row: row.method or "",
    lambda row: options_text(row.method, row.method_options, row.site),
    _read_by,
    _worded("scope"),
    lambda row: row.kind or row.intervention or "",
    _steers,
    *(_worded(column) for column, axis in AXES.items() if axis is Axis.STEERING and column not in _OF_ACTION),
    decoding_text,
)


def kind_words(row: CellRow, among: Sequence[CellRow]) -> list[str]:
    """How a cell is steered but for whose direction it is, where and how strongly; some of it only where it differs ``among``
    rows."""
    return [part(row) for part in _PARTS[1:] if part not in (_read_by, decoding_text) or _tells(part, among)]


def series_of(rows: Iterable[CellRow]) -> list[Series]:
    """The series of ``rows``, in the order of their first row. A baseline alone is a series too."""
    rows = list(rows)
    baselines = {_target(row): row for row in rows if not row.steered}
    places: dict[tuple[object, ...], list[CellRow]] = {}
    for row in rows:
        if row.steered:
            places.setdefault(condition(row, SETTING), []).append(row)
    used = {_target(found[0]) for found in places.values()}
    groups = [(baselines.get(_target(found[0])), sorted(found, key=_place)) for found in places.values()]
    groups += [(row, []) for key, row in baselines.items() if key not in used]
    order = {row.key: number for number, row in reversed(list(enumerate(rows)))}
    groups.sort(key=lambda group: min(order[row.key] for row in (group[0], *group[1]) if row is not None))
    firsts = [first for baseline, found in groups if (first := found[0] if found else baseline) is not None]
    titles = _Titles(firsts)
    return [Series(titles.of(first), baseline, tuple(found)) for first, (baseline, found) in zip(firsts, groups, strict=True)]


def planned_in(series: Series, planned: Iterable[CellAxes]) -> int:
    """How many cells of the plan belong to a series: those that differ from its cells in layer and multipliers only, and its
    baseline. Of a baseline alone: all cells of its model and behavior."""
    target = _test(series.rows[0])
    kinds = {_kind(row) for row in series.steered}
    return sum(_test(axes) == target and (axes.multiplier is None or not kinds or _kind(axes) in kinds) for axes in planned)


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
    return "" if row.relative_depth is None else f"{100 * row.relative_depth:.0f} %"


def multiplier_text(row: CellRow) -> str:
    """The multiplier without needless zeros; ``-`` for a baseline."""
    return "-" if row.multiplier is None else f"{row.multiplier:g}"


def cell_text(row: CellRow) -> str:
    """A steered cell in words: ``L15+ x 8``."""
    return f"{layer_text(row)} x {multiplier_text(row)}"


def then_text(row: CellRow) -> str:
    """How strong further directions are: ``, then x 5``; empty where there are none."""
    return "".join(f", then x {one:g}" for one in row.then_multipliers or ())


def setting_text(row: CellRow) -> str:
    """A steered cell among those of its series: ``L15+ x 8, then x 5``."""
    return cell_text(row) + then_text(row)


def mostly(row: CellRow, garbled: int) -> bool:
    """More than half of the cell's responses."""
    return 2 * garbled > row.n


def _target(row: CellRow) -> tuple[object, ...]:
    return condition(row, STEERED)


def _test(axes: CellAxes) -> tuple[object, ...]:
    """As ``_target``, of what a plan says."""
    return (axes.n, *condition(axes, STEERED | {Axis.PROMPTS}))


def _kind(axes: CellAxes) -> tuple[object, ...]:
    return condition(axes, UNSTEERED | SETTING)


def _place(row: CellRow) -> tuple[tuple[int, ...], bool, tuple[float, ...], float]:
    return (row.layers or (), row.layer_selected, row.then_multipliers or (), row.multiplier or 0.0)


def _run(layers: Sequence[int]) -> bool:
    return layers == tuple(range(layers[0], layers[-1] + 1))


class _Titles:
    """What names a series: model, behavior, what tells it from others of the same two, and how it is steered wherever that
    tells any, but for another behavior's direction, which is always named. ``firsts``: a cell of each series."""

    def __init__(self, firsts: Sequence[CellRow]) -> None:
        groups: dict[tuple[str, str], list[CellRow]] = {}
        for row in firsts:
            groups.setdefault(_named(row), []).append(row)
        steered = [[one for one in found if one.steered] for found in groups.values()]
        self._steering = [
            part for part in _PARTS if part in (_PARTS[0], _steers) or any(_tells(part, found) for found in steered)
        ]
        self._own = {name: [part for part in (_weights, _digest) if _tells(part, found)] for name, found in groups.items()}

    def of(self, row: CellRow) -> str:
        """The title of the series that ``row`` is the first cell of."""
        own = self._own[_named(row)]
        parts = [_weights(row)] if _weights in own else []
        parts += [_prompts(row)] if _digest in own else []
        parts += [f"asked {row.asked}"] if row.asked else []
        parts += [part(row) for part in self._steering] if row.steered else []
        return visible(" · ".join(word for word in (row.model, row.behavior, *parts) if word))


def _digest(row: CellRow) -> str:
    return row.prompts_sha256 or ""


def _weights(row: CellRow) -> str:
    return row.dtype if row.quantization == "none" else row.quantization


def _prompts(row: CellRow) -> str:
    return {True: "prompts that chose the setting", False: "held-out prompts", None: f"{row.n} prompts"}[row.in_sample]


def _tells(part: _Part, rows: Sequence[CellRow]) -> bool:
    return len({part(row) for row in rows}) > 1


def _named(row: CellRow) -> tuple[str, str]:
    return (row.model, row.behavior)
