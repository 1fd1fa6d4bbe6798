"""The paper's figures and tables beside a made-up sweep: its printed numbers, ours, and nothing that was not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.report.beside_paper import paper_report_tables
from orchestrator.report.figures import paper
from orchestrator.report.findings import SweepFindings
from orchestrator.results.store import Store
from orchestrator.statistics import wilson
from tests.orchestrator.compare.made_up import made
from tests.orchestrator.report.figures.found import found_of, swept

QWEN: dict[str, Any] = {"model": "q32", "location": "Qwen/Qwen2.5-32B-Instruct", "n_layers": 64, "depth": None}


@pytest.fixture
def found(tmp_path: Path) -> SweepFindings:
    """Qwen 32B at its three layers, and at one multiplier and one quantization more."""
    at = {"a": (32, 15.0, "none", 24), "b": (38, 15.0, "none", 9), "c": (32, 20.0, "none", 3), "d": (32, 15.0, "int8", 27)}
    cells = [
        made(name, k, 30, layers=tuple(range(layer, 64)), source_layer=layer, multiplier=m, quantization=form, **QWEN)
        for name, (layer, m, form, k) in at.items()
    ]
    found = found_of(cells)
    found.store = Store(tmp_path)
    return found


def test_figures_hold_the_papers_rates_and_ours(found: SweepFindings) -> None:
    charts = {chart.title: chart.rows for chart in paper.charts(found)}
    assert [title.partition(":")[0][-1] for title in charts] == list("1234567")
    rates = {(row["source"], row["layer"], row["k"], row["n"]) for row in charts["Figure 6: Qwen 32B over depth"]}
    assert rates == {("paper", 32, 23, 30), ("ours", 32, 24, 30), ("paper", 38, 10, 50), ("ours", 38, 9, 30)}
    forms = charts["Figure 4: quantization"]
    assert [(row["source"], row["quantization"], row["value"]) for row in forms] == [
        ("paper", "none", 23 / 30),
        ("ours", "none", 24 / 30),
        ("paper", "int8", 25 / 30),
        ("ours", "int8", 27 / 30),
    ]
    assert (forms[0]["low"], forms[0]["high"]) == pytest.approx((wilson(23, 30).low, wilson(23, 30).high))
    depths = charts["Figure 2: depth of the best layer"]
    assert [(row["source"], row["value"]) for row in depths] == [("paper", 0.5), ("ours", 0.5)]
    assert {row["norm"] for row in charts["Figure 7: norm of the direction against the rate"] if row["source"] == "paper"} == {
        63.16,
        84.85,
    }


def test_tables_stand_beside_ours(found: SweepFindings) -> None:
    tables = {table.title.partition(" (")[0]: table for table in paper_report_tables(found.beside_paper)}
    assert list(tables) == ["Table 3", "Table 5", "Table 7", "Table 8", "Table 9", "Table 10", "Table 14"]
    (first, second) = tables["Table 8"].rows
    assert [value.text for value in first[:4]] == ["Qwen 32B L32 x 15", "76.7 [59.1, 88.2] 23/30", "80 [62.7, 90.5] 24/30", "+3"]
    assert second[0].text == "Qwen 32B int8 L32 x 15"
    assert "2 of the table's 6 rates" in tables["Table 8"].notes[0]


def test_a_sweep_of_other_models_has_neither() -> None:
    other = found_of(swept())
    assert (list(paper.charts(other)), list(paper_report_tables(other.beside_paper))) == ([], [])
