"""Requests are files that anybody may put there twice, and nobody has to take away by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.control.requests import Requests
from orchestrator.errors import InputError
from orchestrator.results.folder import Folder


def test_a_request_stands_until_it_is_withdrawn(tmp_path: Path) -> None:
    requests = Requests(Folder(tmp_path).requests)
    assert requests.asked("pause") is None
    asked = requests.ask("pause")
    assert Requests(Folder(tmp_path).requests).asked("pause") == asked
    assert "pause asked by" in str(asked)
    assert requests.asked("cancel") is None
    assert requests.withdraw("pause")
    assert not requests.withdraw("pause")
    assert requests.asked("pause") is None


def test_asking_twice_keeps_the_first(tmp_path: Path) -> None:
    requests = Requests(Folder(tmp_path).requests)
    first = requests.ask("cancel")
    (tmp_path / "control" / "cancel").write_text(json.dumps({"by": "somebody else", "at": first.at}))
    assert requests.ask("cancel").by == "somebody else"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_request_is_one_all_the_same(tmp_path: Path, content: str) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "pause").write_text(content)
    assert Requests(Folder(tmp_path).requests).asked("pause") is not None


def test_all_are_withdrawn_at_once_with_what_killed_writers_left(tmp_path: Path) -> None:
    requests = Requests(Folder(tmp_path).requests)
    requests.ask("pause")
    requests.ask("cancel")
    (tmp_path / "control" / ".pause.1.tmp").write_text("half")
    assert sorted(request.name for request in requests.withdraw_all()) == ["cancel", "pause"]
    assert list((tmp_path / "control").iterdir()) == []
    assert requests.withdraw_all() == []


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot (write|read)"):
        Requests(Folder(tmp_path).requests).ask("pause")
