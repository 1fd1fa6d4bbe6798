"""Explicit columns: the same types whatever the values, and rows that come back as they went in."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.errors import InputError
from orchestrator.results.rows import CellRow, axes_of, measures_of, tally_of
from orchestrator.results.schema import (
    CELLS,
    DIRECTIONS,
    LABEL_PART,
    RECORD_KEY,
    RESPONSE_AXES,
    RESPONSE_PART,
    RESPONSES,
    TRANSFERS,
    Layout,
    NewerSchemaError,
    decode_part,
    encode_part,
    layout_of,
    read_table,
    responses_table,
)
from orchestrator.results.scored_cells import given_labels
from orchestrator.results.versions import SCHEMA_VERSION
from orchestrator.scoring import Label
from orchestrator.storage import UnreadableFileError
from tests.orchestrator.samples import PROMPTS, SHAPE, cell, direction_set, labels_of, result_of

NOW = datetime(2026, 11, 21, 3, 4, 5, 678901, tzinfo=UTC)
LABELS = [Label("a", "normal", "{}", "text@3", "Yes.")]
LATER = pa.schema([*LABEL_PART.schema, pa.field("mood", pa.string(), nullable=False)])


def row(layer: int | None, multiplier: float = 8.0) -> CellRow:
    one = cell(layer, multiplier)
    parts = (
        axes_of(one, SHAPE),
        measures_of(one, result_of(one), direction_set() if one.steering else None, 2, NOW),
        tally_of(given_labels(LABEL_PART.table(labels_of(one, 9, 1))), NOW),
    )
    return CellRow(**{field.name: getattr(part, field.name) for part in parts for field in fields(part)})


TYPES = {
    str: (pa.string(),),
    bool: (pa.bool_(),),
    int: (pa.int16(), pa.int32()),
    float: (pa.float64(),),
    datetime: (pa.timestamp("us", tz="UTC"),),
    tuple[int, ...]: (pa.list_(pa.int16()), pa.list_(pa.int32())),
    tuple[float, ...]: (pa.list_(pa.float64()),),
    tuple[bool, ...]: (pa.list_(pa.bool_()),),
}


@pytest.mark.parametrize("layout", [CELLS, DIRECTIONS, TRANSFERS, RESPONSE_PART, LABEL_PART], ids=lambda one: one.row.__name__)
def test_every_field_of_a_row_is_a_column_of_its_type(layout: Layout[object]) -> None:
    hints = typing.get_type_hints(layout.row)
    assert list(layout.schema.names) == [one.name for one in fields(layout.row)]  # type: ignore[arg-type]
    for name, hint in hints.items():
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        optional = types.NoneType in typing.get_args(hint)
        kind = kinds[0] if optional else hint
        wanted = TYPES[str] if typing.get_origin(kind) is typing.Literal else TYPES[kind]
        assert layout.schema.field(name).type in wanted, name
        assert layout.schema.field(name).nullable == optional, name


def test_what_holds_for_the_cell_stands_beside_each_response() -> None:
    names = RESPONSES.schema.names
    assert names == [
        *RESPONSE_AXES,
        *RESPONSE_PART.schema.names,
        "label",
        "evidence",
        "classifier",
        "answer",
        "outcome",
        "loss",
        "loss_window",
    ]
    assert RESPONSES.schema.field("layer").type == pa.int16()
    assert all(RESPONSES.schema.field(name).nullable for name in ("layer", "multiplier", "label", "evidence"))


@pytest.mark.parametrize("layers", [(None,), (15,), (None, 15, 12), ()])
def test_rows_come_back(tmp_path: Path, layers: tuple[int | None, ...]) -> None:
    rows = [row(layer) for layer in layers]
    path = tmp_path / "cells.parquet"
    pq.write_table(CELLS.table(rows), path)
    assert pq.read_schema(path).equals(CELLS.schema)
    assert CELLS.rows(read_table(path), path) == rows


def test_a_baseline_has_null_axes_of_proper_types() -> None:
    table = CELLS.table([row(None)])
    for name in ("layers", "source_layer", "multiplier", "depth", "intervention", "method", "fired", "norm_ratio"):
        assert table.column(name).null_count == 1, name
        assert not pa.types.is_null(table.column(name).type), name
    assert table.schema.field("layers").type == pa.list_(pa.int16())


def test_what_a_row_says() -> None:
    steered = row(15)
    assert steered.layers == tuple(range(15, 30))
    assert (steered.layer, steered.source_layer, steered.depth) == (15, 15, 0.5)
    assert (steered.direction_raw_norm, steered.extraction_residual_norm) == (15.5, 160.0)
    assert (steered.residual_norm, steered.norm_ratio) == (32.0, 0.25)
    assert (steered.target, steered.success_n, steered.garbled_n, steered.n) == ("coherent_refusal", 9, 1, 10)
    assert steered.success_rate == 0.9
    assert (steered.success_low, steered.success_high) == pytest.approx((0.596, 0.982), abs=5e-4)
    assert (steered.template_sha256, steered.worker, steered.finished_at) == ("abc", "cpu-0", NOW)
    assert steered.fired is True
    assert row(None).fired is None
    assert not row(None).steered


def test_paths_stay_out() -> None:
    target = replace(cell(None).target, source="folder", location="/home/someone/models/mine/", adapter="/secret/adapter")
    axes = axes_of(replace(cell(None), target=target))
    assert axes.location == "mine"
    assert axes.adapter is True


def test_responses_without_labels_have_nulls_of_type_string() -> None:
    one = cell(15, 8.0)
    part = pa.table(
        {
            "prompt_id": [prompt.id for prompt in PROMPTS],
            "prompt": [prompt.text for prompt in PROMPTS],
            "response": [""] * 10,
            "token_ids": pa.array([[]] * 10, pa.list_(pa.int32())),
            "prompt_tokens": pa.array([1] * 10, pa.int32()),
            "new_tokens": pa.array([0] * 10, pa.int32()),
            "finish_reason": ["stop"] * 10,
            "marked_response": pa.nulls(10, pa.string()),
            "prompt_opens": [""] * 10,
            "sample": pa.array([0] * 10, pa.int32()),
            "category": pa.nulls(10, pa.string()),
            "condition_cosines": pa.nulls(10, pa.list_(pa.float64())),
            "acted": pa.nulls(10, pa.list_(pa.bool_())),
        }
    )
    table = responses_table([(row(15), part, None, ())])
    assert table.schema.equals(RESPONSES.schema)
    assert table.column("label").null_count == 10
    assert set(table.column("cell_id").to_pylist()) == {one.id}
    labels = LABEL_PART.table(labels_of(one, 9, 1))
    both = responses_table([(row(15), part, None, ()), (row(15), part, labels, ())])
    assert both.column("label").to_pylist() == [None] * 10 + ["coherent_refusal"] * 9 + ["garbled"]


def test_a_part_comes_back_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "cell-a.parquet"
    path.write_bytes(encode_part(LABEL_PART, LABELS, {"cell_id": "cell-a", "ratio": 0.1, "none": None}))
    table, record = decode_part(path, LABEL_PART, "cell-a")
    assert LABEL_PART.typed(table) == LABELS
    assert record == {"cell_id": "cell-a", "ratio": 0.1, "none": None}
    assert encode_part(LABEL_PART, LABELS, {"cell_id": "cell-a", "ratio": 0.1, "none": None}) == path.read_bytes()


def written(path: Path, table: pa.Table) -> Path:
    """A part of cell-a that holds ``table``, whatever its columns."""
    pq.write_table(table.replace_schema_metadata({RECORD_KEY: b'{"cell_id": "cell-a"}'}), path)
    return path


def test_columns_that_an_earlier_version_did_not_write_are_their_default(tmp_path: Path) -> None:
    earlier = LABEL_PART.table(LABELS).drop_columns("answer")
    table, _ = decode_part(written(tmp_path / "a", earlier), LABEL_PART, "cell-a")
    assert table.schema.equals(LABEL_PART.schema)
    assert LABEL_PART.typed(table) == [replace(LABELS[0], answer=None)]
    cells = CELLS.table([row(15), row(None)]).drop_columns(["layer_selected", "in_sample", "no_answer_n"])
    found = CELLS.rows(cells, tmp_path / "cells.parquet")
    assert [(one.layer_selected, one.in_sample, one.no_answer_n) for one in found] == [(False, None, None)] * 2


@pytest.mark.parametrize("order", [LATER.names, LATER.names[::-1]])
def test_columns_that_a_later_version_added_are_ignored_wherever_they_stand(tmp_path: Path, order: list[str]) -> None:
    later = pa.table([*LABEL_PART.table(LABELS).columns, ["glad"]], schema=LATER).select(order)
    table, _ = decode_part(written(tmp_path / "a", later), LABEL_PART, "cell-a")
    assert table.schema.equals(LABEL_PART.schema)
    assert LABEL_PART.typed(table) == LABELS
    cells = CELLS.table([row(15)]).append_column("mood_n", [[9]])
    assert CELLS.rows(cells, tmp_path / "cells.parquet") == [row(15)]


def test_a_new_column_with_a_default_needs_nothing_else() -> None:
    @dataclass(frozen=True)
    class LabelRow(Label):
        mood: Annotated[str | None, "of the answer"] = None
        weight: Annotated[float, "of the response"] = 1.0

    layout = layout_of(LabelRow)
    assert layout.rows(LABEL_PART.table(LABELS), Path("part")) == [LabelRow(**asdict(LABELS[0]), mood=None, weight=1.0)]
    assert LABEL_PART.rows(layout.table([LabelRow(**asdict(LABELS[0]), mood="glad")]), Path("part")) == LABELS


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda table: table.drop_columns("classifier"), "no columns classifier"),  # every version has a classifier's name
        (lambda table: table.append_column("label", [["normal"]]), "2 columns label"),
        (lambda table: table.set_column(1, "label", pa.array([3])), "label is int64, not string"),
        (lambda table: table.set_column(1, "label", pa.nulls(1, pa.string())), "label is string with 1 nulls"),
    ],
)
def test_known_columns_that_are_not_what_they_were_are_damage(
    tmp_path: Path, changed: Callable[[pa.Table], pa.Table], why: str
) -> None:
    path = written(tmp_path / "a", changed(LABEL_PART.table(LABELS)))
    with pytest.raises(UnreadableFileError, match=why):
        decode_part(path, LABEL_PART, "cell-a")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_nan_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_part(LABEL_PART, LABELS, {"cell_id": "cell-a", "ratio": number})


def test_a_null_where_none_may_be_is_refused() -> None:
    with pytest.raises(ValueError, match="null"):
        encode_part(LABEL_PART, [replace(LABELS[0], evidence=None)], {"cell_id": "cell-a"})  # type: ignore[arg-type]


def test_every_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cell-a.parquet"
    whole = encode_part(LABEL_PART, LABELS * 50, {"cell_id": "cell-a"})
    flipped = bytearray(whole)
    flipped[30] ^= 0xFF
    for damaged in (b"", b"PAR1", whole[:-1], whole[: len(whole) // 2], whole[4:], b"\0" * len(whole), bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableFileError):
            decode_part(path, LABEL_PART, "cell-a")


def test_a_part_of_another_cell_or_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell-b.parquet"
    path.write_bytes(encode_part(LABEL_PART, LABELS, {"cell_id": "cell-a"}))
    with pytest.raises(UnreadableFileError, match="not the part of cell-b"):
        decode_part(path, LABEL_PART, "cell-b")
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(UnreadableFileError, match="not the part of cell-b"):
        decode_part(path, LABEL_PART, "cell-b")
    with pytest.raises(FileNotFoundError):
        decode_part(tmp_path / "missing.parquet", LABEL_PART, "missing")


def test_a_newer_version_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cell-a.parquet"
    content = f'{{"version": {SCHEMA_VERSION + 1}, "cell_id": "cell-a"}}'.encode()
    pq.write_table(LABEL_PART.table(LABELS).replace_schema_metadata({RECORD_KEY: content}), path)
    with pytest.raises(NewerSchemaError, match="update it") as told:
        decode_part(path, LABEL_PART, "cell-a")
    assert isinstance(told.value, InputError)
    assert path.exists()


def test_the_norm_ratio_is_of_what_is_added_and_null_of_what_is_no_length() -> None:
    one = cell(15, 2.0)
    assert one.steering is not None

    def ratio(**changes: object) -> float | None:
        assert one.steering is not None
        action = replace(one.steering.action, **changes)  # type: ignore[arg-type]
        steering = replace(one.steering, action=action)
        return measures_of(replace(one, steering=steering), result_of(one), direction_set(), 1, NOW).norm_ratio

    assert ratio() == 2 / 32
    assert ratio(intervention="replacement", scales="0.5,1,2") == 2 * 0.5 / 32
    assert ratio(scales="raw_norm") == 2 * 15.5 / 32
    assert ratio(strength="relative") == 2 * 160 / 32
    assert ratio(strength="relative", scales="3,1") == 2 * 160 * 3 / 32
    for none in ("ablation", "rotation", "angular", "affine_ablation", "curve", "own.py:change"):
        assert ratio(intervention=none) is None, none
