from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

from rich.console import Console

from benchmarks.ratios import Pair, paired
from benchmarks.table import Result, publish
from benchmarks.timing import Rounds, Sample, Work


def result() -> Result:
    kept = tuple(
        {"ours": Sample(Work(2, 20, {"decode_seconds": 0.5}), seconds, 0.1), "theirs": Sample(Work(2, 20), 4 * seconds, 0.0)}
        for seconds in (1.0, 2.0, 4.0)
    )
    rounds = Rounds(kept, kept[:1], 1)
    return Result("sample", {"rows": 2}, rounds, [paired(rounds, Pair("ours", "theirs", 3.5))], {"more": 1}, ["a [bold] note"])


def test_the_document(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    publish(result(), path, Console(file=StringIO()))
    document = json.loads(path.read_text(encoding="utf-8"))
    assert set(document) == {
        "schema",
        "benchmark",
        "machine",
        "settings",
        "contenders",
        "ratios",
        "extra",
        "rounds_set_aside",
        "rounds_disturbed",
        "notes",
    }
    assert document["contenders"]["ours"]["tokens_per_second"] == {"median": 10.0, "low": 5.0, "high": 20.0}
    assert document["contenders"]["ours"]["samples"][0] == {
        "rows": 2,
        "new_tokens": 20,
        "seconds": 1.0,
        "cpu_seconds": 0.0,
        "others_cores": 0.1,
        "parts": {"decode_seconds": 0.5},
    }
    assert document["ratios"] == [
        {
            "of": "ours",
            "to": "theirs",
            "metric": "tokens/s",
            "summary": {"median": 4.0, "low": 4.0, "high": 4.0},
            "target": 3.5,
            "verdict": "met",
        }
    ]
    assert (document["rounds_set_aside"], document["rounds_disturbed"]) == (1, 1)


def test_the_machine_is_described_without_names_or_paths(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    publish(result(), path, Console(file=StringIO()))
    machine = json.loads(path.read_text(encoding="utf-8"))["machine"]
    assert not any("/" in value for value in machine.values())
    assert {"cores", "instructions", "threads", "torch", "date"} <= set(machine)


def test_the_printed_table() -> None:
    out = StringIO()
    publish(result(), None, Console(file=out, width=160))
    text = out.getvalue()
    assert "a [bold] note" in text
    assert "ours / theirs" in text
    assert "met" in text
    assert "1 rounds set aside" in text
    assert "read the spread before the median" in text
