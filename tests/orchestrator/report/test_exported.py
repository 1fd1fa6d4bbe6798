"""What a paper takes: every figure and table in its formats, the same each time, and names that mean nothing to LaTeX."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.report import write_report
from orchestrator.report.as_latex import latex, latex_table
from orchestrator.report.exported import outdated, write_exports
from orchestrator.report.figures.chart import csv_of
from orchestrator.report.figures.registry import FIGURES
from orchestrator.report.report_table import ReportColumn, ReportTable, Value
from orchestrator.results.store import Store
from tests.orchestrator.report.figures.found import SWEPT
from tests.orchestrator.samples import filled, grid, labels_of, write_labels

EVIL = r"\input{/etc/passwd} $x^2$ 50% of_a & b #1 ~ {} [1] -- \write18{rm} " + "\x1b[31m\n\\end{document}"


ODD = (
    EVIL,
    "ąčłØßÆœ éüñ Ğ đ ŋ",
    "中文 שלום русский \U0001f600 e\u0301",
    "a\u200bb\u202ec\u00a0d",
    "≥ ≈ € σ ΔΩα ‘q’ “p” \"' ?` ,, ^^M",
    "*",
    "[1]",
    "&\\\\",
)
"""Names as nobody should have them."""


def compiled(tables: Sequence[bytes], folder: Path) -> str:
    """What pdfLaTeX writes of a paper that reads these tables in and uses booktabs; AssertionError with its complaint."""
    folder.mkdir()
    for number, table in enumerate(tables):
        (folder / f"{number}.tex").write_bytes(table)
    read = "\n\n".join(rf"\input{{{number}.tex}}" for number in range(len(tables)))
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}"
    (folder / "paper.tex").write_text(f"{head}\n{read}\n\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    told = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300)
    log = told.stdout.decode("utf-8", "replace")
    assert told.returncode == 0, log
    return log


NEEDS_TEX = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex: apt-get install texlive-latex-base")


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
    assert (told.exit_code, f"{len(stems)} panels and 2 tables in" in told.output) == (0, True), told.output
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


def test_letters_that_pdflatex_lacks_are_told_by_number() -> None:
    assert latex("é ß “x”") == r"é ß \textquotedblleft{}x\textquotedblright{}"
    assert latex("58.4 (σ 17.2)") == r"58.4 (\ensuremath{\sigma} 17.2)"
    assert latex("中文 x") == r"{\ifdefined\Umathcode 中文\else [U+4E2D U+6587]\fi} x"


@NEEDS_TEX
def test_latex_compiles_whatever_a_name_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (ReportColumn(EVIL, left=True), ReportColumn("n %"))
    table = ReportTable(EVIL, columns, tuple((Value(name), Value("[1]")) for name in ODD), (EVIL,))
    store = sample(tmp_path / "sweep")
    for name in list(FIGURES):
        monkeypatch.delitem(FIGURES, name)
    tables = [(store.root / name).read_bytes() for name in write_exports(store) if name.suffix == ".tex"]
    assert len(tables) == 2, "the cells and how often labels are wrong"
    assert "(./1.tex" in compiled([*tables, latex_table(table).encode()], tmp_path / "paper")
    with pytest.raises(AssertionError, match="Undefined control sequence"):
        compiled([b"\\nosuchcommand"], tmp_path / "wrong")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        (" =1+1", "' =1+1"),
        ("+cmd()", "'+cmd()"),
        ("-1+cmd|' /C calc'!A0", "'-1+cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-50 [-75, -8]", "-50 [-75, -8]"),
        ("-", "-"),
        ("+3.5 %", "+3.5 %"),
        ("a=b", "a=b"),
    ],
)
def test_no_text_is_a_formula_of_a_spreadsheet(text: str, written: str) -> None:
    (row,) = csv.DictReader(StringIO(csv_of([{"name": text, "value": -8.0}])))
    assert row == {"name": written, "value": "-8.0"}
    assert next(csv.reader(StringIO(csv_of([{text: 1}])))) == [written], "nor a column's name, as of a label"


def test_a_score_tells_that_the_tables_of_a_paper_are_of_earlier_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(FIGURES):  # tables alone tell it
        monkeypatch.delitem(FIGURES, name)
    told, store = "report/ holds figures and tables of earlier results", sample(tmp_path)
    write_report(store)
    assert not outdated(store)
    write_exports(store)
    assert not outdated(store)
    victim = grid((12,), (2.0,), EVIL)[1]
    write_labels(store, victim.id, labels_of(victim, refusals=7))
    store.compact()
    assert outdated(store)
    scored = CliRunner().invoke(app, ["score", str(tmp_path)])
    assert told in scored.output, scored.output
    assert CliRunner().invoke(app, ["figures", str(tmp_path)]).exit_code == 0
    assert not outdated(Store(tmp_path))


def test_the_command_of_no_results(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["figures", str(tmp_path / "none")]).exit_code == 2
