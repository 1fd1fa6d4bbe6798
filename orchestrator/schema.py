"""The columns of every Parquet file in a results folder, explicit and versioned, and tables to and from bytes.

A part (one cell's responses, or its labels) keeps what holds for the whole cell once, as one JSON object in the Parquet
schema's metadata under ``RECORD_KEY``: it is read from the footer alone, is not repeated in every row, and exists even
for a cell without rows. The compacted tables have plain columns only. Pages carry checksums, so a flipped bit is an error.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType
from typing import Any, TypeAlias, get_args, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.errors import InputError, Problem
from orchestrator.json_text import parse_json
from orchestrator.records.comparison_rows import DirectionRow, TransferRow
from orchestrator.records.rows import CellRow, canonical_json, digest_of
from orchestrator.scoring import LABELS, Label
from orchestrator.storage import Readable, StorageError, StoredFile, UnreadableFileError

SCHEMA_VERSION = 2
"""Raise it when a part gets a column or one changes its meaning; readers refuse what is newer than they are.

2: ``marked_response`` and ``prompt_opens`` of responses, ``answer`` of labels.
"""

TABLES_VERSION = 3
"""Raise it when the compacted tables change: they are then made anew from the parts."""

RECORD_KEY = b"steering_sweep"
DIGEST = "sha256"
"""In a record: a digest of the rest, for Parquet checks its pages but not its metadata. Earlier parts have none."""

Table: TypeAlias = pa.Table
Writer: TypeAlias = pq.ParquetWriter

_LAYERS = pa.list_(pa.int16())
_TOKENS = pa.list_(pa.int32())
_TIME = pa.timestamp("us", tz="UTC")

RESPONSE_PART = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("response", pa.string(), nullable=False),
        pa.field("token_ids", _TOKENS, nullable=False),
        pa.field("prompt_tokens", pa.int32(), nullable=False),
        pa.field("new_tokens", pa.int32(), nullable=False),
        pa.field("finish_reason", pa.string(), nullable=False),
        pa.field("marked_response", pa.string()),
        pa.field("prompt_opens", pa.string()),
    ]
)
"""``responses/<cell_id>.parquet``: one row per prompt, in the cell's order."""

LABEL_PART = pa.schema(
    [
        pa.field("prompt_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("evidence", pa.string(), nullable=False),
        pa.field("classifier", pa.string(), nullable=False),
        pa.field("answer", pa.string()),
    ]
)
"""``labels/<cell_id>.parquet``: one row per response, in the same order."""

_RATES = [
    pa.field(f"{name}_{what}", pa.int32() if what == "n" else pa.float64())
    for name in LABELS.names
    for what in ("n", "rate", "low", "high")
]

CELLS = pa.schema(
    [
        pa.field("cell_id", pa.string(), nullable=False),
        pa.field("direction_id", pa.string()),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("location", pa.string(), nullable=False),
        pa.field("revision", pa.string()),
        pa.field("adapter", pa.bool_(), nullable=False),
        pa.field("dtype", pa.string(), nullable=False),
        pa.field("quantization", pa.string(), nullable=False),
        pa.field("system_prompt", pa.string()),
        pa.field("model_fingerprint", pa.string(), nullable=False),
        pa.field("family", pa.string(), nullable=False),
        pa.field("n_layers", pa.int16()),
        pa.field("d_model", pa.int32()),
        pa.field("behavior", pa.string(), nullable=False),
        pa.field("n", pa.int32(), nullable=False),
        pa.field("max_new_tokens", pa.int32(), nullable=False),
        pa.field("method", pa.string()),
        pa.field("method_options", pa.string()),
        pa.field("extractor", pa.string()),
        pa.field("source_model", pa.string()),
        pa.field("is_transfer", pa.bool_(), nullable=False),
        pa.field("scope", pa.string()),
        pa.field("source_layer", pa.int16()),
        pa.field("depth", pa.float64()),
        pa.field("layers", _LAYERS),
        pa.field("intervention", pa.string()),
        pa.field("multiplier", pa.float64()),
        pa.field("layer_selected", pa.bool_(), nullable=False),
        pa.field("in_sample", pa.bool_()),
        pa.field("prompts_sha256", pa.string()),
        pa.field("classifier", pa.string()),
        pa.field("labelled_at", _TIME),
        *_RATES,
        pa.field("direction_raw_norm", pa.float64()),
        pa.field("extraction_residual_norm", pa.float64()),
        pa.field("direction_cosine_to_full_precision", pa.float64()),
        pa.field("cross_cosine", pa.float64()),
        pa.field("residual_norm", pa.float64()),
        pa.field("norm_ratio", pa.float64()),
        pa.field("fired", pa.bool_()),
        pa.field("shift_ratio_min", pa.float64()),
        pa.field("shift_ratio_max", pa.float64()),
        pa.field("off_axis_max", pa.float64()),
        pa.field("new_tokens", pa.int32(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("attempt", pa.int16(), nullable=False),
        pa.field("worker", pa.string()),
        pa.field("template_sha256", pa.string()),
        pa.field("provenance", pa.string(), nullable=False),
        pa.field("finished_at", _TIME, nullable=False),
    ]
)
"""``cells.parquet``: one row per finished cell of the plan, in the plan's order."""

_ARROW = {str: pa.string(), bool: pa.bool_(), int: pa.int32(), float: pa.float64()}


def _schema_of(row: type) -> pa.Schema:
    """The columns of a row dataclass of plain fields; a field that may be None is nullable."""
    hints = get_type_hints(row)
    kinds = {name: [kind for kind in (get_args(hint) or (hint,)) if kind is not NoneType] for name, hint in hints.items()}
    return pa.schema([pa.field(name, _ARROW[kinds[name][0]], nullable=bool(get_args(hint))) for name, hint in hints.items()])


DIRECTIONS = _schema_of(DirectionRow)
"""``directions.parquet``: one row per direction set of the plan and layer."""

TRANSFERS = _schema_of(TransferRow)
"""``transfer.parquet``: one row per finished transfer cell, in the plan's order."""

RESPONSES = pa.schema(
    [
        pa.field("cell_id", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("behavior", pa.string(), nullable=False),
        pa.field("layer", pa.int16()),
        pa.field("multiplier", pa.float64()),
        *RESPONSE_PART,
        pa.field("label", pa.string()),
        pa.field("evidence", pa.string()),
        pa.field("classifier", pa.string()),
        pa.field("answer", pa.string()),
    ]
)
"""``responses.parquet``: one row per response, cells in the plan's order; ``layer`` is the first steered one."""

_REQUIRED = {field.name for field in fields(CellRow) if field.default is MISSING}
"""The columns that every version of ``cells.parquet`` has."""

Columns = Mapping[str, Sequence[object]]


class NewerSchemaError(InputError):
    """A file was written by a newer version of this program; it is left alone."""


def encode_part(schema: pa.Schema, columns: Columns, record: Mapping[str, object]) -> bytes:
    """A part file: ``columns`` under ``schema``, and the ``record`` of the cell, with its digest, in the metadata."""
    content = canonical_json({"version": SCHEMA_VERSION, **record, DIGEST: digest_of(record)})
    table = pa.table(dict(columns), schema=schema.with_metadata({RECORD_KEY: content.encode()}))
    sink = pa.BufferOutputStream()
    with open_writer(sink, table.schema) as writer:
        writer.write_table(table)
    buffer: bytes = sink.getvalue().to_pybytes()
    return buffer


def decode_part(path: Readable, schema: pa.Schema, cell_id: str) -> tuple[Table, dict[str, object]]:
    """The table and the record of a part.

    FileNotFoundError, ``NewerSchemaError``, or ``UnreadableFileError`` when it is damaged or belongs to another cell.
    """
    table = read_table(path)
    record = _record(path, (table.schema.metadata or {}).get(RECORD_KEY, b"{}"))
    version = record.pop("version", None)
    digest = record.pop(DIGEST, None)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        message = f"{path} has schema version {version}; this program knows {SCHEMA_VERSION}: update it"
        raise NewerSchemaError(Problem("results", None, message))
    completed = _completed(table, schema)
    if record.get("cell_id") != cell_id or completed is None:
        raise UnreadableFileError(path, f"is not the part of {cell_id}")
    if digest is not None and digest != digest_of(record):
        raise UnreadableFileError(path, "its record is not what was written")
    return completed, record


def _completed(table: Table, schema: pa.Schema) -> Table | None:
    """``table`` with the nullable columns of ``schema`` that an earlier version did not write, all null; None when it has
    others, or lacks one that cannot be null."""
    there = set(table.column_names)
    missing = [field for field in schema if field.name not in there]
    if [field for field in schema if field.name in there] != list(table.schema) or not all(field.nullable for field in missing):
        return None
    columns = {
        name: table.column(name) if name in there else pa.nulls(table.num_rows, schema.field(name).type) for name in schema.names
    }
    return pa.table(columns, schema=schema.with_metadata(table.schema.metadata))


def _record(path: Readable, content: bytes) -> dict[str, object]:
    try:
        record = parse_json(content)
    except ValueError as error:
        raise UnreadableFileError(path, f"its record is damaged: {error}") from error
    if not isinstance(record, dict):
        raise UnreadableFileError(path, "its record is damaged")
    return record


def read_table(path: Readable) -> Table:
    """A whole Parquet file, every page's checksum verified; FileNotFoundError, ``StorageError``, or ``UnreadableFileError``."""
    content = path.read_bytes()
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(path, str(error)) from error


def cell_ids(file: StoredFile) -> list[str]:
    """The column ``cell_id`` of a table, from a disk read piece by piece. Every page is verified; errors as ``read_table``."""
    path = file.path
    try:
        with pa.BufferReader(file.read_bytes()) if path is None else path.open("rb") as source:
            table = pq.ParquetFile(source, page_checksum_verification=True)
            batches = table.iter_batches(use_threads=False)
            return [one for batch in batches for one in batch.column("cell_id").to_pylist()]
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise StorageError.of(error, f"read {file.key}", str(file.files.place)) from error
        raise UnreadableFileError(file, str(error)) from error


def open_writer(sink: object, schema: pa.Schema) -> Writer:
    """A Parquet writer with the project's settings: zstd, page checksums."""
    return Writer(sink, schema, compression="zstd", write_page_checksum=True)


def cells_table(rows: Sequence[CellRow]) -> Table:
    """``rows`` as the table ``CELLS``."""
    return table_of(rows, CELLS)


def table_of(rows: Sequence[object], schema: pa.Schema) -> Table:
    """Row dataclasses as a table."""
    return pa.table({name: [getattr(row, name) for row in rows] for name in schema.names}, schema=schema)


def direction_rows_of(table: Table, path: Readable) -> list[DirectionRow]:
    """The typed rows of a ``DIRECTIONS`` table read from ``path``; ``UnreadableFileError`` when it has other columns."""
    return [DirectionRow(**row) for row in _known(table, DIRECTIONS, path)]


def transfer_rows_of(table: Table, path: Readable) -> list[TransferRow]:
    """The typed rows of a ``TRANSFERS`` table read from ``path``; ``UnreadableFileError`` when it has other columns."""
    return [TransferRow(**row) for row in _known(table, TRANSFERS, path)]


def _known(table: Table, schema: pa.Schema, path: Readable) -> list[dict[str, Any]]:
    completed = _completed(table, schema)
    if completed is None:
        raise UnreadableFileError(path, f"has other columns than this program's {path.name}")
    rows: list[dict[str, Any]] = completed.to_pylist()
    return rows


def rows_of(table: Table, path: Readable) -> list[CellRow]:
    """The typed rows of a ``CELLS`` table read from ``path``.

    Columns that an earlier version did not write take their default. ``UnreadableFileError`` when it has other columns.
    """
    known = all(name in CELLS.names and field.type == CELLS.field(name).type for name, field in _fields(table).items())
    if not known or not _REQUIRED.issubset(table.column_names):
        raise UnreadableFileError(path, "has other columns than this program's cells.parquet")
    rows = table.to_pylist()
    for row in rows:
        row["layers"] = None if row["layers"] is None else tuple(row["layers"])
    return [CellRow(**row) for row in rows]


def _fields(table: Table) -> dict[str, pa.Field]:
    return {field.name: field for field in table.schema}


def responses_table(row: CellRow, part: Table, labels: Sequence[Label] | None) -> Table:
    """The rows of one cell in ``RESPONSES``: its ``RESPONSE_PART`` table, its labels (None: nulls), its main axes."""
    n = part.num_rows
    axes = {
        "cell_id": row.cell_id,
        "model": row.model,
        "behavior": row.behavior,
        "layer": row.layer,
        "multiplier": row.multiplier,
    }
    columns: dict[str, object] = {name: [value] * n for name, value in axes.items()}
    columns |= {name: part.column(name) for name in RESPONSE_PART.names}
    for name in ("label", "evidence", "classifier", "answer"):
        columns[name] = [None] * n if labels is None else [getattr(label, name) for label in labels]
    return pa.table(columns, schema=RESPONSES)


def concatenated(tables: Sequence[Table]) -> Table:
    """``tables`` under each other, as one chunk per column."""
    return pa.concat_tables(tables).combine_chunks()
