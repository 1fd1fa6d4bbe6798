"""Everything about one cell: its events among those of others, what is stored of it, its failure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from actors.types import Failure, ModelInfo
from orchestrator.control.history import entries_of, history_json, history_lines, read_history
from orchestrator.errors import InputError
from orchestrator.logs import Journal, LogEntry
from orchestrator.logs.showing import Feed
from orchestrator.news import AttemptFailed, CellScored, CellStored, ItemFailed, ModelLoaded, Noted, Submitted, WorkerDied
from orchestrator.results.folder import Folder
from orchestrator.results.rows import axes_of
from orchestrator.results.store import Store
from tests.orchestrator.samples import filled, grid, labels_of, plan_of, result_of

CELLS = grid()
ONE, OTHER = CELLS[1], CELLS[2]


def happened(journal: Journal) -> None:
    """A load, a piece of two cells whose worker warns and dies, and another attempt elsewhere, with a failure and a success."""
    journal.hear(ModelLoaded("model-a", "w1", ModelInfo(30, 4, "llama", "float32", "cpu", 32, 2.0, "t", {"host": "node-1"})))
    journal.write(LogEntry("log", "not of this piece", "w1"))
    journal.hear(Submitted("w1", "generate", (ONE.id, OTHER.id)))
    journal.write(LogEntry("log", "out of memory: going on with 16 slots", "w1", details={"level": "WARNING"}))
    journal.write(LogEntry("log", "of another worker", "w2"))
    journal.hear(WorkerDied("w1", "killed", (ONE.id, OTHER.id)))
    journal.write(LogEntry("log", "after its death", "w1"))
    journal.hear(Submitted("w2", "generate", (ONE.id,)))
    journal.hear(Submitted("w3", "generate", (OTHER.id,)))
    journal.hear(AttemptFailed(Failure(OTHER.id, "job", "no such layer", "Traceback\n  line 1", worker="w3")))
    journal.hear(ItemFailed(Failure(OTHER.id, "job", "no such layer", "Traceback\n  line 1", attempt=2, worker="w3")))
    journal.hear(CellStored(ONE, result_of(ONE)))
    journal.hear(CellScored(axes_of(ONE), labels_of(ONE)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = filled(tmp_path, [ONE])
    store.write_plan(plan_of(CELLS))
    store.write_failure(Failure(OTHER.id, "job", "no such layer", "Traceback\n  line 1", attempt=2, worker="w3"))
    with Journal(Folder(tmp_path).logs) as journal:
        happened(journal)
    return tmp_path


def events(root: Path, cell_id: str) -> list[tuple[str, str, str]]:
    return [(entry.event, entry.worker, entry.text) for entry in read_history(root, cell_id).entries]


def test_the_history_of_a_cell_has_what_concerns_it_and_no_more(root: Path) -> None:
    assert events(root, ONE.id) == [
        ("loaded", "w1", "on cpu, 32 slots"),
        ("submitted", "w1", "generate"),
        ("log", "w1", "out of memory: going on with 16 slots"),
        ("lost", "w1", "killed"),
        ("retried", "w2", "attempt 2"),
        ("submitted", "w2", "generate"),
        ("done", "cpu-0", ""),
        ("scored", "", "0 % success, 0 % garbled, 100 % other"),
    ]


def test_a_finished_cell_says_where_when_and_how_long(root: Path) -> None:
    found = read_history(root, "layer=12,multiplier=2")
    assert (found.item.id, found.state) == (ONE.id, "done")
    lines = history_lines(found)
    assert lines[0] == f"{ONE.id}  smollm2 refusal layer 12 x2: done"
    assert "on cpu-0, attempt 1, 1.2 s, 30 tokens" in lines[1]
    assert any("w1  log" in line and "WARNING: out of memory: going on with 16 slots" in line for line in lines)
    assert any("loaded" in line and line.endswith("in 2 s, on node-1") for line in lines)
    stored = history_json(found)["stored"]
    assert isinstance(stored, dict)
    assert (stored["worker"], stored["seconds"]) == ("cpu-0", 1.25)


def test_a_failed_cell_shows_its_traceback(root: Path) -> None:
    found = read_history(root, OTHER.id)
    assert found.state == "failed"
    assert history_lines(found)[-3:] == ["failed at attempt 2: job: no such layer", "Traceback", "  line 1"]
    failure = history_json(found)["failure"]
    assert isinstance(failure, dict)
    assert failure["traceback"] == "Traceback\n  line 1"
    json.dumps(history_json(found))


def test_a_cell_that_did_not_run_yet_says_so(root: Path) -> None:
    found = read_history(root, CELLS[3].id)
    assert found.state == "open"
    assert history_lines(found)[-1] == "the log has no events of it"


def test_a_damaged_part_is_left_where_it_is(root: Path) -> None:
    path = root / "responses" / f"{ONE.id}.parquet"
    path.write_bytes(b"no parquet")
    assert read_history(root, ONE.id).measures is None
    assert path.exists()


def test_another_driver_begins_anew(tmp_path: Path) -> None:
    submitted = LogEntry("submitted", "generate", "w1", items=("a",))
    log = LogEntry("log", "of the next driver", "w1")
    assert list(entries_of("a", [submitted, LogEntry("started"), log])) == [submitted]


def test_the_feed_gives_the_last_and_then_what_is_new(root: Path) -> None:
    feed = Feed(root, None, None, as_json=True)
    last = [json.loads(line) for line in feed.last(2)]
    assert [entry["event"] for entry in last] == ["done", "scored"]
    assert list(feed.more()) == []
    with Journal(Folder(root).logs) as journal:
        journal.hear(Noted("something new"))
    assert [json.loads(line)["text"] for line in feed.more()] == ["something new"]


def test_the_feed_of_a_worker_or_a_cell(root: Path) -> None:
    lines = Feed(root, None, "w3", as_json=False).last(50)
    assert [line.split("  ")[1:3] for line in lines] == [
        ["w3", "retried"],
        ["w3", "submitted"],
        ["w3", "attempt failed"],
        ["w3", "failed"],
    ]
    assert "(smollm2 refusal layer 12 x8)" in lines[0]
    assert len(Feed(root, OTHER.id, "w3", as_json=False).last(50)) == 4
    assert len(Feed(root, OTHER.id, None, as_json=False).last(50)) == 6
    with pytest.raises(InputError, match=r"no such worker in the log.*w1, w2, w3"):
        Feed(root, None, "w9", as_json=False).last(5)


def test_results_without_logs_are_told(tmp_path: Path) -> None:
    Store(tmp_path).write_plan(plan_of(CELLS))
    with pytest.raises(InputError, match="holds no logs"):
        Feed(tmp_path, None, None, as_json=False)
