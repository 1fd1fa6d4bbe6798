"""A finished cell's files as bytes and back: its responses with the cell's record, and its scores. Labels of earlier
versions are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

from actors.types import CellResult, Response, SampleKey
from orchestrator.cells import Cell
from orchestrator.damage import MeasuredDamage
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.columns import row_of
from orchestrator.results.response_row import ResponseRow
from orchestrator.results.rows import CellMeasures, SteeredAt, digest_of
from orchestrator.results.schema import LABEL_PART, RESPONSE_PART, SCORE_PART, Table, decode_part, encode_part, encode_table
from orchestrator.scoring import LABELS, Label, LabelKind, LabelSet
from orchestrator.scoring.score import UNREAD, Labels, ResponseScore, Scale, require_declared
from orchestrator.storage import Readable, UnreadableFileError


@dataclass(frozen=True, eq=False)
class StoredCell:
    """A finished cell's response table, what was measured, and where it was steered (None: as the plan says)."""

    table: Table
    measures: CellMeasures
    steered: SteeredAt | None

    @property
    def keys(self) -> list[SampleKey]:
        """Which responses these are, in order."""
        return keys_of(self.table)

    @property
    def prompts_sha256(self) -> str:
        """The digest of the cell's prompts: their ids and texts, in order."""
        return _digest_of_prompts(*(tuple(self.table.column(name).to_pylist()) for name in ("prompt_id", "prompt")))


@lru_cache(maxsize=64)
def _digest_of_prompts(ids: Sequence[str], texts: Sequence[str]) -> str:
    """Cells share their prompts. Each counts once, however many responses it has."""
    return digest_of(list(dict.fromkeys(zip(ids, texts, strict=True))))


def keys_of(table: Table) -> list[SampleKey]:
    """Which responses the rows of a part are of, in order."""
    return list(zip(*(table.column(name).to_pylist() for name in ("prompt_id", "sample")), strict=True))


@dataclass(frozen=True)
class StoredScores:
    """The scores that ``scorer`` gave a cell's responses, a ``SCORE_PART`` table in their order, what it ``says`` it may give,
    and when it did."""

    scorer: str
    says: Labels | Scale
    table: Table
    scored_at: datetime

    @classmethod
    def of(cls, scorer: str, says: Labels | Scale, scores: Sequence[ResponseScore], scored_at: datetime) -> StoredScores:
        """Scores that were just given."""
        return cls(scorer, says, SCORE_PART.table(scores), scored_at)

    @property
    def scores(self) -> tuple[ResponseScore, ...]:
        """They as objects."""
        return tuple(SCORE_PART.typed(self.table))


@dataclass(frozen=True)
class StoredLabels:
    """A cell's labels as earlier versions stored them, the set that was ``declared``, and when they were made."""

    labels: tuple[Label, ...]
    declared: LabelSet
    labelled_at: datetime


def in_order(cell: Cell, result: CellResult) -> tuple[Response, ...]:
    """The responses of ``result`` in the order of the cell's prompts, and of their samples; ValueError unless they are exactly
    those."""
    answers = {response.key: response for response in result.responses}
    wanted = [(prompt.id, sample) for prompt in cell.prompts for sample in range(cell.decoding.samples)]
    if result.cell_id != cell.id or len(answers) != len(result.responses) or sorted(answers) != sorted(wanted):
        raise ValueError(f"{cell.id}: the responses of {result.cell_id} are not those of its {len(cell.prompts)} prompts")
    return tuple(answers[key] for key in wanted)


def encode_responses(
    axes: CellAxes,
    at: SteeredAt | None,
    measures: CellMeasures,
    responses: Sequence[Response],
    categories: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """The bytes of ``responses/<cell_id>.parquet``; ``categories``: of prompts that have one, by their ids. ValueError for NaN or
    infinity in the measures."""
    measured = {**asdict(measures), "finished_at": measures.finished_at.isoformat()}
    placed = asdict(axes if at is None else replace(axes, layers=at.layers, source_layer=at.source_layer))
    steered = None if at is None else asdict(at)
    record = {"cell_id": axes.cell_id, "axes": placed, "steered": steered, "measures": measured}
    try:
        return encode_part(RESPONSE_PART, [ResponseRow.of(one, categories.get(one.prompt_id)) for one in responses], record)
    except ValueError as error:
        raise ValueError(f"{axes.cell_id}: cannot be stored: {error}") from error


def decode_responses(path: Readable, cell_id: str) -> StoredCell:
    """What was stored of a cell; errors as ``schema.decode_part``. Parts of earlier versions do not say where it was steered."""
    table, record = decode_part(path, RESPONSE_PART, cell_id)
    try:
        planned = int(cast("dict[str, Any]", record["axes"])["n"])
        if table.num_rows != planned or not _distinct(table):
            different = len(set(keys_of(table)))
            raise ValueError(f"it holds {table.num_rows} responses, {different} different ones, where {planned} were asked")
        measured = cast("dict[str, Any]", record["measures"])
        measures = row_of(CellMeasures, {**measured, "finished_at": datetime.fromisoformat(measured["finished_at"])})
        return StoredCell(table, measures, _steered_at(cast("dict[str, Any] | None", record.get("steered"))))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(path, f"its record is incomplete: {error}") from error


def responses_of(table: Table) -> tuple[Response, ...]:
    """The responses of a response table."""
    return tuple(row.stored() for row in RESPONSE_PART.typed(table))


def encode_scores(cell_id: str, stored: StoredScores) -> bytes:
    """The bytes of ``scores/<scorer>/<cell_id>.parquet``."""
    says = stored.says
    declared = {"labels": says.names, "target": says.target} if isinstance(says, Labels) else asdict(says)
    record = {"cell_id": cell_id, "scorer": stored.scorer, "scored_at": stored.scored_at.isoformat(), "says": declared}
    return encode_table(stored.table, record)


def decode_scores(path: Readable, scorer: str, cell_id: str) -> StoredScores:
    """The scores of a cell; errors as ``schema.decode_part``."""
    table, record = decode_part(path, SCORE_PART, cell_id)
    try:
        says = cast("dict[str, Any]", record["says"])
        found = Labels(tuple(says["labels"]), says["target"]) if "labels" in says else Scale(**says)
        for label, value in dict.fromkeys(zip(*(table.column(name).to_pylist() for name in ("label", "value")), strict=True)):
            if value is not None or label not in UNREAD:
                require_declared(found, label, value)
        if record["scorer"] != scorer or not _distinct(table):
            raise ValueError("it is of another scorer, or scores a response twice")
        return StoredScores(scorer, found, table, datetime.fromisoformat(str(record["scored_at"])))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(path, f"its record is incomplete: {error}") from error


def decode_damage(file: Readable) -> MeasuredDamage:
    """What a damage item measured; ``UnreadableFileError`` when the file cannot be right."""
    try:
        return MeasuredDamage.decode(file.read_bytes())
    except ValueError as error:
        raise UnreadableFileError(file, str(error)) from error


def same_responses(one: Table, other: Table) -> bool:
    """Whether the rows of two parts are of the same responses in the same order."""
    return all(one.column(name).equals(other.column(name)) for name in ("prompt_id", "sample"))


def _distinct(table: Table) -> bool:
    """Whether no two rows are of the same response."""
    rows = table.num_rows
    return len(set(table.column("prompt_id").to_pylist())) == rows or len(set(keys_of(table))) == rows


def decode_labels(path: Readable, cell_id: str) -> StoredLabels:
    """The labels of a cell; errors as ``schema.decode_part``, and ``UnknownLabelError``. Parts of earlier versions do not say
    what was declared: theirs are the text classifier's."""
    table, record = decode_part(path, LABEL_PART, cell_id)
    try:
        declared = _declared(record.get("declared"))
        outcomes = {name: declared.kind(name).outcome for name in dict.fromkeys(table.column("label").to_pylist())}
        typed = LABEL_PART.typed(table)
        labels = tuple(one if one.outcome == outcomes[one.label] else replace(one, outcome=outcomes[one.label]) for one in typed)
        if len({label.key for label in labels}) != len(labels):
            raise ValueError("it labels a response twice")
        return StoredLabels(labels, declared, datetime.fromisoformat(str(record["labelled_at"])))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableFileError(path, f"its record is incomplete: {error}") from error


def _declared(kinds: Any) -> LabelSet:
    return LABELS if kinds is None else LabelSet(tuple(row_of(LabelKind, kind) for kind in kinds))


def _steered_at(steered: Mapping[str, Any] | None) -> SteeredAt | None:
    return None if steered is None else SteeredAt(tuple(steered["layers"]), steered["source_layer"])
