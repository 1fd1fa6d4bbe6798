"""Curves and the matrix hold the numbers of the rows, leave out what is no curve, and repeat byte for byte."""

from __future__ import annotations

import base64
import warnings
from dataclasses import replace

import numpy as np
import pytest

from orchestrator.cells import IncomparablePair
from orchestrator.report import write_report
from orchestrator.report.curves import LINES, depth_figure, depth_lines, multiplier_figure, multiplier_line
from orchestrator.report.matrix import _values, matrices, matrix_figure
from orchestrator.report.series import Series, series_of
from orchestrator.results.store import Store
from tests.orchestrator.comparisons import Counts, compared
from tests.orchestrator.report.made_up import rows_of
from tests.orchestrator.samples import Counts as GridCounts
from tests.orchestrator.samples import grid

TRANSFERRED: Counts = {
    ("beta", "alpha", "dim", 10, 4.0): (9, 0),
    ("beta", "beta", "dim", 10, 4.0): (3, 0),
    ("beta", "alpha", "dim", 10, 8.0): (5, 0),
    ("beta", "beta", "dim", 10, 8.0): (8, 0),
    ("alpha", "beta", "dim", 15, 8.0): (2, 0),
}
SWEPT: GridCounts = {(12, 2.0): (1, 0), (12, 8.0): (1, 9), (15, 2.0): (4, 0), (15, 8.0): (9, 1), (21, 8.0): (3, 0)}


def swept() -> Series:
    """Three depths by three multipliers; the best cell is L15+ x 8."""
    (series,) = series_of(rows_of(SWEPT, grid((12, 15, 21), (2.0, 8.0, 20.0))))
    return series


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = compared(tmp_path_factory.mktemp("compared"), TRANSFERRED)
    found.compact()
    return found


def test_the_depth_curve_runs_at_the_multiplier_of_the_best_cell() -> None:
    ((title, (line,)),) = depth_lines([swept()]).items()
    assert (title, line.name) == ("smollm2 · refusal", "multiplier 8")
    assert [(row.layer, row.multiplier, row.count("success")) for row in line.cells] == [
        (12, 8, 1),
        (15, 8, 9),
        (21, 8, 3),
    ]


def test_the_multiplier_curve_runs_at_the_layer_of_the_best_cell() -> None:
    line = multiplier_line(swept())
    assert line is not None
    assert line.name == "L15+ (50 %)"
    assert [(row.layer, row.multiplier) for row in line.cells] == [(15, 2), (15, 8), (15, 20)]


def test_a_layer_that_the_method_chose_has_a_curve_of_its_own() -> None:
    series = swept()
    chosen = tuple(replace(row, layer_selected=True, cell_id=f"{row.cell_id}c") for row in series.steered if row.layer == 15)
    both = replace(series, steered=(*series.steered, *chosen))
    line = multiplier_line(both)
    assert line is not None
    assert len(line.cells) == 3
    (lines,) = depth_lines([both]).values()
    assert [row.layer_selected for row in lines[0].cells] == [False, False, False]


def test_two_points_are_no_curve() -> None:
    (series,) = series_of(rows_of())
    assert depth_figure([series]) is None
    assert multiplier_figure([series]) is None
    unlabelled = replace(swept(), steered=tuple(replace(row, success_n=None) for row in swept().steered))
    assert depth_figure([unlabelled]) is None
    assert multiplier_figure([unlabelled]) is None
    assert depth_figure([]) is None


def test_pictures_repeat_and_change_with_their_numbers() -> None:
    series = swept()
    in_sample = replace(series, steered=tuple(replace(row, in_sample=True) for row in series.steered))
    for draw in (depth_figure, multiplier_figure):
        png = draw([series])
        assert png is not None
        assert png.startswith(b"\x89PNG")
        assert draw([swept()]) == png
        assert draw([in_sample]) not in (None, png)


def test_many_lines_are_cut_to_the_highest() -> None:
    many = [
        replace(
            swept(),
            title=f"smollm2 · refusal · method {number}",
            steered=tuple(replace(row, success_n=number, garbled_n=0) for row in swept().steered),
        )
        for number in range(9)
    ]
    (lines,) = depth_lines(many).values()
    assert [line.cells[0].count("success") for line in lines] == [8, 7, 6, 5, 4, 3]
    assert len(lines) == LINES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert depth_figure(many) is not None
        assert multiplier_figure([replace(one, title=f"$\\frac{{ {one.title}") for one in many * 2]) is not None


def test_the_matrix_shows_the_place_where_the_targets_own_direction_works_best(store: Store) -> None:
    pairs = (IncomparablePair("alpha", "wide", 4, 5120, "width"), IncomparablePair("deep", "beta", 4, 4, "layers"))
    (matrix,) = matrices(store.transfer_rows(), pairs, store.cell_rows())
    assert matrix.sources == ("alpha", "beta", "deep")
    assert matrix.targets == ("alpha", "beta", "wide")
    shown = matrix.shown["alpha", "beta"]
    assert shown.multiplier == 8.0
    assert shown.te == pytest.approx(5 / 8)
    assert matrix.absent == {("beta", "alpha"): "undefined", ("alpha", "wide"): "4 | 5120", ("deep", "beta"): "no match"}
    values = np.array(_values(matrix))
    assert values[0, 1] == pytest.approx(5 / 8)
    assert np.isnan(values).sum() == 8


def test_directions_that_two_tools_read_have_a_matrix_each(store: Store) -> None:
    rows, transfers = store.cell_rows(), store.transfer_rows()
    rows += [replace(row, cell_id=f"other-{row.cell_id}", extractor="other") for row in rows]
    transfers += [replace(row, cell_id=f"other-{row.cell_id}") for row in transfers]
    titles = [matrix.title for matrix in matrices(transfers, (), rows)]
    assert ["read by other" in title for title in titles] == [False, True]


def test_the_matrix_as_a_picture(store: Store) -> None:
    (matrix,) = matrices(store.transfer_rows(), store.planned().incomparable, store.cell_rows())
    png = matrix_figure(matrix)
    assert png is not None
    assert png == matrix_figure(matrix)
    other = replace(matrix, shown={pair: replace(row, te=1.3) for pair, row in matrix.shown.items()})
    assert matrix_figure(other) != png
    assert matrix_figure(replace(matrix, shown={})) is None
    assert matrix_figure(replace(matrix, sources=tuple(map(str, range(99))))) is None
    assert matrices((), (), ()) == []


def test_pictures_lie_beside_the_page_and_in_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.report.heat_map", lambda _: None)
    monkeypatch.setattr("orchestrator.report.curves.multiplier_figure", lambda _: None)
    text = write_report(store).read_text()
    page = (store.root / "report.html").read_text()
    for name in ("depth-profile.png", "transfer-01.png"):
        png = (store.root / "figures" / name).read_bytes()
        assert f"](figures/{name})" in text
        assert base64.b64encode(png).decode() in page
    for title in ("Overview", "Methods", "Quantization", "Transfer"):
        assert f"## {title}\n" in text
        assert f'<h2 id="{title.lower()}">{title}</h2>' in page
