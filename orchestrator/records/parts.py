"""A finished cell's files as bytes and back: its responses with the cell's record, and its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, cast

from actors.types import CellResult, Response
from orchestrator.cells import Cell
from orchestrator.records.rows import CellAxes, CellMeasures, SteeredAt, digest_of
from orchestrator.schema import LABEL_PART, RESPONSE_PART, Table, decode_part, encode_part
from orchestrator.scoring import LABELS, Label
from orchestrator.storage import Readable, UnreadableFileError


@dataclass(frozen=True, eq=False)
class StoredCell:
    """A finished cell's response table, what was measured, and where it was steered (None: as the plan says)."""

    table: Table
    measures: CellMeasures
    steered: SteeredAt | None

    @property
    def prompts_sha256(self) -> str:
        """The digest of the cell's prompts: their ids and texts, in order."""
        return digest_of(
            list(zip(self.table.column("prompt_id").to_pylist(), self.table.column("prompt").to_pylist(), strict=True))
        )


def in_order(cell: Cell, result: CellResult) -> tuple[Response, ...]:
    """The responses of ``result`` in the order of the cell's prompts; ValueError unless they are exactly those prompts'."""
    answers = {response.prompt_id: response for response in result.responses}
    wanted = [prompt.id for prompt in cell.prompts]
    if result.cell_id != cell.id or len(answers) != len(result.responses) or sorted(answers) != sorted(wanted):
        raise ValueError(f"{cell.id}: the responses of {result.cell_id} are not those of its {len(wanted)} prompts")
    return tuple(answers[prompt_id] for prompt_id in wanted)


def encode_responses(axes: CellAxes, at: SteeredAt | None, measures: CellMeasures, responses: Sequence[Response]) -> bytes:
    """The bytes of ``responses/<cell_id>.parquet``; ValueError for NaN or infinity in the measures."""
    measured = {**asdict(measures), "finished_at": measures.finished_at.isoformat()}
    placed = asdict(axes if at is None else replace(axes, layers=at.layers, source_layer=at.source_layer))
    steered = None if at is None else asdict(at)
    record = {"cell_id": axes.cell_id, "axes": placed, "steered": steered, "measures": measured}
    columns: dict[str, Sequence[object]] = {
        "prompt_id": [response.prompt_id for response in responses],
        "prompt": [storable(response.prompt) for response in responses],
        "response": [storable(response.text) for response in responses],
        "token_ids": [response.token_ids for response in responses],
        "prompt_tokens": [response.prompt_tokens for response in responses],
        "new_tokens": [len(response.token_ids) for response in responses],
        "finish_reason": [response.finish_reason for response in responses],
        "marked_response": [_storable(response.marked) for response in responses],
        "prompt_opens": [_storable(response.prompt_opens) for response in responses],
    }
    try:
        return encode_part(RESPONSE_PART, columns, record)
    except ValueError as error:
        raise ValueError(f"{axes.cell_id}: cannot be stored: {error}") from error


def decode_responses(path: Readable, cell_id: str) -> StoredCell:
    """What was stored of a cell; errors as ``schema.decode_part``. Parts of earlier versions do not say where it was steered."""
    table, record = decode_part(path, RESPONSE_PART, cell_id)
    try:
        planned = int(cast("dict[str, Any]", record["axes"])["n"])
        answered = table.column("prompt_id").to_pylist()
        if len(answered) != planned or len(set(answered)) != planned:
            raise ValueError(f"it holds {len(answered)} responses to {len(set(answered))} prompts, where {planned} were asked")
        measured = cast("dict[str, Any]", record["measures"])
        measures = CellMeasures(**{**measured, "finished_at": datetime.fromisoformat(measured["finished_at"])})
        return StoredCell(table, measures, _steered_at(cast("dict[str, Any] | None", record.get("steered"))))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(path, f"its record is incomplete: {error}") from error


def responses_of(table: Table) -> tuple[Response, ...]:
    """The responses of a response table."""
    return tuple(_response(row) for row in table.to_pylist())


def encode_labels(cell_id: str, labels: Sequence[Label], labelled_at: datetime) -> bytes:
    """The bytes of ``labels/<cell_id>.parquet``."""
    columns = {name: [_storable(getattr(label, name)) for label in labels] for name in LABEL_PART.names}
    return encode_part(LABEL_PART, columns, {"cell_id": cell_id, "labelled_at": labelled_at.isoformat()})


def decode_labels(path: Readable, cell_id: str) -> tuple[tuple[Label, ...], datetime]:
    """The labels of a cell and when they were made; errors as ``schema.decode_part``, and ``UnknownLabelError``."""
    table, record = decode_part(path, LABEL_PART, cell_id)
    LABELS.counts(table.column("label").to_pylist())
    try:
        labels = tuple(Label(**row) for row in table.to_pylist())
        if len({label.prompt_id for label in labels}) != len(labels):
            raise ValueError("it labels a response twice")
        return labels, datetime.fromisoformat(str(record["labelled_at"]))
    except (KeyError, ValueError) as error:
        raise UnreadableFileError(path, f"its record is incomplete: {error}") from error


def storable(text: str) -> str:
    """``text`` with lone surrogates, which UTF-8 cannot hold, replaced by U+FFFD; anything else is kept as it is."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)


def _steered_at(steered: Mapping[str, Any] | None) -> SteeredAt | None:
    return None if steered is None else SteeredAt(tuple(steered["layers"]), steered["source_layer"])


def _response(row: Mapping[str, Any]) -> Response:
    return Response(
        prompt_id=row["prompt_id"],
        prompt=row["prompt"],
        text=row["response"],
        token_ids=tuple(row["token_ids"]),
        prompt_tokens=row["prompt_tokens"],
        finish_reason=row["finish_reason"],
        marked=row["marked_response"],
        prompt_opens=row["prompt_opens"],
    )
