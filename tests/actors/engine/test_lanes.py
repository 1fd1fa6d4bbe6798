"""How a batch is divided, and that lanes leave PyTorch's threads as they found them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from actors.engine.lanes import LOOK_AGAIN, ROWS_PER_LANE, SHORTEST, Lanes, Piece, lanes_for
from actors.engine.packing import Packing, pack
from actors.steering import SteeringHooks, SteeringTable, TableInForce
from tests.threads import on_threads
from tests.tiny import tiny_model


@pytest.mark.parametrize(
    ("n_rows", "lanes", "step", "sizes"),
    [
        (130, 2, 1, [65, 65]),
        (131, 2, 1, [65, 66]),
        (130, 1, 1, [130]),
        (2 * ROWS_PER_LANE - 1, 2, 1, [2 * ROWS_PER_LANE - 1]),
        (2 * ROWS_PER_LANE, 8, 1, [ROWS_PER_LANE] * 2),
        (112, 2, 16, [48, 64]),
        (48, 2, 48, [48]),
    ],
)
def test_parts_are_multiples_of_the_step_and_worth_a_lane(n_rows: int, lanes: int, step: int, sizes: list[int]) -> None:
    spans = Lanes(lanes).parts(n_rows, step)
    assert [span.stop - span.start for span in spans] == sizes
    assert [span.start for span in spans] == [sum(sizes[:number]) for number in range(len(sizes))]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_shares_hold_every_row_once_and_are_about_equal(count: int) -> None:
    draw = random.Random(count)
    for _ in range(200):
        pieces = [Piece(draw.randint(1, 60), draw.choice([8, 14, 24]), draw.randint(1, 30)) for _ in range(draw.randint(1, 12))]
        shares = Lanes(count).shares(pieces)
        assert len(shares) <= count
        assert all(shares)
        found = [(number, row) for share in shares for number, rows in share for row in range(rows.start, rows.stop)]
        assert found == [(number, row) for number, piece in enumerate(pieces) for row in range(piece.rows)]
        for share in shares:
            for number, rows in share:
                part, piece = (rows.stop - rows.start) * pieces[number].of_each, pieces[number]
                assert part > ROWS_PER_LANE - piece.of_each or part == piece.products, (
                    "a piece is cut where both parts are worth a lane"
                )
        done = [sum(pieces[number].work * (rows.stop - rows.start) / pieces[number].rows for number, rows in s) for s in shares]
        most = max(min(piece.products, 4 * ROWS_PER_LANE) * piece.cost for piece in pieces)
        assert len(shares) < count or max(done) - min(done) <= 2 * most


def test_a_share_ends_within_a_piece() -> None:
    assert Lanes(2).shares([Piece(10, 24, 30.0)]) == [[(0, slice(0, 5))], [(0, slice(5, 10))]]
    assert Lanes(2).shares([Piece(3, 24, 30.0)]) == [[(0, slice(0, 3))]], "one row more is not worth a lane"
    assert Lanes(2).shares([Piece(30, 8, 10.0), Piece(10, 8, 10.0)]) == [
        [(0, slice(0, 21))],
        [(0, slice(21, 30)), (1, slice(0, 10))],
    ]
    assert Lanes(2).shares([Piece(8, 8, 20.0), Piece(8, 8, 10.0)]) == [[(0, slice(0, 8))], [(1, slice(0, 8))]]


@pytest.fixture
def four_threads() -> Iterator[int]:
    yield from on_threads(4)


@pytest.mark.usefixtures("four_threads")
def test_every_lane_has_its_share_of_the_threads_and_they_are_given_back() -> None:
    seen: dict[int, tuple[int, bool]] = {}

    def look(number: int) -> Callable[[], None]:
        def piece() -> None:
            seen[number] = torch.get_num_threads(), torch.is_inference_mode_enabled()

        return piece

    with torch.inference_mode():
        Lanes(2).run([look(0), look(1)])
    assert seen == {0: (2, True), 1: (2, True)}
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_waits_for_the_other_lane(failing: int) -> None:
    ended = threading.Event()
    begun = threading.Event()

    def fail() -> None:
        begun.set()
        raise RuntimeError("can't allocate memory")

    def work() -> None:
        assert begun.wait(60)
        ended.set()

    pieces = [fail, work] if failing == 0 else [work, fail]
    with pytest.raises(RuntimeError, match="allocate"):
        Lanes(2).run(pieces)
    assert ended.is_set()
    assert torch.get_num_threads() == 4


@pytest.fixture
def two_threads() -> Iterator[int]:
    yield from on_threads(2)


def _runs_until_one_part(lanes: Lanes, piece: Callable[[], None], most: int = 20) -> int:
    """Runs in two parts, of which one does ``piece``, until there is one part; ``most`` where there always are two."""
    for run in range(most):
        if len(parts := lanes.parts(2 * ROWS_PER_LANE, 1)) == 1:
            return run
        lanes.run([lambda: None, piece][: len(parts)])
    return most


class Told:
    """What Linux tells of a thread: that it ``had_none`` of the cores nearly all the while, or always had one."""

    def __init__(self, had_none: bool) -> None:
        self._had_none = had_none

    def read_text(self) -> str:
        """Nanoseconds run and waited, and how many times."""
        return f"0 {time.perf_counter_ns() * 9 // 10 if self._had_none else 0} 0\n"


@pytest.mark.usefixtures("two_threads")
def test_lanes_that_are_held_up_are_left_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.engine.lanes.WAITED", Told(had_none=True))
    lanes = Lanes(2, may_leave=True)
    held_up = partial(time.sleep, SHORTEST)
    assert 1 < _runs_until_one_part(lanes, held_up) < 20  # one run alone may be an accident
    for _ in range(LOOK_AGAIN):
        assert len(lanes.parts(2 * ROWS_PER_LANE, 1)) == 1
        lanes.run([lambda: None])
    assert _runs_until_one_part(lanes, held_up) == 1, "one look is enough where nothing has changed"
    for _ in range(LOOK_AGAIN):
        lanes.run([lambda: None])
    monkeypatch.setattr("actors.engine.lanes.WAITED", Told(had_none=False))
    assert _runs_until_one_part(lanes, held_up) == 20


@pytest.mark.usefixtures("two_threads")
def test_a_lane_that_waits_for_a_lock_is_not_held_up() -> None:
    """Which is no process's that took a core: fewer lanes would only be slower."""
    assert _runs_until_one_part(Lanes(2, may_leave=True), partial(time.sleep, SHORTEST)) == 20


@pytest.mark.usefixtures("two_threads")
def test_where_the_system_does_not_tell_lanes_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("actors.engine.lanes.WAITED", tmp_path / "none")
    assert _runs_until_one_part(Lanes(2, may_leave=True), partial(time.sleep, SHORTEST)) == 20


@pytest.mark.usefixtures("four_threads")
def test_one_lane_after_the_other_is_left_and_its_core_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.engine.lanes.WAITED", Told(had_none=True))
    lanes = Lanes(4, may_leave=True)
    seen = []
    for _ in range(60):
        parts = lanes.parts(4 * ROWS_PER_LANE, 1)
        lanes.run([partial(time.sleep, SHORTEST)] * len(parts))
        seen.append(len(parts))
    assert sorted(set(seen), reverse=True) == [4, 3, 2, 1]
    assert seen == sorted(seen, reverse=True)
    threads: list[int] = []
    lanes.run([lambda: threads.append(torch.get_num_threads())])
    assert threads == [1]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_a_lane_of_several_threads_may_wait_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.engine.lanes.WAITED", Told(had_none=True))
    assert _runs_until_one_part(Lanes(2, may_leave=True), partial(time.sleep, SHORTEST), most=10) == 10


@pytest.mark.usefixtures("two_threads")
def test_lanes_that_may_not_be_left_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.engine.lanes.WAITED", Told(had_none=True))
    assert _runs_until_one_part(Lanes(2), partial(time.sleep, SHORTEST), most=10) == 10


@pytest.mark.usefixtures("two_threads")
def test_runs_too_short_to_tell_keep_their_lanes() -> None:
    assert _runs_until_one_part(Lanes(2, may_leave=True), partial(time.sleep, SHORTEST / 20)) == 20


@pytest.mark.usefixtures("four_threads")
def test_only_a_packed_model_has_lanes() -> None:
    assert lanes_for(pack(tiny_model("llama"), torch.device("cpu"))).count == 4
    assert lanes_for(Packing(reason="quantized layers")).count == 1


def test_a_table_in_force_is_its_threads_own() -> None:
    hooks = SteeringHooks()
    hooks.table = SteeringTable({0: torch.ones(1, 1, 4)})
    found: list[TableInForce] = []
    other = threading.Thread(target=lambda: found.append(hooks.table))
    other.start()
    other.join()
    ones = torch.zeros(1, 1, 4)
    assert found[0].apply(0, ones) is ones
    assert hooks.table.apply(0, ones) is not ones
