"""What judges replied is kept in both kinds of places: in segments, and read back by any machine."""

from __future__ import annotations

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
