"""A table as LaTeX, to be read in by a paper that uses booktabs; whatever a name says is text in it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import groupby

from orchestrator.report.report_table import ReportTable, Value
from orchestrator.untrusted import visible

_GREEK = {
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi omega": (
        "αβγδεζηθικλμνξπρστυφχψω"
    ),
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega": "ΓΔΘΛΞΠΣΦΨΩ",
}
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
    '"': r"\textquotedblright{}",  # a straight one is in no encoding that every document has
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "·": r"\textperiodcentered{}",
    "×": r"\texttimes{}",
    "†": r"\textdagger{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "→": r"\textrightarrow{}",
    "‖": r"\textbardbl{}",
    "‡": r"\textdaggerdbl{}",
    "°": r"\textdegree{}",
    "±": r"\textpm{}",
    "−": r"\textminus{}",
    "…": r"\textellipsis{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "µ": r"\textmu{}",
    "≥": r"\ensuremath{\geq}",
    "≤": r"\ensuremath{\leq}",
    "≈": r"\ensuremath{\approx}",
    "\u00a0": "~",
    **{
        letter: rf"\ensuremath{{\{name}}}"
        for names, letters in _GREEK.items()
        for name, letter in zip(names.split(), letters, strict=True)
    },
}
"""Each to what shows it and means nothing."""
_ACCENTS = frozenset("\u0300\u0301\u0302\u0303\u0308\u030a\u030c\u0327")
"""What every encoding of LaTeX puts over or under a letter."""
_LETTERS = frozenset("ßøØæÆœŒłŁı")
"""Others that every encoding has."""


def latex(text: str) -> str:
    """``text`` on one line, with every character replaced that means something to TeX; what pdfLaTeX has no letter for is told
    by its number there, and written as it is by XeLaTeX and LuaLaTeX."""
    parts = (_known(run) if known else _unknown(run) for known, run in groupby(visible(text), _is_known))
    shown = "".join(parts).replace("--", "-{}-").replace("--", "-{}-")
    return f"{{}}{shown}" if shown[:1] in ("[", "*") else shown  # which after a line break would be an option of it


def _is_known(character: str) -> bool:
    if character.isascii() or character in _ESCAPED or character in _LETTERS:
        return True
    apart = unicodedata.normalize("NFD", character)
    return len(apart) == 2 and apart[0].isascii() and apart[1] in _ACCENTS


def _known(characters: Iterable[str]) -> str:
    return "".join(_ESCAPED.get(character, character) for character in characters)


def _unknown(characters: Iterable[str]) -> str:
    run = "".join(characters)
    return rf"{{\ifdefined\Umathcode {run}\else [{' '.join(f'U+{ord(one):04X}' for one in run)}]\fi}}"


def latex_table(table: ReportTable) -> str:
    """A ``tabular``; its title and notes are comments."""
    sides = "".join("l" if column.left else "r" for column in table.columns)
    heads = " & ".join(latex(column.head) for column in table.columns)
    lines = [f"% {visible(table.title)}", f"\\begin{{tabular}}{{{sides}}}", r"\toprule", rf"{heads} \\", r"\midrule"]
    lines += [rf"{_values(row)} \\" for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {visible(note)}" for note in table.told)]) + "\n"


def _values(row: tuple[Value, ...]) -> str:
    return " & ".join(latex(value.text) for value in row)
