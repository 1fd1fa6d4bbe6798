"""What judges replied is kept in both kinds of places: in segments, and read back by any machine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from orchestrator.results import judgements
from orchestrator.results.folder import Folder
from orchestrator.results.judgements import Judgements
from orchestrator.storage import Place
from tests.orchestrator.storage.conftest import bucket, place, server

__all__ = ["bucket", "place", "server"]


def test_replies_are_read_back_the_last_one_counting_and_segments_stay_small(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judgements, "SEGMENT_BYTES", 200)
    folder = Folder(place)
    first = Judgements(folder, "judge@1-a")
    assert first.get("k0") is None
    for number in range(9):
        first.update({f"k{number}": {"text": "x" * 60, "n": number}})
    first.update({})
    assert first.get("k3") == {"text": "x" * 60, "n": 3}
    second = Judgements(folder, "judge@1-a")
    second.update({"k3": {"text": "again"}})
    assert Judgements(Folder(place), "judge@1-a").get("k3") == {"text": "again"}
    assert len(second.lines()) == 10
    assert len(folder.ids("judgements/judge@1-a")) == 6, "two lines to a segment, and one of another run"
    assert Judgements(folder, "judge@1-b").lines() == []


def test_a_question_that_is_forgotten_has_no_reply_and_what_was_replied_counts(place: Place) -> None:
    first = Judgements(Folder(place), "judge@1-a")
    first.update({"k": {"text": "x"}, "l": {"text": "y"}})
    first.forget(["k"])
    for kept in (first, Judgements(Folder(place), "judge@1-a")):
        assert (kept.get("k"), kept.known(), len(kept.lines())) == (None, {"l": {"text": "y"}}, 2)


@pytest.mark.parametrize("field", ["prompt_tokens", "reply_tokens", "seconds"])
@pytest.mark.parametrize("value", ["many", None, True, -1, math.nan, math.inf, 10**400], ids=lambda value: str(value)[:9])
def test_a_reply_with_a_count_that_is_none_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, field: str, value: object
) -> None:
    Judgements(Folder(tmp_path), "judge@1-a").update({"k": {"text": "x"}})
    (segment,) = tmp_path.rglob("*.jsonl")
    with segment.open("a") as opened:
        opened.write(json.dumps({"key": "l", "reply": {"text": "y", field: value}}) + "\n")
    assert [one["key"] for one in Judgements(Folder(tmp_path), "judge@1-a").lines()] == ["k"]
    assert "is left out" in caplog.text
