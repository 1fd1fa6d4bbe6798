"""The paper's tables: all there, each number as printed, and the counts behind the percentages whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.models.layers import layer_at
from orchestrator.paper.tables import MODELS, Measurement, chosen_tables, decimals_of, paper_tables

TABLES = {one.table: one for one in paper_tables()}
MEASURED = [one for table in paper_tables() for one in table.measured]
IN_THE_TEXT = ("mistral", "calibration", "unsteered", "tooling")


def printed(table: str) -> list[tuple[str, ...]]:
    return [row.printed for row in TABLES[table].rows]


def test_every_table_is_there_with_all_its_rows() -> None:
    rows = {name: len(table.rows) for name, table in TABLES.items()}
    assert [name for name in rows if name not in IN_THE_TEXT] == [str(number) for number in range(1, 18)]
    expected = {"1": 8, "2": 3, "3": 4, "4": 3, "5": 4, "6": 2, "7": 4, "8": 2, "9": 3, "10": 7}
    expected |= {"11": 3, "12": 3, "13": 3, "14": 3, "15": 4, "16": 4, "17": 4, "mistral": 3}
    assert {name: rows[name] for name in expected} == expected
    for table in TABLES.values():
        assert table.section
        assert all(len(row.printed) == len(table.columns) for row in table.rows), table.table
        assert table.table == "1" or all(row.measured for row in table.rows), table.table


def test_spot_checks() -> None:
    assert printed("3")[3] == ("Qwen 32B", "50% (L32)", "77% (60% @ n=50)", "30", "[59.1%, 88.2%]")
    assert printed("7")[2] == ("Qwen 32B", "60%", "L32 (50%)", "10%", "L43 (67%)", "0.533")
    assert printed("10")[5] == ("Qwen 7B → Gemma 9B (m=25)", "16.7", "0.0", "83.3", "0.17", "[0.036, 0.321]", "0.019")
    assert printed("14")[2] == ("L44", "70%", "10.0%", "0.0%", "50", "165.17")
    int4 = TABLES["8"].measured[5]
    assert (int4.condition, int4.counts, int4.cosine) == ("Qwen 32B int4 L32 x 15", (17, 30), 0.974)
    transfer = TABLES["10"].measured[3]
    assert (transfer.condition, transfer.counts) == ("Qwen 14B -> Qwen 32B ~50 % x 15", (30, 30))
    assert TABLES["11"].measured[0].count("garbled") == 10
    assert TABLES["11"].measured[0].count("normal") is None


def test_the_seed_prints_every_row_where_it_is_at_hand() -> None:
    seed = Path(__file__).parents[4] / "shared" / "seeds" / "inverse-scaling-paper.txt"
    if not seed.is_file():
        pytest.skip("the paper's text is not part of the repository")
    text = seed.read_text(encoding="utf-8").replace("\\rightarrow", "→").replace("$", "").replace("*", "")
    lines = {re.sub(r"\s+", " ", line).strip() for line in text.splitlines()}
    for name, table in TABLES.items():
        if name in ("calibration", "unsteered", "tooling"):
            continue
        for row in (table.columns, *(row.printed for row in table.rows)):
            assert " ".join(row) in lines, (name, row)


def test_what_was_measured_is_what_the_row_prints() -> None:
    for table in TABLES.values():
        for row in table.rows:
            text = " ".join(row.printed)
            for one in row.measured:
                shown = [one.norm, one.cosine, one.cross_cosine]
                assert all(f"{value}" in text for value in shown if value is not None), text
                assert one.te is None or (one.te in text and str(one.te_interval) in text), text
                for rate in (one.coherent, one.garbled, one.normal):
                    assert rate is None or re.search(rf"(?<![\d.]){rate}(?![\d.])", text), (text, rate)
                if one.layer is not None and table.table not in ("calibration", "tooling", "8", "9"):
                    assert f"L{one.layer}" in text or "all tested" in text or "L16–L22" in text, text


@pytest.mark.parametrize("one", [one for one in MEASURED if one.n is not None], ids=lambda one: f"{one.table}-{one.condition}")
def test_percentages_are_counts_of_n(one: Measurement) -> None:
    assert one.n is not None
    for label, rate in (("coherent_refusal", one.coherent), ("garbled", one.garbled), ("normal", one.normal)):
        count = one.count(label)
        if rate is not None and count is not None:
            assert round(100 * count / one.n, decimals_of(str(rate))) == pytest.approx(
                rate, abs=0.51 if rate == int(rate) else 0.051
            )
    if one.garbled is not None and one.normal is not None:
        assert one.coherent + one.garbled + one.normal == pytest.approx(100, abs=0.11)


def test_layers_are_the_depths_that_the_paper_says() -> None:
    """floor(depth * blocks) for the depths that were swept; the selected ones are rounded."""
    models = {row.printed[0].casefold().replace(" ", ""): int(row.printed[3]) for row in TABLES["1"].rows}
    by_repo = {model.repo.split("/")[1].casefold(): model.n_layers for model in MODELS.values()}
    assert by_repo == models
    for one in MEASURED:
        if one.layer is None or one.depth is None:
            continue
        blocks = MODELS[one.model].n_layers
        assert one.selected or one.layer == layer_at(one.depth / 100, blocks), one.condition
        assert abs(100 * one.layer / blocks - one.depth) < 4


def test_tables_by_name() -> None:
    assert [one.table for one in chosen_tables(["8", "Table 10", "MISTRAL"])] == ["8", "10", "mistral"]
    assert chosen_tables([]) == paper_tables()
    with pytest.raises(InputError, match="no such table"):
        chosen_tables(["18"])


def test_titles() -> None:
    assert TABLES["8"].title == "Table 8 (section 5.5)"
    assert TABLES["mistral"].title == "mistral (section B.4)"
