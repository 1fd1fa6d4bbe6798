"""The tables of columns in docs/results.md, made of the columns' declarations: ``python -m tests.docs.results_columns``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from orchestrator.results.analyses import LAYOUTS
from orchestrator.results.capability import CAPABILITY
from orchestrator.results.columns import Column
from orchestrator.results.schema import CELLS, DIRECTIONS, RATES, RESPONSES, SCORES, TRANSFERS, Layout

PAGE = Path(__file__).parents[2] / "docs" / "results.md"
START, END = "## Every column\n", "\n## Tables that choose\n"
TABLES: dict[str, Layout[Any]] = {
    "cells": CELLS,
    "rates": RATES,
    "scores": SCORES,
    "responses": RESPONSES,
    "directions": DIRECTIONS,
    "transfer": TRANSFERS,
    "capability": CAPABILITY,
    **LAYOUTS,
}


def rewritten(page: str) -> str:
    """``page`` with the section on columns as the declarations say it."""
    before, _, rest = page.partition(START)
    return before + START + "\n".join(_section()) + "\n" + END + rest.partition(END)[2]


def _section() -> Iterator[str]:
    yield ""
    yield "A column may be null where its type ends in `?`. Neighbours that say the same of different things share a line."
    for name, layout in TABLES.items():
        yield f"\n`{name}.parquet`\n\n| column | type | says |\n|---|---|---|"
        for doc, columns in groupby(layout.columns, key=lambda one: one.doc):
            yield _line(doc, list(columns))


def _line(doc: str, columns: Sequence[Column]) -> str:
    types = dict.fromkeys(f"`{one.kind}{'?' if one.nullable else ''}`" for one in columns)
    return f"| {', '.join(f'`{one.name}`' for one in columns)} | {', '.join(types)} | {doc} |"


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
