"""The page on results names columns and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrator import store
from orchestrator.schema import CELLS, DIRECTIONS, RESPONSES, TRANSFERS

PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def test_every_column_that_it_names_is_in_its_table() -> None:
    columns = PAGE.split("## Columns that need a word")[1].split("## Tables that choose")[0]
    parts = re.split(r"^`(\w+)\.parquet`$", columns, flags=re.MULTILINE)[1:]
    schemas = {"cells": CELLS, "directions": DIRECTIONS, "transfer": TRANSFERS}
    assert list(parts[::2]) == list(schemas)
    for table, text in zip(parts[::2], parts[1::2], strict=True):
        named = {name for line in re.findall(r"^- (.*?)[:=]", text, flags=re.MULTILINE) for name in re.findall(r"`(\w+)`", line)}
        assert named
        assert named <= set(schemas[table].names), table


def test_every_column_of_responses_that_it_names_is_there() -> None:
    text = PAGE.split("In `responses.parquet`:")[1].split("## ")[0]
    named = set(re.findall(r"`(\w+)`: ", text))
    assert named == {"response", "answer", "marked_response", "prompt_opens"}
    assert named <= set(RESPONSES.names)


def test_every_file_that_it_names_is_the_stores() -> None:
    for name in re.findall(r"^\| `([\w.]+)`", PAGE, flags=re.MULTILINE):
        assert name in (store.__doc__ or ""), name
