"""Ratings from a file become a rater's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.types import Decoding
from orchestrator.cli import app
from orchestrator.errors import InputError
from orchestrator.labelling.given import take_ratings
from orchestrator.results.folder import Folder
from orchestrator.results.frames import load_frames
from orchestrator.results.ratings import read_ratings
from tests.orchestrator.labelling.made_up import to_label
from tests.orchestrator.samples import cell, filled


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return to_label(tmp_path_factory.mktemp("results") / "out")


def write(file: Path, *lines: object) -> Path:
    file.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return file


def keys(place: Path) -> list[dict[str, str]]:
    return load_frames(place).responses.select("cell_id", "prompt_id").to_dicts()


def test_a_file_of_ratings_is_taken_once_and_the_last_of_a_response_counts(place: Path, tmp_path: Path) -> None:
    first, second, third = keys(place)[:3]
    lines = [{**first, "label": "normal"}, "", {**second, "label": "garbled", "comment": "loops"}]
    file = write(tmp_path / "mine.jsonl", *lines)
    assert take_ratings(place, file, "anna") == (2, 0)
    assert take_ratings(place, file, "anna") == (0, 2)
    assert take_ratings(place, write(file, *lines, {**first, "label": "no_answer"}, {**third, "label": "normal"}), "anna") == (
        2,
        2,
    )
    said = {one.prompt_id: (one.label, one.comment) for one in read_ratings(Folder(place), "anna").values()}
    assert said == {
        first["prompt_id"]: ("no_answer", None),
        second["prompt_id"]: ("garbled", "loops"),
        third["prompt_id"]: ("normal", None),
    }


def test_every_wrong_line_is_told_and_none_is_taken(place: Path, tmp_path: Path) -> None:
    good = keys(place)[0]
    lines = [
        {**good, "label": "normal"},
        {**good, "label": "norml"},
        {**good, "lable": "normal"},
        {**good, "label": 3},
        {**good, "cell_id": good["cell_id"][:-1], "label": "normal"},
        {**good, "prompt_id": "nowhere", "label": "normal"},
        "{",
        "[1]",
    ]
    with pytest.raises(InputError) as told:
        take_ratings(place, write(tmp_path / "bad.jsonl", *lines), "bob")
    text = str(told.value)
    for line, words in (
        (2, "did you mean 'normal'"),
        (3, "did you mean 'label'"),
        (4, "label"),
        (5, f"did you mean '{good['cell_id']}'"),
        (6, "the cell has no such prompt (got 'nowhere'); allowed: such as "),
        (7, "not valid JSON"),
        (8, "this line is no object (got [1])"),
    ):
        assert any(one.startswith(f"bad.jsonl:{line}:") and words in one for one in text.splitlines()), (line, text)
    assert read_ratings(Folder(place), "bob") == {}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            {"cell": "x", "prompt": "p", "text": "y", "score": 1, "n": 2},
            "cell: unknown key, and 6 more faults in this line (got 'x'); allowed: cell_id, prompt_id, label, comment, sample; "
            "did you mean 'cell_id'?",
        ),
        ({}, "cell_id: 'cell_id' is missing, and 2 more faults in this line; allowed: text: an id of cells.parquet"),
        ({"cell_id": "c", "prompt_id": "p", "label": None}, "label: no value is given; allowed: text: one of the labels"),
        ({"cell_id": "c", "prompt_id": "p", "label": "x", "sample": -1}, "sample: wrong value (got -1); allowed: a whole number"),
        ({"cell_id": "c", "prompt_id": "p", "label": "x", "comment": "y" * 2001}, "allowed: text of at most 2000 characters"),
    ],
)
def test_a_wrong_line_is_told_in_one_message(place: Path, tmp_path: Path, line: dict[str, object], told: str) -> None:
    with pytest.raises(InputError) as raised:
        take_ratings(place, write(tmp_path / "bad.jsonl", line), "bob")
    assert told in str(raised.value)
    assert len(raised.value.problems) == 1


def test_a_sample_that_a_prompt_has_not(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"bad.jsonl:1: sample: the prompt has no such sample \(got 7\); allowed: 0 to 0"):
        take_ratings(place, write(tmp_path / "bad.jsonl", {**keys(place)[0], "label": "normal", "sample": 7}), "bob")


def test_of_several_samples_a_line_says_which(tmp_path: Path) -> None:
    drawn = [replace(one, decoding=Decoding(100, temperature=0.7, samples=3)) for one in (cell(None), cell(15))]
    filled(tmp_path / "out", drawn, {(15, 8.0): (9, 1)}).compact()
    first = keys(tmp_path / "out")[0]
    file = write(tmp_path / "mine.jsonl", {**first, "sample": 2, "label": "normal"}, {**first, "label": "normal"})
    with pytest.raises(InputError, match=r"mine.jsonl:2: sample: the prompt has 3 samples, and the line does not say which"):
        take_ratings(tmp_path / "out", file, "anna")
    told = [{**first, "sample": number, "label": "normal"} for number in (0, 2)]
    assert take_ratings(tmp_path / "out", write(file, *told), "anna") == (2, 0)
    assert [one.sample for one in read_ratings(Folder(tmp_path / "out"), "anna").values()] == [0, 2]


def test_a_file_that_is_wrong_throughout_is_told_shortly(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="90 more lines are wrong"):
        take_ratings(place, write(tmp_path / "bad.jsonl", *["x"] * 100), "bob")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_what_is_no_text_file_is_bad_input(place: Path, tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "given"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(InputError, match="--labels"):
        take_ratings(place, file, "bob")


def test_score_takes_a_file_in_as_a_rater(place: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "carl.jsonl", {**keys(place)[0], "label": "garbled"})
    told = CliRunner().invoke(app, ["score", str(place), "--labels", str(file)])
    assert told.exit_code == 0, told.output
    assert "1 rating of carl taken in, 0 there already" in told.output
    assert [one.label for one in read_ratings(Folder(place), "carl").values()] == ["garbled"]
    assert CliRunner().invoke(app, ["score", str(place), "--labels", str(file), "--rater", "Carl"]).exit_code == 2
    assert CliRunner().invoke(app, ["score", str(place), "--rater", "carl"]).exit_code == 2
