"""Which failures a filter means, what must be retried with them, and how they are grouped."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.types import Failure
from orchestrator.errors import InputError
from orchestrator.planned_items import item_named, planned_items
from orchestrator.results.store import Store
from orchestrator.retrying import failures_of, list_json, list_lines
from tests.orchestrator.samples import grid, plan_of

CELLS = grid((12, 15), (2.0, 8.0))  # unsteered, 12 x2, 12 x8, 15 x2, 15 x8
BASELINE, FIRST, SECOND, THIRD, FOURTH = (cell.id for cell in CELLS)
PLAN = plan_of(CELLS)
DIRECTION = PLAN.directions[0].id


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = Store(tmp_path)
    store.write_plan(PLAN)
    store.write_failure(Failure(FIRST, "job", "layer 12 is odd", "trace", worker="w1"))
    store.write_failure(Failure(SECOND, "not_fired", "nothing moved", "trace", worker="w2"))
    store.write_failure(Failure(THIRD, "job", "layer 15 is odd", "trace", worker="w2"))
    store.write_failure(Failure(FOURTH, "job", "layer 15 is odd", "trace", attempt=2, worker="w2"))
    return tmp_path


def ids(root: Path, *filters: str, kind: str | None = None) -> list[str]:
    return [one.id for one in failures_of(root, filters, kind).items]


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ([], [FIRST, SECOND, THIRD, FOURTH]),
        (["kind=job"], [FIRST, THIRD, FOURTH]),
        (["kind=job,kind=not_fired"], [FIRST, SECOND, THIRD, FOURTH]),
        (["kind=job", "layer=L15"], [THIRD, FOURTH]),
        (["kind=job,layer=15,multiplier=8x"], [FOURTH]),
        (["mult=2"], [FIRST, THIRD]),
        (["worker=w2", "depth=40%"], [SECOND]),
        (["attempt=2"], [FOURTH]),
        (["model=SMOLLM2,behavior=refusal,method=dim"], [FIRST, SECOND, THIRD, FOURTH]),
        ([f"item={SECOND[:12]}"], [SECOND]),
        ([f"cell={SECOND}"], [SECOND]),
        ([SECOND], [SECOND]),
        ([SECOND.removeprefix("cell-")[:8]], [SECOND]),
        (["steered", "layer=12"], [FIRST, SECOND]),
        (["steered,transfer=no"], [FIRST, SECOND, THIRD, FOURTH]),
        (["all"], [FIRST, SECOND, THIRD, FOURTH]),
    ],
)
def test_filters_speak_the_language_of_compare(root: Path, filters: list[str], wanted: list[str]) -> None:
    assert ids(root, *filters) == wanted


def test_kind_is_a_filter_too(root: Path) -> None:
    assert ids(root, "layer=15", kind="job") == [THIRD, FOURTH]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("knd=job", "did you mean 'kind'"),
        ("kind=jbo", "did you mean 'job'"),
        ("layer=99", "none has it"),
        ("job", "not a filter"),
    ],
)
def test_a_wrong_filter_is_told_with_the_nearest(root: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        ids(root, text)


def test_without_failures_there_are_none_of_any_kind(tmp_path: Path) -> None:
    Store(tmp_path).write_plan(PLAN)
    for kind in ("job", "OUT_OF_MEMORY", "upstream", "poison", "scoring", "unreadable", "ValueError", "TimeoutExpired"):
        assert ids(tmp_path, kind=kind) == []
    assert ids(tmp_path, "layer=12,worker=w1,attempt=2", f"item={FIRST}.refusal@1") == []
    assert list_lines(failures_of(tmp_path)) == ["0 failures"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind=jbo", r"--filter: kind: there is no such kind \(got 'jbo'\); allowed: .*; did you mean 'job'\?"),
        ("kind=TYPO", "there is no such kind"),
        ("knd=job", "did you mean 'kind'"),
        ("layer=99", r"--filter: layer: none has it \(got '99'\); allowed: none, 12, 15"),
        ("method=dmi", "did you mean 'dim'"),
    ],
)
def test_without_failures_a_wrong_filter_is_told_all_the_same(tmp_path: Path, text: str, told: str) -> None:
    Store(tmp_path).write_plan(PLAN)
    with pytest.raises(InputError, match=told):
        ids(tmp_path, text)


def test_a_direction_and_the_cells_that_need_it_go_together(root: Path) -> None:
    store = Store(root)
    store.write_failure(Failure(DIRECTION, "job", "no difference", "trace"))
    for cell_id in (FIRST, SECOND, THIRD, FOURTH):
        store.write_failure(Failure(cell_id, "upstream", "its direction failed", ""))
    everything = [DIRECTION, FIRST, SECOND, THIRD, FOURTH]
    assert ids(root, "kind=upstream", "layer=12") == everything
    assert ids(root, "kind=job") == everything
    assert ids(root, "method=dim") == everything


def test_groups_count_kinds_and_show_the_commonest_message(root: Path) -> None:
    lines = list_lines(failures_of(root), "cleared")
    assert lines == [
        "4 failures cleared:",
        f"  3 x job: layer 15 is odd (smollm2 refusal layer 15 x2, {THIRD})",
        f"  1 x not_fired: nothing moved (smollm2 refusal layer 12 x8, {SECOND})",
    ]
    assert list_lines(failures_of(root, ["layer=12"]))[0] == "2 failures of 4:"
    found = list_json(failures_of(root, ["layer=15"]))
    assert found["groups"] == [{"kind": "job", "count": 2, "message": "layer 15 is odd", "example": THIRD}]
    assert (found["total"], len(found["failures"])) == (4, 2)  # type: ignore[arg-type]


def test_different_messages_of_one_kind_are_told_apart(root: Path) -> None:
    store = Store(root)
    store.write_failure(Failure(FOURTH, "job", "out of memory: 3.5 GB", "trace"))
    store.write_failure(Failure(BASELINE, "job", "out of memory: 12 GB", "trace"))
    groups = list_json(failures_of(root))["groups"]
    assert isinstance(groups, list)
    assert [(one["kind"], one["count"], one["message"]) for one in groups] == [
        ("job", 2, "out of memory: 12 GB"),
        ("job", 2, "layer 12 is odd"),
        ("not_fired", 1, "nothing moved"),
    ]


def test_an_item_is_named_by_its_id_or_by_what_it_is() -> None:
    from orchestrator.results.kept_plan import planned_cells

    items = planned_items(planned_cells(PLAN))
    assert item_named(items, FOURTH).id == FOURTH
    assert item_named(items, FOURTH.removeprefix("cell-")[:8]).id == FOURTH
    assert item_named(items, DIRECTION).name == "smollm2 direction by dim"
    assert item_named(items, "layer=15,multiplier=8").id == FOURTH
    assert item_named(items, "baseline").id == item_named(items, "multiplier=none,item=cell").id == BASELINE
    with pytest.raises(InputError, match="2 cells and directions are meant"):
        item_named(items, "layer=15")
    with pytest.raises(InputError, match="no cell or direction"):
        item_named(items, "cell-zzzz")
