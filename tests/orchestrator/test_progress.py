"""What the progress display derives from the board, and what it prints on and off a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from actors.types import CellResult, Failure, FiredCheck, ModelInfo, Underway
from orchestrator.cells import variant_id
from orchestrator.duration import duration
from orchestrator.news import CellScored, CellStored, ItemFailed, ModelLoaded, WorkerUnderway
from orchestrator.progress import Bars, Display, Lines, cell_name, label_shares, make_display, progress_of
from orchestrator.results.rows import axes_of
from orchestrator.scheduling.board import Board
from orchestrator.scheduling.slots import WorkerSlot
from orchestrator.scoring import Label
from tests.orchestrator.samples import MODEL, cell, grid, plan_of

CELLS = grid()
PLAN = plan_of(CELLS)
VARIANT = variant_id(MODEL)
LABELS = [
    *(Label(f"p{number}", "coherent_refusal", "{}", "t", outcome="success") for number in range(7)),
    Label("p8", "garbled", "{}", "t", outcome="garbled"),
    *(Label(f"q{number}", "normal", "{}", "t", outcome="other") for number in range(2)),
]


def result(cell_id: str, seconds: float = 5.0) -> CellResult:
    return CellResult(cell_id, (), FiredCheck(True), 1.0, seconds=seconds, new_tokens=100)


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=terminal, markup=False, highlight=False)


def shown(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def board_after(finished: int, failed: int = 0) -> Board:
    board = Board(PLAN, {PLAN.directions[0].id})
    board.start([board[one.id] for one in CELLS], "w1")
    for one in CELLS[:finished]:
        board.finish(one.id, result(one.id))
    for one in CELLS[finished : finished + failed]:
        board.fail(Failure(one.id, "job", "no", ""))
    return board


def test_the_first_tokens_tell_no_time_left() -> None:
    board, where = board_after(0), console()
    board.slots["w1"] = WorkerSlot("w1", VARIANT, items={CELLS[0].id: board[CELLS[0].id]})
    board.slots["w1"].underway = Underway(tokens=1, rows=50, seconds=2.0)
    Lines(PLAN, board, where).hear(WorkerUnderway("w1", Underway(1, 50, 2.0)))
    assert progress_of(board, VARIANT, "smollm2").seconds_left is None
    assert shown(where).rstrip().endswith("generating 50 rows")


def test_rows_that_are_underway_are_told_before_the_first_cell_is_done() -> None:
    """Two workers of the fastest kind: 300 tokens in 3 s each; five cells of ten rows have 100 tokens a row at most."""
    board, where = board_after(0), console()
    lines = Lines(PLAN, board, where)
    for name in ("w1", "w2"):
        board.slots[name] = WorkerSlot(name, VARIANT, items={CELLS[0].id: board[CELLS[0].id]})
        board.slots[name].underway = Underway(tokens=300, rows=25, seconds=3.0)
        lines.hear(WorkerUnderway(name, Underway(300, 25, 3.0)))
    now = progress_of(board, VARIANT, "smollm2")
    assert now.rows == 50
    assert now.tokens_per_second == pytest.approx(200.0)
    assert now.seconds_left == pytest.approx((5000 - 600) / 200)
    assert shown(where).count("generating 25 rows  100 tokens/s  at most 47 s left") == 1, "one line in five seconds"
    board.finish(CELLS[0].id, result(CELLS[0].id))
    assert "generating" not in str(progress_of(board, VARIANT, "smollm2"))
    lines.hear(WorkerUnderway("w1", Underway(400, 15, 4.0)))
    assert shown(where).count("generating") == 1


def test_progress_counts_cells_and_estimates_from_those_of_this_run() -> None:
    now = progress_of(board_after(2, failed=1), VARIANT, "smollm2")
    assert (now.done, now.failed, now.total) == (2, 1, 5)
    assert now.tokens_per_second == pytest.approx(200 / 10)
    assert now.seconds_left == pytest.approx(2 * 10 / (20 / 10)), "two cells of ten rows at two rows a second"


def test_two_workers_halve_the_time_left() -> None:
    board = board_after(1)
    board.start([board[CELLS[1].id]], "w2")
    now = progress_of(board, VARIANT, "smollm2")
    assert now.seconds_left == pytest.approx(40 / 2 / 2)
    assert now.tokens_per_second == pytest.approx(100 / 5 * 2)


def test_nothing_is_estimated_before_the_first_cell() -> None:
    now = progress_of(board_after(0), VARIANT, "smollm2")
    assert (now.tokens_per_second, now.seconds_left) == (None, None)


def test_the_display_suits_the_console() -> None:
    board = board_after(0)
    assert type(make_display(PLAN, board, console())) is Lines
    assert type(make_display(PLAN, board, console(terminal=True))) is Bars
    assert type(make_display(PLAN, board, console(terminal=True), quiet=True)) is Display


def test_lines_are_few_and_without_control_characters() -> None:
    ticks: Iterator[float] = iter([0.0, 1.0, 1.0, 1.0, 1.5, 9.0, 9.0, 9.0])
    where, board = console(), board_after(2)
    lines = Lines(PLAN, board, where, clock=lambda: next(ticks))
    for _ in range(3):
        lines.hear(CellScored(axes_of(cell(15, 8.0)), LABELS))
    told = shown(where).splitlines()
    assert len(told) == 2, "the second came half a second after the first"
    assert told[0].startswith("[   1 s] 2/5 cells, 20 tokens/s, about 15 s left | smollm2 refusal layer 15 x8: 70 % success")
    assert "\x1b" not in shown(where)


def test_the_last_cell_always_gets_its_line() -> None:
    where, board = console(), board_after(5)
    lines = Lines(PLAN, board, where, clock=lambda: 0.0)
    lines.hear(CellScored(axes_of(CELLS[0]), LABELS))
    lines.hear(CellScored(axes_of(CELLS[1]), LABELS))
    assert shown(where).count("5/5 cells") == 2


def test_failures_are_told_with_the_cell_and_cannot_drive_the_terminal() -> None:
    where, board = console(), board_after(0, failed=1)
    lines = Lines(PLAN, board, where, clock=lambda: 0.0)
    lines.hear(ItemFailed(Failure(CELLS[1].id, "job", "bad \x1b[31m[red]layer[/red]\nsecond line", "")))
    told = shown(where)
    assert "failed: smollm2 refusal layer 12 x2: job: bad  [31m[red]layer[/red]" in told
    assert "\x1b" not in told
    assert "second line" not in told


def test_bars_show_every_model_and_end_full() -> None:
    where, board = console(terminal=True), board_after(4, failed=1)
    with Bars(PLAN, board, where) as bars:
        bars.hear(ModelLoaded(VARIANT, "w1", ModelInfo(30, 4, "llama", "float32", "cpu", 32, 2.0, "t")))
        bars.hear(CellStored(CELLS[0], result(CELLS[0].id)))
    told = shown(where)
    assert "smollm2" in told
    assert "5/5" in told
    assert "1 failed  done" in told


class Counted:
    """Bars that count how often they are brought up to date."""

    def __init__(self, bars: Bars) -> None:
        self.draws = 0
        self._draw = bars._draw
        bars._draw = self  # type: ignore[method-assign]

    def __call__(self) -> None:
        self.draws += 1
        self._draw()


def test_bars_move_no_faster_than_they_are_shown() -> None:
    now = 0.0
    where, board = console(terminal=True), board_after(0)
    bars = Bars(PLAN, board, where, clock=lambda: now)
    counted = Counted(bars)
    with bars:
        for number in range(1000):
            now = number / 100
            bars.hear(CellStored(CELLS[0], result(CELLS[0].id)))
        board.finish(CELLS[0].id, result(CELLS[0].id))
    assert 50 < counted.draws <= 103, "ten seconds, ten times a second, the beginning and the end"
    assert "1/5" in shown(where), "the end is never left out"


def test_names_of_cells_and_durations() -> None:
    assert cell_name(CELLS[0]) == "smollm2 refusal unsteered"
    assert label_shares(LABELS) == "70 % success, 10 % garbled, 20 % other"
    assert label_shares([]) == "0 % success, 0 % garbled, 0 % other"
    assert [duration(seconds) for seconds in (4.4, 120, 5400)] == ["4 s", "2 min", "1 h 30 min"]
