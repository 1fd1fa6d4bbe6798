"""Figures lie beside the page and in it, with their data; made again they are the same."""

from __future__ import annotations

import base64
import csv
import re
from io import StringIO
from pathlib import Path

import pytest

from orchestrator.report import write_report
from orchestrator.report.figures import files
from orchestrator.report.figures.canvas import for_page
from orchestrator.results.store import Store
from tests.orchestrator.report.figures.found import SWEPT
from tests.orchestrator.report.figures.test_canvas import EVIL
from tests.orchestrator.samples import filled, grid


def written(store: Store) -> dict[str, bytes]:
    write_report(store)
    return {path.name: path.read_bytes() for path in (store.root / "report").iterdir()}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = filled(tmp_path_factory.mktemp("out"), grid((12, 15, 21), (2.0, 8.0, 20.0), EVIL), SWEPT)
    found.compact()
    return found


def test_every_panel_is_a_file_and_in_the_page_with_its_data(store: Store) -> None:
    content_of = written(store)
    page, text = (store.root / "report.html").read_text(), (store.root / "report.md").read_text()
    assert {"heat-map-01.svg", "heat-map.csv", "dose-response-02.svg", "depth-profile.svg", "flips.csv"} <= set(content_of)
    for name, content in content_of.items():
        if name.endswith(".svg"):
            assert f"](report/{name})" in text
            assert for_page(content.decode()) in page
        else:
            assert f"[Data](report/{name})" in text
    links = re.findall(r'<a download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)">', page)
    assert {name: base64.b64decode(data) for name, data in links} == {
        name: content for name, content in content_of.items() if name.endswith(".csv")
    }
    assert "<script>alert" not in page


def test_data_name_their_panel_and_hold_every_cell(store: Store) -> None:
    rows = list(csv.DictReader(StringIO(written(store)["heat-map.csv"].decode())))
    assert {row["file"] for row in rows} == {"heat-map-01", "heat-map-02"}
    cells = {row.cell_id: row for row in store.cell_rows() if row.steered}
    assert len(rows) == 2 * len(cells)
    for row in rows:
        count = cells[row["cell_id"]].count("garbled" if row["measure"] == "garbled" else "success")
        assert (int(row["k"]), float(row["value"])) == (count, count / 10)


def test_other_processes_draw_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    here = written(store)
    monkeypatch.setattr(files, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(files, "useful_processes", lambda: 2)
    assert written(store) == here


def test_made_again_they_are_the_same(store: Store, tmp_path: Path) -> None:
    again = filled(tmp_path, grid((12, 15, 21), (2.0, 8.0, 20.0), EVIL), SWEPT)
    again.compact()
    assert written(again) == written(store)
