"""The log: whole lines of JSON, in files of bounded size, readable while they are written, without secrets."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.types import Failure, FiredCheck, ModelInfo
from orchestrator.logs import EntryReader, Journal, LogEntry
from orchestrator.logs import journal as module
from orchestrator.logs.entries import parse
from orchestrator.news import AttemptFailed, CellScored, CellStored, ModelLoaded, Noted, Submitted, WorkerDied
from orchestrator.results.rows import axes_of
from tests.orchestrator.samples import cell, labels_of, result_of


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "logs") as made:
        yield made


def events(journal: Journal) -> list[LogEntry]:
    return list(EntryReader(journal.folder).new())


def test_an_entry_comes_back_as_it_was(journal: Journal) -> None:
    entry = LogEntry(
        "submitted", "generate", "w1", items=("cell-a", "cell-b"), details={"x": 1}, time="2026-01-01T00:00:00.000+00:00"
    )
    journal.write(entry)
    assert events(journal) == [entry]
    journal.write(LogEntry("note", "second\nline \x1b[31m"))
    assert events(journal)[1].text == "second\nline \x1b[31m"
    assert events(journal)[1].time.endswith("+00:00")
    assert all(json.loads(line) for line in (journal.folder / "events-000001.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"event": "of a later version"}', b"\xff", b'{"event": "note", "items": 3}']
)
def test_a_damaged_line_is_passed_over(line: bytes) -> None:
    assert parse(line) is None


def test_a_reader_gets_each_line_once_and_no_half_ones(journal: Journal) -> None:
    reader = EntryReader(journal.folder)
    assert list(reader.new()) == []
    journal.write(LogEntry("note", "one"))
    assert [entry.text for entry in reader.new()] == ["one"]
    path = journal.folder / "events-000001.jsonl"
    line = LogEntry("note", "two").line()
    with path.open("ab") as file:
        file.write(line[:10])
        file.flush()
        assert list(reader.new()) == []
        file.write(line[10:])
    assert [entry.text for entry in reader.new()] == ["two"]
    assert list(reader.new()) == []


def test_files_are_bounded_in_size_and_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 500)
    monkeypatch.setattr(module, "FILES_KEPT", 3)
    for start in (0, 20):  # the second driver goes on where the first one stopped
        with Journal(tmp_path) as journal:
            for number in range(start, start + 20):
                journal.write(LogEntry("note", f"line {number}"))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 3
    assert all(path.stat().st_size <= 500 for path in files)
    assert files[0].name != "events-000001.jsonl"
    texts = [entry.text for entry in EntryReader(tmp_path).new()]
    assert texts == [f"line {number}" for number in range(40 - len(texts), 40)]


def test_a_reader_follows_from_file_to_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILE_BYTES", 300)
    reader, seen = EntryReader(tmp_path), []
    with Journal(tmp_path) as journal:
        for number in range(12):
            journal.write(LogEntry("note", str(number)))
            seen += [entry.text for entry in reader.new()]
    assert seen == [str(number) for number in range(12)]


def test_half_a_line_of_a_killed_driver_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / "events-000001.jsonl").write_bytes(LogEntry("note", "one").line() + b'{"event": "no')
    with Journal(tmp_path) as journal:
        journal.write(LogEntry("note", "two"))
        assert [entry.text for entry in events(journal)] == ["one", "two"]


def test_a_full_disk_costs_lines_and_says_so(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.write(LogEntry("note", "one"))
    real = os.write

    def full(handle: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    journal.write(LogEntry("note", "two"))
    journal.write(LogEntry("note", "three"))
    monkeypatch.setattr(os, "write", real)
    journal.write(LogEntry("note", "four"))
    assert [entry.text for entry in events(journal)] == ["one", "2 lines of this log could not be written", "four"]


def test_attempts_and_retries_of_a_cell(journal: Journal) -> None:
    one = cell(15, 8.0)
    journal.hear(Submitted("w1", "generate", (one.id, "cell-other")))
    journal.hear(AttemptFailed(Failure(one.id, "out_of_memory", "no room", "trace\n" * 2_000, retryable=True, worker="w1")))
    journal.hear(Submitted("w2", "generate", (one.id,)))
    journal.hear(WorkerDied("w2", "killed", (one.id,)))
    journal.hear(Submitted("w1", "generate", (one.id,)))
    journal.hear(CellStored(one, result_of(one)))
    journal.hear(CellScored(axes_of(one), labels_of(one, refusals=7)))
    journal.hear(Submitted("w1", "generate", (one.id,)))
    found = [(entry.event, entry.details.get("attempt")) for entry in events(journal) if entry.event != "submitted"]
    assert found == [("attempt failed", None), ("retried", 2), ("lost", None), ("retried", 3), ("done", 3), ("scored", None)]
    assert journal.retries == 2
    (failed,) = (entry for entry in events(journal) if entry.event == "attempt failed")
    assert len(str(failed.details["traceback"])) == module.TRACEBACK_CHARACTERS
    (done,) = (entry for entry in events(journal) if entry.event == "done")
    assert (done.worker, done.text) == ("cpu-0", "")
    assert events(journal)[-2].text == "70 % success, 0 % garbled, 30 % other"


def test_loads_say_where(journal: Journal) -> None:
    where = {"host": "node-7", "pid": "12", "torch": "2.13"}
    journal.hear(ModelLoaded("model-a", "w1", ModelInfo(30, 4, "llama", "float32", "cuda:0", 32, 2.0, "t", where)))
    (entry,) = events(journal)
    assert (entry.item, entry.details) == (
        "model-a",
        {"seconds": 2.0, "slots": 32, "device": "cuda:0", "host": "node-7", "pid": "12"},
    )


def test_what_the_driver_itself_logs_is_kept_and_still_shown(
    journal: Journal, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger("orchestrator.results.folder").warning("damaged file moved")
    assert [(entry.event, entry.text) for entry in events(journal)] == [("log", "damaged file moved")]
    assert capsys.readouterr().err == "damaged file moved\n"


def test_no_secret_is_written(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "the-key-of-somebody")
    trace = "Traceback: the-key-of-somebody hf_AbCdEfGhIj0123456789"
    journal.hear(AttemptFailed(Failure("cell-a", "job", "refused: the-key-of-somebody", trace, worker="w1")))
    journal.hear(Noted("the-key-of-somebody"))
    text = (journal.folder / "events-000001.jsonl").read_text()
    assert "the-key-of-somebody" not in text
    assert "hf_AbCdEfGhIj0123456789" not in text
    assert text.count("[WANDB_API_KEY]") == 3


def test_unlabelled_and_unfired_cells_are_told_too(journal: Journal) -> None:
    one = cell(None)
    result = result_of(one)
    journal.hear(CellStored(one, result))
    journal.hear(CellScored(axes_of(one), ()))
    assert result.fired == FiredCheck(None)
    assert events(journal)[0].item == one.id
