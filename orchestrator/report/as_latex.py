"""A table as LaTeX, to be read in by a paper that uses booktabs; whatever a name says is text in it."""

from __future__ import annotations

from orchestrator.report.report_table import ReportTable, Value
from orchestrator.untrusted import visible

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    **{character: f"\\{character}" for character in "#$%&_"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "·": r"\textperiodcentered{}",
    "×": r"\texttimes{}",
    "†": r"\textdagger{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "→": r"\textrightarrow{}",
    "‖": r"\textbardbl{}",
}
"""Each to what shows it and means nothing."""


def latex(text: str) -> str:
    """``text`` on one line, with every character replaced that means something to TeX."""
    shown = "".join(_ESCAPED.get(character, character) for character in visible(text)).replace("--", "-{}-").replace("--", "-{}-")
    return f"{{}}{shown}" if shown[:1] in ("[", "*") else shown  # which after a line break would be an option of it


def latex_table(table: ReportTable) -> str:
    """A ``tabular``; its title and notes are comments."""
    sides = "".join("l" if column.left else "r" for column in table.columns)
    heads = " & ".join(latex(column.head) for column in table.columns)
    lines = [f"% {visible(table.title)}", f"\\begin{{tabular}}{{{sides}}}", r"\toprule", rf"{heads} \\", r"\midrule"]
    lines += [rf"{_values(row)} \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {visible(note)}" for note in table.notes)]) + "\n"


def _values(row: tuple[Value, ...]) -> str:
    return " & ".join(latex(value.text) for value in row)
