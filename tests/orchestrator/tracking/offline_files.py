"""Reads W&B's offline files back: LevelDB-framed protobuf records, checksums verified. Independent of the code under test."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = 32768
HEADER = struct.Struct("<IHB")
WHOLE, LAST = 1, 4


@dataclass
class OfflineFile:
    """What one ``run-<id>.wandb`` holds."""

    path: Path
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    """Name -> the names of the files within."""
    tags: list[str] = field(default_factory=list)
    axes: dict[str, str] = field(default_factory=dict)
    """Metric, or a pattern of metrics -> the metric that it is drawn over."""
    ended: bool = False

    def table(self, name: str) -> dict[str, Any]:
        """The last logged table of that name: ``columns`` and ``data``."""
        (*_, where) = (row[f"{name}/path"] for row in self.history if f"{name}/path" in row)
        table: dict[str, Any] = json.loads((self.path.parent / "files" / where).read_text(encoding="utf-8"))
        return table


def read_offline(path: Path) -> OfflineFile:
    """Read a file; AssertionError when it is damaged."""
    from wandb.proto import wandb_internal_pb2

    found = OfflineFile(path)
    for data in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.config |= {item.key: json.loads(item.value_json) for item in (*record.run.config.update, *record.config.update)}
        found.summary |= _named(record.summary.update)
        if record.history.item:
            found.history.append(_named(record.history.item))
        if record.artifact.name:
            found.artifacts[record.artifact.name] = [entry.path for entry in record.artifact.manifest.contents]
        found.tags += record.run.tags
        if record.metric.step_metric:
            found.axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        found.ended |= record.HasField("exit")
    return found


def offline_files(results: Path, run_id: str) -> list[OfflineFile]:
    """All fragments of a run in a results folder, oldest first."""
    return [read_offline(path) for path in sorted((results / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"))]


def records(data: bytes) -> Iterator[bytes]:
    """The protobuf records of a LevelDB-framed log."""
    assert data[:4] == b":W&B"
    at, parts = HEADER.size, b""
    while at + HEADER.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER.size:  # the rest of a block too short for a header is padding
            at += left
            continue
        checksum, length, kind = HEADER.unpack_from(data, at)
        body = data[at + HEADER.size : at + HEADER.size + length]
        assert zlib.crc32(bytes([kind]) + body) == checksum
        parts, at = parts + body, at + HEADER.size + length
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""


def _named(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
