"""What a newcomer gets wrong in YAML is told in one message: line, column, what is there, and how it is mended."""

from __future__ import annotations

import pytest

from orchestrator.errors import InputError
from orchestrator.sweep_file.yaml_text import parse_yaml


@pytest.mark.parametrize(
    ("text", "line", "words", "mended"),
    [
        ("models:\n\t- x: 1\n", 2, "column 1: a tab stands where the line is indented", "spaces, no tabs"),
        ("models:\n  - name: x\n   source: y\n", 3, "column 4: this line is indented otherwise", "in one column"),
        ("name: a\n  models: [1]\n", 2, "indented below a key that has a value already", "in one column"),
        ("name:a\nmodels:\n", 2, "the line before has no space after its colon", "'key: value'"),
        ("a: 1\nlayers:[1, 2]\nmodels: []\n", 3, "line 2 has no 'key: value'", "a space after the colon"),
        ("layers: [1, 2\nmodels: []\n", 2, "that line 1 begins is not closed there", "its ']' or '}' at the end"),
        ("m: {a: 1\nmodels: []\n", 2, "that line 1 begins is not closed there", "its ']' or '}' at the end"),
        ("a: 1\nname: 'a\nmodels: []\n", 4, "the quotes that line 2 opens are not closed", "the same quotes at the end"),
        ("system_prompt: You are: kind\n", 1, "column 23: a value has a colon and a space in it", "quotes around the value"),
        ("layers: *\n", 1, "'*' and '&' are no beginning of a text", "quotes around it"),
        ("name: @x\n", 1, "column 7: a value or key begins with a sign that YAML keeps", "quotes around it"),
        ("%name: a\n", 1, "begins with a sign that YAML keeps", "quotes around it"),
        ('name: "C:\\dir"\n', 1, "in double quotes a backslash is a sign of its own", "single quotes"),
        ("name: a\n---\nname: b\n", 2, "a second document begins", "one document"),
        ("a: 1\nname: a\x07\n", 2, "column 8: a character that no text file has (#x07)", "text without control characters"),
        ("name = a\nmodels: []\n", 2, "the line before is no 'key: value'", "'#' before what is a comment"),
        ("layers: [1, 2]]\n", 1, "column 15: a bracket or comma too many", "closed once"),
        ("text: | hello\n  world\n", 1, "text stands in the line of '|' or '>'", "in the lines below, indented"),
        ("models:\n  a: 1\n  - b\n", 3, "an item '- ...' stands among keys", "either keys or items"),
        ("name: 'it's'\n", 1, "text follows the end of a quoted value", "double quotes"),
        ("models:\n  -name: a\n  -name: b\n", 3, "duplicate key: '-name'", "a space after the '-' of an item"),
        ("name: a\nname: b\n", 2, "duplicate key: 'name' is already given in line 1", "each key once"),
        ("x: &b 1\ny: *b\n", 1, "anchors and aliases are not used here", "write the value out"),
    ],
)
def test_a_fault_of_yaml_is_told_with_its_place_and_its_mend(text: str, line: int, words: str, mended: str) -> None:
    with pytest.raises(InputError) as told:
        parse_yaml(text, "s.yaml")
    (problem,) = told.value.problems
    assert str(problem).startswith(f"s.yaml:{line}: ")
    assert words in str(problem)
    assert mended in (problem.allowed or "")
    assert told.value.exit_code == 2
