"""What ``retry`` clears, and how it finds the sweep file from a results folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.types import Failure
from orchestrator.board import UPSTREAM
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.folder import Folder
from orchestrator.plan import make_plan
from orchestrator.rows import CellAxes
from orchestrator.store import Store
from orchestrator.sweep import load_sweep

ORIGIN = "# A copy; the sweep file itself is "
"""First line of the copy in the results folder. The paths in a sweep file are relative to itself, so the copy cannot run."""

KEYS = ("kind", "model", "behavior", "item")


def sweep_of(target: Path) -> tuple[Path, Path | None]:
    """The sweep file and the results folder (None: the sweep's own) that ``target``, one of the two, stands for."""
    if not target.is_dir():
        return target, None
    copy = Folder(target).sweep
    try:
        first_line = copy.read_text().splitlines()[0]
    except (FileNotFoundError, IndexError):
        raise InputError.because(f"{target} holds no sweep.yaml: it is not the results folder of a sweep") from None
    origin = Path(first_line.removeprefix(ORIGIN))
    if not first_line.startswith(ORIGIN) or not origin.is_file():
        raise InputError.because(f"the sweep file of {target} is no longer at {origin}; name the sweep file itself")
    return origin, target


def clear_failures(sweep: Path, results: Path | None, filters: Sequence[str]) -> int:
    """Forget the recorded failures that match every filter ``KEY=VALUE``; how many.

    With a direction's failure those of the cells that needed it go too: they would not be recorded again.
    """
    wanted = dict(_parsed(one) for one in filters)
    loaded = load_sweep(sweep)
    store = Store(results or loaded.results)
    if not store.root.is_dir():
        return 0
    with store.lock():
        store.write_plan(make_plan(loaded))
        axes = {cell.cell_id: cell for cell in store.planned().cells}
        matching = {one.item_id for one in store.failures() if _matches(one, axes.get(one.item_id), wanted)}
        dependents = {
            one.item_id
            for one in store.failures()
            if one.kind == UPSTREAM and one.item_id in axes and axes[one.item_id].direction_id in matching
        }
        return store.clear_failures(matching | dependents)


def _parsed(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if key not in KEYS or not equals:
        raise InputError(
            Problem("--filter", text, "not a filter", f"KEY=VALUE with KEY one of {', '.join(KEYS)}", nearest_name(key, KEYS))
        )
    return key, value


def _matches(failure: Failure, cell: CellAxes | None, wanted: Mapping[str, str]) -> bool:
    found = {"kind": failure.kind, "item": failure.item_id}
    if cell is not None:
        found |= {"model": cell.model, "behavior": cell.behavior}
    return all(found.get(key) == value for key, value in wanted.items())
