"""What a paper takes: every figure and table in its formats, the same each time, and names that mean nothing to LaTeX."""

from __future__ import annotations

import csv
import re
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report import write_report
from orchestrator.report.as_latex import latex, latex_table
from orchestrator.report.exported import write_exports
from orchestrator.report.figures.registry import FIGURES
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.store import Store
from tests.orchestrator.report.figures.found import SWEPT
from tests.orchestrator.samples import filled, grid

EVIL = r"\input{/etc/passwd} $x^2$ 50% of_a & b #1 ~ {} [1] -- \write18{rm} " + "\x1b[31m\n\\end{document}"


def sample(root: Path) -> Store:
    found = filled(root, grid((12, 15), (2.0, 8.0, 20.0), EVIL), SWEPT)
    found.compact()
    return found


def test_every_figure_and_table_in_its_formats_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(FIGURES) - {"heat-map"}:  # each panel takes most of a second in all formats
        monkeypatch.delitem(FIGURES, name)
    store = sample(tmp_path / "one")
    write_report(store)
    of_page = {path.name: path.read_bytes() for path in (store.root / "report").iterdir()}
    names = {path.name for path in write_exports(store)}
    files = {path.name: path.read_bytes() for path in (store.root / "report").iterdir()}
    assert set(files) == names
    assert of_page.items() <= files.items()
    stems = {name.removesuffix(".pdf") for name in names if name.endswith(".pdf")}
    assert stems == {"heat-map-01", "heat-map-02"}
    assert {f"{stem}.{ending}" for stem in stems for ending in ("svg", "png")} <= names
    assert {f"table-cells-01.{ending}" for ending in ("csv", "tex", "md")} <= names
    sample(tmp_path / "again")
    told = CliRunner().invoke(app, ["figures", str(tmp_path / "again")])
    assert (told.exit_code, f"{len(stems)} panels and 1 tables in" in told.output) == (0, True), told.output
    assert {path.name: path.read_bytes() for path in (tmp_path / "again" / "report").iterdir()} == files
    rows = list(csv.DictReader(StringIO(files["table-cells-01.csv"].decode())))
    assert [row["coherent refusal %"] for row in rows if row["multiplier"] == "8"][-1] == "90 [59.6, 98.2] 9/10"


def test_figures_of_some_cells_lie_beside_those_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in set(FIGURES) - {"dose-response", "coverage"}:
        monkeypatch.delitem(FIGURES, name)
    store = sample(tmp_path)
    told = CliRunner().invoke(app, ["figures", str(tmp_path), "layer=15", "--json"])
    assert told.exit_code == 0, told.output
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"layer-15.dose-response-01.pdf", "layer-15.table-cells-01.tex"} <= names
    assert all(name.startswith("layer-15.") for name in names)
    assert not any("coverage" in name for name in names)
    text = (store.root / "report" / "layer-15.table-cells-01.csv").read_text()
    assert [row["multiplier"] for row in csv.DictReader(StringIO(text))] == ["2", "8", "20"]
    wrong = CliRunner().invoke(app, ["figures", str(tmp_path), "layre=15"])
    assert (wrong.exit_code, "did you mean 'layer'" in wrong.stderr) == (2, True)


def test_what_a_name_says_means_nothing_to_latex() -> None:
    table = ReportTable(EVIL, (ReportColumn(EVIL, left=True), ReportColumn("n")), ((Value(EVIL), Value("[1]")),) * 2, (EVIL,))
    lines = latex_table(table).splitlines()
    body = [line for line in lines if not line.startswith("%")]
    assert len(body) == 8, "no name breaks a line"
    commands = set(re.findall(r"\\[a-zA-Z]+", "\n".join(body[3:-2])))
    assert commands <= {r"\textbackslash", r"\textasciicircum", r"\textasciitilde", r"\midrule"}
    assert all(len(re.findall(r"(?<!\\)&", line)) == 1 for line in (body[2], *body[4:6]))
    for special in "$%#_{}":
        assert f"\\{special}" in latex(EVIL)
    assert latex("[1] a--b---c") == "{}[1] a-{}-b-{}-{}-c"


def test_the_command_of_no_results(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["figures", str(tmp_path / "none")]).exit_code == 2
