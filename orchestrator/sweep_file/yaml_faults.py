"""What is wrong with text that is no YAML: in which line and column, in plain words, and how it is mended."""

from __future__ import annotations

import re

import yaml

from orchestrator.errors import Problem

_FAULTS: tuple[tuple[str, str, str], ...] = (
    (r"'\\t' that cannot start", "a tab stands where the line is indented", "spaces, no tabs"),
    (r"block end>, but found '<block mapping start>'|block end>, but found '<block sequence start>'", "{indented}", "{columns}"),
    (r"block end>, but found '-'", "an item '- ...' stands among keys", "at one indentation either keys or items"),
    (r"block end>, but found '<scalar>'", "text follows the end of a quoted value", "it's in double quotes: \"it's\""),
    (
        r"block end>, but found '[\]},]'",
        "a bracket or comma too many",
        "every '[' and '{{' closed once; text with them in quotes",
    ),
    (
        r"expected ',' or '[\]}]'",
        "the list or mapping that line {begun} begins is not closed there",
        "its ']' or '}}' at the end",
    ),
    (r"end of stream|end of document", "the quotes that line {begun} opens are not closed", "the same quotes at the end"),
    (r"mapping values are not allowed", "{colon}", "{mend}"),
    (r"could not find expected ':'", "line {begun} has no 'key: value'", "a space after the colon: 'key: value'"),
    (r"scanning an alias|scanning an anchor", "'*' and '&' are no beginning of a text", "quotes around it"),
    (r"scanning a directive|cannot start any token", "a value or key begins with a sign that YAML keeps", "quotes around it"),
    (r"unknown escape character|scanning a double-quoted", "in double quotes a backslash is a sign of its own", "single quotes"),
    (r"single document", "a second document begins", "one document; no '---' line but the first"),
    (r"special characters", "a character that no text file has (#{code})", "text without control characters"),
    (r"scanning a block scalar", "text stands in the line of '|' or '>'", "the text in the lines below, indented"),
)
"""What the reader says (a regular expression), the same in plain words, and what is right."""
_NO_SPACE = re.compile(r"[\w.-]+:[^\s:].*")
_COLUMNS = "the keys of one mapping in one column, what belongs to a key further right"
_ANY = "YAML (key: value, with spaces and not tabs)"


def syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Why ``text`` could not be read."""
    reasons = [reason for reason in (getattr(error, "context", None), getattr(error, "problem", None)) if reason]
    reason = ", ".join(reasons) or str(error).splitlines()[0]
    line, column = _place(error, text)
    lines = text.splitlines()
    before, here = (lines[at].strip() if 0 <= at < len(lines) else "" for at in (line - 2, line - 1))
    begun = getattr(error, "context_mark", None)
    position: int | None = getattr(error, "position", None)  # where no sign of it may stand
    told: dict[str, object] = {
        "begun": begun.line + 1 if begun else line,
        "code": "" if position is None else f"x{ord(text[position]):02x}",
        "indented": "this line is indented otherwise than those that it belongs to",
        "columns": _COLUMNS,
        **_colon(before, here),
    }
    words, allowed = next(((words, mend) for found, words, mend in _FAULTS if re.search(found, reason)), ("", _ANY))
    words = f"{words.format(**told)} ({reason})" if words else reason
    return Problem("", here or None, f"not valid YAML, column {column}: {words}", allowed.format(**told), None, line, file)


def _place(error: yaml.YAMLError, text: str) -> tuple[int, int]:
    """Line and column, from 1."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return mark.line + 1, mark.column + 1
    before = text[: getattr(error, "position", 0) or 0]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _colon(before: str, here: str) -> dict[str, str]:
    """Why there is a colon too many in the line ``here``: by far the commonest faults are told apart by what they look like."""
    if _NO_SPACE.fullmatch(before):
        return {"colon": "the line before has no space after its colon", "mend": "a space after the colon: 'key: value'"}
    if here.count(": ") + here.endswith(":") > 1:
        return {"colon": "a value has a colon and a space in it", "mend": "quotes around the value"}
    if before and ": " not in before and not before.endswith(":"):
        return {"colon": "the line before is no 'key: value'", "mend": "'key: value', and '#' before what is a comment"}
    return {"colon": "this line is indented below a key that has a value already", "mend": _COLUMNS}
