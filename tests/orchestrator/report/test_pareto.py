"""The figure of success against damage, and what damage adds to the tables of cells."""

from __future__ import annotations

import struct
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.report.pareto import front, pareto_drawings
from orchestrator.report.series import series_of
from orchestrator.report.tables import cells_table
from orchestrator.report.values import success_rate
from orchestrator.results.rows import CellRow
from tests.orchestrator.report.made_up import rows_of

MEASURED = [replace(row, kl=0.3 * number, loss=1.5 + number) for number, row in enumerate(rows_of())]


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 4)), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_nobody_beats_those_of_the_front(points: list[tuple[float, int]]) -> None:
    rows = [replace(MEASURED[number], kl=kl) for kl, number in points]

    def beaten(row: CellRow) -> bool:
        at = (-success_rate(row), row.kl or 0.0)
        others = [(-success_rate(one), one.kl or 0.0) for one in rows]
        return any(one[0] <= at[0] and one[1] <= at[1] and one != at for one in others)

    wanted = {(success_rate(row), row.kl) for row in rows if not beaten(row)}
    assert {(success_rate(row), row.kl) for row in front(rows)} == wanted


def test_it_is_drawn_where_damage_was_measured() -> None:
    assert list(pareto_drawings(rows_of())) == []
    assert list(pareto_drawings(row for row in MEASURED if not row.steered)) == []
    control = [replace(row, method="random", kl=1.0) for row in MEASURED if row.steered]
    two = [*MEASURED, *control, *(replace(row, variant="other", model="a $x_2$ model") for row in MEASURED)]
    (one,), (many,) = list(pareto_drawings(MEASURED)), list(pareto_drawings(two))
    assert one.png == next(iter(pareto_drawings(MEASURED))).png, "the same rows give the same bytes"
    width, wide = (struct.unpack(">I", drawing.png[16:20])[0] for drawing in (one, many))
    assert wide > width
    assert "coherent refusal against KL(unsteered || steered)" in one.about


def test_the_tables_of_cells_have_it_where_it_was_measured() -> None:
    def heads(rows: list[CellRow]) -> list[str]:
        return [column.head for column in cells_table(series_of(rows)[0]).columns]

    assert not {"KL", "loss"} & set(heads(rows_of()))
    assert {"KL", "loss"} <= set(heads(MEASURED))
    assert "loss" not in heads([replace(row, loss=None) for row in MEASURED])
    partly = cells_table(series_of([*MEASURED[:-1], replace(MEASURED[-1], kl=None)])[0])
    place = [column.head for column in partly.columns].index("KL")
    assert [row[place].text for row in partly.rows] == ["0.000", "0.300", "0.600", "0.900", "-"]
