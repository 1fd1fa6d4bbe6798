"""The page on results names columns and files that exist, and every column."""

from __future__ import annotations

import re

from orchestrator.results import store
from orchestrator.results.schema import RESPONSES
from tests.docs.results_columns import PAGE, TABLES, rewritten

TEXT = PAGE.read_text(encoding="utf-8")


def test_its_tables_of_columns_are_the_declarations() -> None:
    assert rewritten(TEXT) == TEXT, "run: python -m tests.docs.results_columns"
    for layout in TABLES.values():
        assert [one.name for one in layout.columns if not one.doc] == []


def test_every_column_of_responses_that_it_explains_is_there() -> None:
    text = TEXT.split("In `responses.parquet`")[1].split("## ")[0]
    named = set(re.findall(r"`(\w+)`", text))
    assert {"response", "answer", "marked_response", "prompt_opens"} <= named
    assert named <= set(RESPONSES.schema.names)


def test_every_file_that_it_names_is_the_stores() -> None:
    for name in re.findall(r"^\| `([\w.]+\.(?:parquet|html))`", TEXT, flags=re.MULTILINE):
        assert name in (store.__doc__ or ""), name
