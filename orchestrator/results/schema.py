"""The Parquet files of a results folder: layouts made of declared columns, and tables to and from bytes.

A part (one cell's responses, or its scores) keeps what holds for the whole cell once, as one JSON object in the Parquet
schema's metadata under ``RECORD_KEY``: it is read from the footer alone, is not repeated in every row, and exists even
for a cell without rows. The compacted tables have plain columns only. Pages carry checksums, so a flipped bit is an error.

Files of other versions are read by the names of their columns. One that a file lacks reads as its default if it was added
later, and one that this program does not know is ignored. Damage is: bytes that are not what was written, another cell's
part, a known column of another type or with nulls where none may be, or the lack of a column that every version has.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from operator import attrgetter
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from orchestrator.errors import InputError, Problem
from orchestrator.results import versions
from orchestrator.results.columns import Column, columns_of
from orchestrator.results.comparison_rows import DirectionRow, TransferRow
from orchestrator.results.rate_rows import RateRow
from orchestrator.results.response_row import ResponseRow
from orchestrator.results.rows import CellRow, ResponseLoss, canonical_json, digest_of
from orchestrator.results.seal import seal_holds, sealed
from orchestrator.scoring import Label
from orchestrator.scoring.score import ResponseScore
from orchestrator.storage import Readable, StorageError, StoredFile, UnreadableFileError

BATCH_ROWS = 4096
"""Of a table that is read piece by piece."""

RECORD_KEY = b"steering_sweep"
DIGEST = "sha256"
"""In a record: a digest of the rest, for Parquet checks its pages but not its metadata. Earlier parts have none."""

Table: TypeAlias = pa.Table
Writer: TypeAlias = pq.ParquetWriter

_T = TypeVar("_T")

_ARROW = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "list<int16>": pa.list_(pa.int16()),
    "list<int32>": pa.list_(pa.int32()),
    "list<float64>": pa.list_(pa.float64()),
    "list<bool>": pa.list_(pa.bool_()),
}


@dataclass(frozen=True)
class Layout(Generic[_T]):
    """The columns of one kind of file, in order, and what its rows are made into."""

    columns: tuple[Column, ...]
    row: Callable[..., _T]

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns as Parquet has them."""
        return pa.schema([pa.field(one.name, _ARROW[one.kind], nullable=one.nullable) for one in self.columns])

    def table(self, rows: Sequence[object]) -> Table:
        """Objects with an attribute per column, as a table; lone surrogates, which UTF-8 cannot hold, become U+FFFD."""
        return pa.table({name: _storable(map(attrgetter(name), rows)) for name in self.schema.names}, schema=self.schema)

    def of(self, columns: Mapping[str, object]) -> Table:
        """A table of these ``columns``: lists of values that can be stored, or columns of other tables."""
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def completed(self, table: Table, path: Readable) -> Table:
        """What ``table``, read from ``path``, says in these columns; ``UnreadableFileError`` when it is damaged."""
        if table.schema.equals(self.schema):
            return table
        columns = [self._column(one, table, path) for one in self.columns]
        return pa.table(columns, schema=self.schema.with_metadata(table.schema.metadata))

    def rows(self, table: Table, path: Readable, only: Mapping[str, Collection[str]] = {}) -> list[_T]:
        """The typed rows of ``table``, read from ``path``, or ``only`` those which have one of these values in the column of that
        name; ``UnreadableFileError`` when it is damaged."""
        found = self.completed(table, path)
        if only:
            from pyarrow.compute import field

            for name, values in only.items():
                found = found.filter(field(name).isin(pa.array(values, pa.string())))
        rows = self.typed(found)
        del table, found
        pa.default_memory_pool().release_unused()  # of a large table as much again as its rows take
        return rows

    def typed(self, table: Table) -> list[_T]:
        """The typed rows of a table that has these columns."""
        columns = {one.name: _values(table.column(one.name), one.kind) for one in self.columns}
        return [self.row(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]

    def _column(self, column: Column, table: Table, path: Readable) -> pa.ChunkedArray:
        wanted, found = _ARROW[column.kind], table.schema.get_all_field_indices(column.name)
        if not found and column.added_later:
            return pa.chunked_array([pa.array([column.default] * table.num_rows, wanted)], type=wanted)
        if len(found) != 1:
            raise UnreadableFileError(path, f"has {len(found) or 'no'} columns {column.name}")
        values = table.column(found[0])
        if values.type != wanted or (values.null_count and not column.nullable):
            nulls = f" with {values.null_count} nulls" if values.null_count else ""
            raise UnreadableFileError(path, f"its column {column.name} is {values.type}{nulls}, not {wanted}")
        return values


def layout_of(row: Callable[..., _T]) -> Layout[_T]:
    """The columns that the dataclass ``row`` declares."""
    return Layout(columns_of(row), row)  # type: ignore[arg-type]


RESPONSE_PART = layout_of(ResponseRow)
"""``responses/<cell_id>.parquet``: one row per prompt and sample, in the cell's order."""

LABEL_PART = layout_of(Label)
"""``labels/<cell_id>.parquet`` of earlier versions: one row per response."""

SCORE_PART = layout_of(ResponseScore)
"""``scores/<scorer>/<cell_id>.parquet``: one row per response, in the same order."""

CELLS = layout_of(CellRow)
"""``cells.parquet``: one row per finished cell of the plan and behavior that asks for it, in the plan's order."""

RATES = layout_of(RateRow)
"""``rates.parquet``: one row per scored cell, behavior, scorer and label, cells in the plan's order."""

_SCORES = tuple(one for one in SCORE_PART.columns if one.name != "answer")

SCORES: Layout[dict[str, Any]] = Layout((*columns_of(RateRow, ("cell_id", "scorer")), *_SCORES), dict)
"""``scores.parquet``: one row per response and scorer, cells in the plan's order."""

DIRECTIONS = layout_of(DirectionRow)
"""``directions.parquet``: one row per direction set of the plan and layer."""

TRANSFERS = layout_of(TransferRow)
"""``transfer.parquet``: one row per finished transfer cell and behavior, in the plan's order."""

RESPONSE_AXES = (
    *("cell_id", "model", "quantization", "behavior", "method", "scope", "layer", "intervention", "multiplier"),
    *("positions", "strength", "schedule", "keep_norm", "scales", "site"),
)
"""What ``responses.parquet`` repeats of a ``CellRow`` beside each of its responses."""

_LABELS = tuple(one.or_null() for one in LABEL_PART.columns if one.name not in ("prompt_id", "sample"))

_LOSSES = columns_of(ResponseLoss)

RESPONSES: Layout[dict[str, Any]] = Layout(
    (*columns_of(CellRow, RESPONSE_AXES), *RESPONSE_PART.columns, *_LABELS, *_LOSSES), dict
)
"""``responses.parquet``: one row per response and behavior, cells in the plan's order; the columns of labels and losses are null
where there are none."""

CellResponses: TypeAlias = tuple[CellRow, Table, Table | None, Sequence[ResponseLoss]]
"""A cell's row, its ``RESPONSE_PART`` table, the ``LABEL_PART`` table of its labels (None: it has none) and losses (empty:
it has none)."""


class NewerSchemaError(InputError):
    """A file was written by a newer version of this program; it is left alone."""


def encode_part(layout: Layout[_T], rows: Sequence[_T], record: Mapping[str, object]) -> bytes:
    """A part file: ``rows``, and the ``record`` of the cell, with its digest, in the metadata."""
    return encode_table(layout.table(rows), record)


def encode_table(table: Table, record: Mapping[str, object]) -> bytes:
    """The same of rows that are a table already."""
    content = canonical_json({"version": versions.SCHEMA_VERSION, **record, DIGEST: digest_of(record)})
    table = table.replace_schema_metadata({RECORD_KEY: content.encode()})
    sink = pa.BufferOutputStream()
    with open_writer(sink, table.schema, use_dictionary=False) as writer:
        writer.write_table(table)
    return sealed(sink.getvalue().to_pybytes())


def decode_part(path: Readable, layout: Layout[_T], cell_id: str) -> tuple[Table, dict[str, object]]:
    """The table and the record of a part.

    FileNotFoundError, ``NewerSchemaError``, or ``UnreadableFileError`` when it is damaged or belongs to another cell.
    """
    table, is_sealed = _read(path)
    record = _record(path, (table.schema.metadata or {}).get(RECORD_KEY, b"{}"))
    version = record.pop("version", None)
    digest = record.pop(DIGEST, None)
    if isinstance(version, int) and version > versions.SCHEMA_VERSION:
        message = f"{path} has schema version {version}; this program knows {versions.SCHEMA_VERSION}: update it"
        raise NewerSchemaError(Problem("results", None, message))
    if record.get("cell_id") != cell_id:
        raise UnreadableFileError(path, f"is not the part of {cell_id}")
    if not is_sealed and digest is not None and digest != digest_of(record):  # the seal is over the record too
        raise UnreadableFileError(path, "its record is not what was written")
    return layout.completed(table, path), record


def _record(path: Readable, content: bytes) -> dict[str, object]:
    try:
        record = from_json(content)
    except ValueError as error:
        raise UnreadableFileError(path, f"its record is damaged: {error}") from error
    if not isinstance(record, dict):
        raise UnreadableFileError(path, "its record is damaged")
    return record


def read_table(path: Readable) -> Table:
    """A whole Parquet file, every page's checksum verified and the seal of its footer where it has one; FileNotFoundError,
    ``StorageError``, or ``UnreadableFileError``."""
    return _read(path)[0]


def _read(path: Readable) -> tuple[Table, bool]:
    """And whether it is sealed."""
    content = path.read_bytes()
    holds = seal_holds(content)
    if holds is False:
        raise UnreadableFileError(path, "its footer is not what was written")
    try:
        with pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True) as file:
            return file.read(use_threads=False), holds is not None
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UnreadableFileError(path, str(error)) from error


def batches_of(file: StoredFile, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, from a disk read piece by piece: nothing is buffered ahead. Every page is verified; errors as
    ``read_table``."""
    path = file.path
    try:
        with pa.BufferReader(file.read_bytes()) if path is None else path.open("rb") as source:
            table = pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
            yield from table.iter_batches(batch_size=BATCH_ROWS, columns=list(columns), use_threads=False)
        pa.default_memory_pool().release_unused()
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EIO):
            raise StorageError.of(error, f"read {file.key}", str(file.files.place)) from error
        raise UnreadableFileError(file, str(error)) from error


def texts_of(file: StoredFile, column: str = "cell_id") -> list[str]:
    """A column of names of a table; errors as ``batches_of``."""
    return [one for batch in batches_of(file, [column]) for one in batch.column(column).to_pylist()]


def open_writer(sink: object, schema: pa.Schema, use_dictionary: bool = True) -> Writer:
    """A Parquet writer with the project's settings: zstd, page checksums. Few rows are smaller and faster without a
    dictionary."""
    return Writer(sink, schema, compression="zstd", write_page_checksum=True, use_dictionary=use_dictionary)


def _values(column: pa.ChunkedArray, kind: str) -> list[Any]:
    """Equal texts and lists are one object: a large table says the same in many of its rows."""
    found: list[Any] = column.to_pylist()
    if kind.startswith("list"):
        found = [None if one is None else tuple(one) for one in found]
    elif kind != "string":
        return found
    kept: dict[Any, Any] = {}
    return [kept.setdefault(one, one) for one in found]


def _storable(values: Iterable[object]) -> list[object]:
    return [
        value
        if not isinstance(value, str) or value.isascii()
        else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for value in values
    ]


def responses_table(cells: Sequence[CellResponses]) -> Table:
    """The rows of ``cells`` in ``RESPONSES``."""
    parts = pa.concat_tables([part for _, part, _, _ in cells] or [RESPONSE_PART.schema.empty_table()]).combine_chunks()
    axes = Layout(RESPONSES.columns[: len(RESPONSE_AXES)], dict).table([row for row, _, _, _ in cells])
    rows = np.array([part.num_rows for _, part, _, _ in cells], np.int64)
    repeated = axes.take(np.repeat(np.arange(len(cells)), rows))
    columns: dict[str, object] = {name: repeated.column(name) for name in RESPONSE_AXES}
    columns |= {name: parts.column(name) for name in RESPONSE_PART.schema.names}
    losses = [loss for _, part, _, found in cells for loss in (found or repeat(ResponseLoss(), part.num_rows))]
    shown = pa.schema([RESPONSES.schema.field(one.name) for one in _LABELS])
    labels = [_blank(shown, part.num_rows) if given is None else given.select(shown.names) for _, part, given, _ in cells]
    said = pa.concat_tables([shown.empty_table(), *labels], promote_options="permissive").combine_chunks()
    columns |= {name: said.column(name) for name in shown.names}
    columns |= {one.name: [getattr(loss, one.name) for loss in losses] for one in _LOSSES}
    return pa.table(columns, schema=RESPONSES.schema)


def _blank(schema: pa.Schema, rows: int) -> Table:
    return pa.table([pa.nulls(rows, one.type) for one in schema], schema=schema)


def scores_table(parts: Sequence[tuple[str, str, Table]]) -> Table:
    """The rows in ``SCORES`` of ``parts``: each a cell, a scorer and the ``SCORE_PART`` table that this gave to it."""
    kept = [one.name for one in _SCORES]
    scores = pa.concat_tables([SCORE_PART.schema.empty_table(), *(part for _, _, part in parts)]).combine_chunks().select(kept)
    columns: dict[str, object] = {
        "cell_id": [cell_id for cell_id, _, part in parts for _ in range(part.num_rows)],
        "scorer": [scorer for _, scorer, part in parts for _ in range(part.num_rows)],
        **dict(zip(kept, scores.columns, strict=True)),
    }
    return pa.table(columns, schema=SCORES.schema)
