"""The picture holds the numbers of the rows, and the same rows give the same bytes."""

from __future__ import annotations

import itertools
import struct
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from orchestrator.report.figures import _heat_cells, _shares, heat_map
from orchestrator.report.series import series_of
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import grid


def test_a_png_and_the_same_one_again() -> None:
    (series,) = series_of(rows_of())
    png = heat_map(series)
    assert png is not None
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert (width, height) > (800, 300)
    assert heat_map(series_of(rows_of()[::-1])[0]) == png


def test_other_numbers_give_another_picture() -> None:
    assert heat_map(series_of(rows_of())[0]) != heat_map(series_of(rows_of({(15, 8.0): (8, 1)}))[0])


def test_the_numbers_are_those_of_the_rows() -> None:
    rows = rows_of()
    shown = _heat_cells(series_of([rows[0], *rows[2:]])[0])
    assert (shown.layers, shown.multipliers) == (("L12+ (40 %)", "L15+ (50 %)"), (2.0, 8.0))
    np.testing.assert_array_equal(_shares(shown, "success"), np.array([[np.nan, 10.0], [40.0, 90.0]]))
    np.testing.assert_array_equal(_shares(shown, "garbled"), np.array([[np.nan, 90.0], [0.0, 10.0]]))


def test_of_columns_that_are_narrower_than_their_names_only_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[list[str]] = []
    set_xticks = Axes.set_xticks

    def noted(self: Axes, ticks: Any, labels: Any = None, **more: Any) -> Any:
        named.extend([] if labels is None else [list(labels)])
        return set_xticks(self, ticks, labels, **more)

    monkeypatch.setattr(Axes, "set_xticks", noted)
    for count in (9, 40, 400):
        rows = rows_of(cells=grid(layers=(12,), multipliers=[float(n) for n in range(1, count + 1)]))
        assert heat_map(series_of(rows)[0]) is not None
        (names,) = {tuple(one) for one in named if one[0] == "1"}
        (step,) = {int(later) - int(one) for one, later in itertools.pairwise(names)}
        assert (step == 1) == (count < 400)
        assert min(count, 20) <= len(names) <= 60
        named.clear()


def test_nothing_to_draw() -> None:
    rows = rows_of()
    assert heat_map(series_of(rows[:1])[0]) is None
    assert heat_map(series_of([replace(row, success_n=None) for row in rows])[0]) is None


def test_a_title_is_no_formula() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (series,) = series_of(rows_of(cells=grid(name=r"$\frac{x$ \x00 " + "long name " * 30)))
        assert heat_map(series) is not None
