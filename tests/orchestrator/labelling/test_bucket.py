"""Labelling results that lie in object storage."""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator import load_results
from orchestrator.labelling.desk import desk
from orchestrator.labelling.sample import Draw
from orchestrator.results.folder import Folder
from orchestrator.results.ratings import read_ratings
from orchestrator.storage import S3Url, open_files
from tests.orchestrator.labelling.made_up import to_label
from tests.orchestrator.storage.conftest import bucket, server

__all__ = ["bucket", "server"]


def test_ratings_lie_in_the_bucket_and_are_continued_from_any_machine(bucket: S3Url, tmp_path: Path) -> None:
    here, there = to_label(tmp_path / "out"), open_files(bucket)
    for file in here.rglob("*"):
        if file.is_file() and not file.name.startswith("."):
            there.write(str(file.relative_to(here)), file.read_bytes())
    with desk(bucket, "anna", Draw(4)) as first:
        first.session.rate(0, "normal")
        first.session.rate(1, "garbled")
    shutil.rmtree(tmp_path / "cache")  # what this machine keeps for itself
    with desk(bucket, "anna", Draw(4)) as again:
        assert again.session.done == 2
        again.session.undo()
        again.session.rate(1, "no_answer")
    assert [one.label for one in read_ratings(Folder(bucket), "anna").values()] == ["normal", "no_answer"]
    assert load_results(str(bucket)).scores.filter(scorer="rater:anna").height == 2
