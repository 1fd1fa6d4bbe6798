"""The command that makes what a paper takes from a sweep."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.cli.terminal import AsJson, ResultsFolder, Selection, input_errors_told, show, stdout_kept
from orchestrator.counting import counted
from orchestrator.outlets import spare


def figures(results: ResultsFolder, selection: Selection = "all", as_json: AsJson = False) -> None:
    """Write every figure as SVG, PDF, PNG and CSV, and every table as CSV, LaTeX and Markdown, to `report/` of the results.

    The same results give the same bytes. A run writes the SVG and CSV of the figures by itself. Files of some cells alone begin
    with the selection, as `layer-15.heat-map-01.pdf`.
    """
    from orchestrator.compare.answer import finished_rows
    from orchestrator.report.exported import write_exports
    from orchestrator.results.store import Store

    spare()
    with input_errors_told():
        with stdout_kept(as_json):
            store = Store(results)
            finished_rows(store)
            written = sorted(path.as_posix() for path in write_exports(store, selection))
        panels = sum(name.endswith(".pdf") for name in written)
        tables = sum(name.endswith(".tex") for name in written)
        show(
            {"results": str(store.place), "written": written},
            [f"{counted(panels, 'panel')} and {counted(tables, 'table')} in {store.place}/report"],
            as_json,
        )


COMMANDS: tuple[tuple[Callable[..., None], str], ...] = ((figures, "figures results/quickstart layer=15"),)
"""With an example."""
