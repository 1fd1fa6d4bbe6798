"""The benchmark of the large page: what it calls missed."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.page import FILTERED, Took, misses

MET = {name: Took(0.1, 0.1) for name in ("tables", "page", "opened", *FILTERED)}


def test_tables_and_page_count_together_and_the_slowest_filter_alone() -> None:
    assert misses(MET) == []
    assert misses({**MET, "expression": Took(5.0, 0.1)}) == [], "it reads every answer"
    slow = {**MET, "tables": Took(40.0, 1.0), "page": Took(20.5, 1.0), "axis": replace(MET["axis"], clock=0.25)}
    assert misses(slow) == ["made in 60.50 s of 60", "filtered in 0.25 s of 0.2"]
