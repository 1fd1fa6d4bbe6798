"""The tables at the end of a run, read from the results folder: cells, a sample of the responses, failures. All bounded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.outcome import COUNTED
from orchestrator.redaction import redacted
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.untrusted import visible

MAX_ROWS = 10_000
"""Rows of a table; the Parquet files hold all."""

MAX_RESPONSES = 5_000
"""Responses up to which all of a run are in the table; of more it has a sample."""

SAMPLED_CELLS = 60
RESPONSES_PER_CELL = 4
TEXT_SHOWN = 1000
KEPT_SUFFIXES = (".md", ".html", ".parquet", ".svg", ".pdf", ".png", ".csv", ".tex")

CELL_COLUMNS = (
    *("cell_id", "model", "family", "quantization", "dtype", "behavior", "method", "method_options", "extractor"),
    *("source_model", "is_transfer"),
    *("scope", "layer", "source_layer", "depth", "intervention", "positions", "strength", "schedule", "keep_norm"),
    *("scales", "site"),
    *("multiplier", "n", "target"),
    *(f"{name}_{what}" for name in COUNTED for what in ("rate", "low", "high")),
    *("fired", "shift_ratio_min", "shift_ratio_max", "stray_max", "residual_norm", "norm_ratio", "direction_raw_norm"),
    *("new_tokens", "seconds", "attempt"),
)
RESPONSE_AXES = ("cell_id", "model", "quantization", "behavior", "method", "method_options", "scope", "layer", "multiplier")
RESPONSE_COLUMNS = (*RESPONSE_AXES, "prompt_id", "sample", "prompt", "response", "finish_reason", "label", "evidence", "answer")
FAILURE_COLUMNS = ("item_id", "kind", "message", "attempt", "worker")


@dataclass(frozen=True)
class TrackedTable:
    """A table under its name; every text in it is shown as written, control characters written out."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def tables_of(store: Store) -> list[TrackedTable]:
    """What a results folder says: all its cells, their responses (of more than ``MAX_RESPONSES`` a sample), what failed."""
    rows = store.cell_rows()
    failures = [
        [failure.item_id, failure.kind, _shown(redacted(failure.message)), failure.attempt, failure.worker]
        for failure in store.failures()[:MAX_ROWS]
    ]
    return [
        TrackedTable("cells", CELL_COLUMNS, [[_plain(getattr(row, name)) for name in CELL_COLUMNS] for row in rows[:MAX_ROWS]]),
        TrackedTable("responses", RESPONSE_COLUMNS, list(_responses(store, rows))),
        TrackedTable("failures", FAILURE_COLUMNS, failures),
    ]


def files_of(store: Store) -> list[tuple[Path, str]]:
    """The report with its figures, and the compacted tables: each file with its path below the results folder."""
    root = store.fetched()
    found = [path for folder in (root, root / "report") if folder.is_dir() for path in sorted(folder.iterdir())]
    return [
        (path, path.relative_to(root).as_posix())
        for path in found
        if path.is_file() and not path.is_symlink() and path.suffix in KEPT_SUFFIXES and not path.name.startswith(".")
    ]


def _responses(store: Store, rows: Sequence[CellRow]) -> Iterator[list[object]]:
    """All of them in the order of the cells; or a sample, of the same cells and prompts whatever the order in which they were
    finished: those whose ids have the smallest digests."""
    whole = sum(row.n for row in rows) <= MAX_RESPONSES
    sampled = rows if whole else sorted(rows, key=lambda row: _rank(row.cell_id))[:SAMPLED_CELLS]
    for row in sampled:
        try:
            labels = {label.key: label for label in store.read_labels(*row.key)}
            responses = list(store.read_responses(row.cell_id))
        except (FileNotFoundError, UnreadableFileError):
            continue
        if not whole:
            responses = sorted(responses, key=lambda one: (one.sample, _rank(row.cell_id + one.prompt_id)))[:RESPONSES_PER_CELL]
        for response in responses:
            label = labels.get(response.key)
            told = (response.prompt_id, response.sample, response.prompt, response.text, response.finish_reason)
            judged = (None, None, None) if label is None else (label.label, label.evidence, label.answer)
            yield [*(_plain(getattr(row, name)) for name in RESPONSE_AXES), *(_plain(one) for one in (*told, *judged))]


def _rank(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _plain(value: object) -> object:
    return _shown(value) if isinstance(value, str) else value


def _shown(text: str) -> str:
    return visible(text, TEXT_SHOWN, keep_lines=True)
