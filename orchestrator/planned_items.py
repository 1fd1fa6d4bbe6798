"""The items of a planned sweep as the results folder knows them, and which of them a word of the command line means."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.filters import ALIASES, WORDS, Filters
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.plan_file import PlannedCells, PlannedDirection
from orchestrator.scoring.planned import scoring_item

_COLUMNS = ("item", *(one.name for one in fields(CellAxes)), "layer", "relative_depth", "steered")
_ALIASES = {"cell": "item", "cell_id": "item", "id": "item", **ALIASES}
_ALLOWED = "model, behavior, method, layer, multiplier, ... (the axes of the cells)"
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class PlannedItem:
    """An item of a plan, or the scores that ``scorer`` gives a cell; ``model`` is its name in the sweep, ``kind`` that of an item
    that is neither a cell nor a direction. ``also``: the cell as further behaviors ask for it."""

    id: str
    model: str
    cell: CellAxes | None = None
    direction: PlannedDirection | None = None
    kind: str = ""
    scorer: str = ""
    also: tuple[CellAxes, ...] = ()

    @property
    def name(self) -> str:
        """The item in a few words."""
        if self.cell is not None:
            return axes_name(self.cell) + (f", scored by {self.scorer}" if self.scorer else "")
        return f"{self.model} {self.kind}" if self.direction is None else f"{self.model} direction by {self.direction.method}"

    def own(self) -> Mapping[str, object]:
        """What a filter may ask for beside the axes of the cell."""
        return {"item": self.id}


_T = TypeVar("_T", bound=PlannedItem)


def planned_items(planned: PlannedCells) -> list[PlannedItem]:
    """Every direction, then every cell, then every other item, in the plan's order."""
    names = {model.variant: model.name for model in planned.models}
    directions = [PlannedItem(id=one.id, model=names.get(one.variant, ""), direction=one) for one in planned.directions]
    asked = planned.by_id().items()
    cells = [PlannedItem(id=cell_id, model=one.model, cell=one, also=tuple(also)) for cell_id, (one, *also) in asked]
    others = [PlannedItem(id=one.id, model=names.get(one.variant, ""), kind=one.kind) for one in planned.others]
    return [*directions, *cells, *others]


def scoring_items(planned: PlannedCells, ids: Collection[str]) -> Iterator[PlannedItem]:
    """Those of ``ids`` that are scores of the plan's cells by its scorers."""
    if not any("." in one for one in ids):
        return
    cells = planned.by_id()
    for (scorer, cell_id), place in planned.scorings().items():
        if (item := scoring_item(scorer, cell_id)) in ids:
            cell = planned.cells[place]
            also = tuple(one for one in cells[cell_id] if one is not cell and scorer in planned.scorers_of(one.behavior))
            yield PlannedItem(id=item, model=cell.model, cell=cell, scorer=scorer, also=also)


def axes_name(axes: CellAxes) -> str:
    """A planned cell in a few words, as the progress display names it: ``smollm2 french layer 15 x8``."""
    words = [axes.model + (f"/{axes.quantization}" if axes.quantization != "none" else ""), axes.behavior]
    words += [f"asked {axes.asked}"] if axes.asked else []
    if axes.multiplier is None:
        return " ".join([*words, "unsteered"])
    if axes.method != "dim":
        words.append(str(axes.method))
    words += [f"of {axes.steers}"] if axes.steers else []
    if axes.is_transfer:
        words.append(f"direction from {axes.source_model}")
    if axes.layer_selected or axes.source_layer is not None:
        words.append("layer selected" if axes.source_layer is None else f"layer {axes.source_layer}")
    words.append(f"x{axes.multiplier:g}")
    return " ".join([*words, *filter(None, [axes.action])])


def chosen(items: Sequence[_T], filters: Sequence[str], field: str, own: Sequence[str] = ()) -> list[_T]:
    """Those that meet every filter, each a selection as ``compare`` takes it, with the columns ``own`` too.

    A column named twice takes either value. InputError for an unknown column, and for a value that none of ``items`` has.
    """
    known, wanted, asked = _wanted(items, filters, field, own)
    if asked:
        known.check(asked, wanted, field)
    found = {one.id for one in known.chosen(asked, wanted)}
    return [one for one in items if one.id in found]


def check_filters(items: Sequence[_T], filters: Sequence[str], field: str, own: Sequence[str] = ()) -> dict[str, list[str]]:
    """InputError for what :func:`chosen` would refuse if ``items`` were all that there could be; the values that are asked for of
    the columns ``own``, which they do not have."""
    known, wanted, asked = _wanted(items, filters, field, own)
    axes = {
        column: [one for one in values if not _is_score(column, one)] for column, values in wanted.items() if column not in own
    }
    known.check(asked, axes, field)
    return {column: values for column, values in wanted.items() if column in own}


def item_named(items: Sequence[_T], word: str, field: str = "cell") -> _T:
    """The one item that ``word`` means: an id or the beginning of one, or a selection. InputError for none or many."""
    if "=" in word or word.strip().casefold() in WORDS:
        found = chosen(items, [word], field)
    else:
        start = word.strip().casefold()
        found = [one for one in items if start and (one.id.startswith(start) or one.id.partition("-")[2].startswith(start))]
    if not found:
        nearest = nearest_name(word, [one.id for one in items])
        raise InputError(
            Problem(field, word, "no cell or direction of the plan is meant", "an id, baseline, or column=value,...", nearest)
        )
    if len(found) > 1:
        several = "; ".join(f"{one.id} ({one.name})" for one in found[:_SHOWN])
        raise InputError.because(f"{len(found)} cells and directions are meant", field, word, f"one of {several}")
    return found[0]


def _wanted(
    items: Sequence[_T], filters: Sequence[str], field: str, own: Sequence[str]
) -> tuple[Filters[_T], dict[str, list[str]], list[_T]]:
    """How filters are read, what they ask for by column, and of what: each item as every behavior has it."""
    known: Filters[_T] = Filters((*own, *_COLUMNS), _ALIASES, _value, ", ".join((*own, _ALLOWED)))
    wanted = known.wanted((part for text in filters for part in text.split(",")), field)
    return known, wanted, [one for item in items for one in (item, *(replace(item, cell=cell) for cell in item.also))]


def _is_score(column: str, value: str) -> bool:
    """Whether a value is the id of what a scorer gives a cell, which is among no plan's items."""
    return column == "item" and "." in value


def _value(one: PlannedItem, column: str) -> object:
    own, cell = one.own(), one.cell
    if column in own:
        return own[column]
    if cell is None:
        return {"model": one.model, "method": None if one.direction is None else one.direction.method}.get(column)
    match column:
        case "layer":
            return cell.layers[0] if cell.layers else cell.source_layer
        case "relative_depth":
            return cell.depth
        case "steered":
            return cell.multiplier is not None
        case _:
            value: object = getattr(cell, column)
            return value
