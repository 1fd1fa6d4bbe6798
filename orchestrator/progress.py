"""Shows how far a sweep is: bars per model on a terminal, plain lines elsewhere, nothing when quiet.

Every number is derived from the board when it is shown; the display keeps none of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from actors.types import Failure, Underway
from orchestrator.cells import Cell
from orchestrator.duration import duration
from orchestrator.errors import plain
from orchestrator.news import CellScored, CellStored, ItemFailed, ItemStored, ModelLoaded, News, Noted, WorkerSaid, WorkerUnderway
from orchestrator.outcome import OUTCOMES, in_words
from orchestrator.outlets import lines_above
from orchestrator.plan import Plan
from orchestrator.planned_items import axes_name
from orchestrator.results.rows import axes_of
from orchestrator.scheduling.board import Board, Item, State
from orchestrator.scheduling.kinds import left_text
from orchestrator.scoring import Label

PLAIN_SECONDS = 2.0
"""Off a terminal, at most one line in this time (failures and notes always)."""

UNDERWAY_SECONDS = 5.0
"""Off a terminal, a line in this time until the first cell is done."""

ENOUGH_TOKENS = 64
"""So many tokens of rows that are underway (or one for each of fewer rows) say how fast a model is; fewer tell of the prompts."""

DRAW_SECONDS = 0.1
"""On a terminal, the bars move at most once in this time: no faster than they are shown."""


@dataclass(frozen=True)
class ModelProgress:
    """How far one model variant is. ``tokens_per_second``: of finished cells, and until there is one of the ``rows`` that are
    underway; None while there are none. ``seconds_left``: while no cell is finished, at most, and None for the first tokens.
    ``others``: what else is left, once no cell is."""

    name: str
    done: int
    failed: int
    total: int
    tokens_per_second: float | None
    seconds_left: float | None
    rows: int = 0
    others: str = ""


def progress_of(board: Board, variant: str, name: str) -> ModelProgress:
    """The cells of a variant. Its seconds left are those of the workers that are now busy with it (at least one)."""
    backlog = board.backlog(variant)
    cells, measured = backlog.cells, backlog.measured
    workers, rate = max(board.workers(variant), 1), board.rows_per_second(variant)
    underway = [slot.underway for slot in list(board.slots.values()) if slot.works_on == variant and slot.underway is not None]
    speed = measured.tokens / measured.seconds * workers if measured.seconds else _speed(underway)
    left = backlog.unfinished.rows / rate / workers if rate else None
    rows, tokens = sum(one.rows for one in underway), sum(one.tokens for one in underway)
    if left is None and speed and tokens >= min(rows, ENOUGH_TOKENS):
        left = (backlog.unfinished.budget - tokens) / speed
    return ModelProgress(
        name=plain(name),
        done=cells[State.DONE],
        failed=cells[State.FAILED],
        total=cells.total(),
        tokens_per_second=speed,
        seconds_left=left,
        rows=rows,
        others="" if cells[State.PENDING] + cells[State.RUNNING] else _left(backlog.items),
    )


def _left(items: Iterable[Item]) -> str:
    return left_text(item.spec.kind for item in items if not item.finished)


def _speed(underway: Sequence[Underway]) -> float | None:
    return sum(one.tokens / one.seconds for one in underway if one.seconds) or None


def time_left(plan: Plan, board: Board) -> float | None:
    """Seconds until all is done, if the workers that are now busy (at least one) go on; None until a cell was measured.

    What a token takes on a variant that was not measured yet: as the plan's estimate says, corrected by how far off it was for
    the others, or else as on the others.
    """
    backlogs = {variant: board.backlog(variant) for variant in board.variants()}
    measured = {variant: one.measured for variant, one in backlogs.items() if one.measured.budget}
    if not measured:
        return None
    guess = {one.variant: one.seconds / one.new_tokens for one in plan.estimate.models if one.new_tokens}
    seconds = sum(one.seconds for one in measured.values())
    expected = sum(one.budget * guess.get(variant, 0.0) for variant, one in measured.items())
    usual = seconds / sum(one.budget for one in measured.values())
    per_token = {variant: guess[variant] * seconds / expected for variant in guess} if expected else {}
    per_token |= {variant: one.seconds / one.budget for variant, one in measured.items()}
    total = sum(one.unfinished.budget * per_token.get(variant, usual) for variant, one in backlogs.items())
    return total / max(board.workers(), 1)


def make_display(plan: Plan, board: Board, console: Console, quiet: bool = False) -> Display:
    """The display that suits ``console``."""
    if quiet:
        return Display()
    return Bars(plan, board, console) if console.is_terminal else Lines(plan, board, console)


class Display:
    """A listener that is entered for the time of the run. This one shows nothing but what workers warn of: a warning about a
    model's numbers is no progress."""

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def hear(self, news: News) -> None:
        """What a worker warns of, once: every worker that loads a model says the same of it."""
        if isinstance(news, WorkerSaid) and news.remark.text not in self._warned:
            self._warned.add(news.remark.text)
            self._warn(f"{news.worker}: {news.remark.text}")

    def _warn(self, text: str) -> None:
        Console(stderr=True, markup=False, highlight=False).print(Text(plain(f"warning: {text}")), soft_wrap=True)


class Lines(Display):
    """A line for a finished cell, but not more often than every ``PLAIN_SECONDS``; one for each failure and note."""

    def __init__(self, plan: Plan, board: Board, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._plan, self._board, self._console, self._clock = plan, board, console, clock
        self._started = clock()
        self._last = float("-inf")

    def hear(self, news: News) -> None:
        """A line of it, if it is for people."""
        super().hear(news)
        match news:
            case ModelLoaded(variant, worker, info):
                name = self._plan.model(variant).name
                self._say(f"{name} loaded on {worker} ({info.device}, {info.slots} slots, {info.load_seconds:.0f} s)")
            case CellScored():
                self._scored(news)
            case ItemStored(event="done"):
                self._measured()
            case WorkerUnderway():
                self._underway()
            case ItemFailed():
                self._say(failure_line(self._board, news.failure))
            case Noted():
                self._say(news.text)

    def _underway(self) -> None:
        """That rows are generated, until there is a cell to tell of."""
        now = [progress_of(self._board, model.variant, model.name) for model in self._plan.models]
        if self._clock() - self._last < UNDERWAY_SECONDS or any(one.done for one in now):
            return
        self._last = self._clock()
        for one in now:
            if one.rows:
                self._say(f"{one.name}: {_rest(one)}")

    def _measured(self) -> None:
        """How much is left, when no cell is that would tell it."""
        left = self._board.cells(State.PENDING) + self._board.cells(State.RUNNING)
        if self._clock() - self._last >= PLAIN_SECONDS and not left:
            self._last = self._clock()
            self._say(_overall(self._plan, self._board))

    def _scored(self, news: CellScored) -> None:
        """The cell, its labels, and how much is left; when lines come too fast, only the last cell gets its own."""
        if self._clock() - self._last < PLAIN_SECONDS and self._board.unfinished():
            return
        self._last = self._clock()
        self._say(f"{_overall(self._plan, self._board)} | {axes_name(news.axes)}: {label_shares(news.labels)}")

    def _say(self, text: str) -> None:
        """The line, with the seconds since the start."""
        seconds = self._clock() - self._started
        self._console.print(Text(plain(f"[{seconds:4.0f} s] {text}")), soft_wrap=True)

    def _warn(self, text: str) -> None:
        self._say(text)


class Bars(Lines):
    """A bar per model that moves; failures and notes scroll by above."""

    def __init__(self, plan: Plan, board: Board, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(plan, board, console, clock)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
        rest = TextColumn("{task.fields[rest]}", markup=False)
        self._bars = Progress(*columns, rest, console=console, redirect_stdout=False, redirect_stderr=False)
        self._above = lines_above(lambda line: console.print(Text(line), soft_wrap=True))
        self._rows: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        for model in self._plan.models:
            if any(item.counted for item in self._board.of(model.variant)):
                self._rows[model.variant] = self._bars.add_task(plain(model.name), rest="waiting")
        self._draw()
        self._bars.start()
        self._above.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._above.__exit__(None, None, None)
        self._draw()
        self._bars.stop()

    def hear(self, news: News) -> None:
        """A line if it is for people; the bars move, if that is due."""
        super().hear(news)
        if isinstance(news, CellStored | ItemStored | ItemFailed | WorkerUnderway):
            self._draw_when_due()

    def _underway(self) -> None:
        """The bars tell it."""

    def _measured(self) -> None:
        """The bars tell it."""

    def _scored(self, news: CellScored) -> None:
        """The bars tell it."""

    def _draw_when_due(self) -> None:
        if self._clock() - self._last >= DRAW_SECONDS:
            self._draw()

    def _draw(self) -> None:
        self._last = self._clock()
        for variant, task in self._rows.items():
            now = progress_of(self._board, variant, "")
            self._bars.update(task, completed=now.done + now.failed, total=now.total, rest=_rest(now))


def cell_name(cell: Cell) -> str:
    """A cell in a few words: ``smollm2 french layer 15 x8``, ``smollm2/int8 french cosmic layer 15 x8``."""
    return axes_name(axes_of(cell))


def label_shares(labels: Sequence[Label]) -> str:
    """``70 % success, 10 % garbled, 20 % other``; the share without an answer where there is any."""
    counts = Counter(label.outcome for label in labels)
    told = [outcome for outcome in OUTCOMES if outcome != "no_answer" or counts[outcome]]
    return ", ".join(f"{100 * counts[outcome] / max(len(labels), 1):.0f} % {in_words(outcome)}" for outcome in told)


def failure_line(board: Board, failure: Failure) -> str:
    """``failed: smollm2 french layer 15 x8: not_fired: ...``, the first line of the message only; of scores that failed, their
    cell."""
    item = board.items.get(failure.item_id.partition(".")[0])
    name = cell_name(item.spec) if item is not None and isinstance(item.spec, Cell) else failure.item_id
    message = failure.message.strip().splitlines() or [""]
    return f"failed: {name}: {failure.kind}: {message[0][:200]}"


def _overall(plan: Plan, board: Board) -> str:
    parts = [progress_of(board, model.variant, model.name) for model in plan.models]
    done, failed, total = (sum(getattr(part, name) for part in parts) for name in ("done", "failed", "total"))
    running = [part for part in parts if part.tokens_per_second is not None and part.done + part.failed < part.total]
    left = time_left(plan, board)
    speed = f", {sum(part.tokens_per_second or 0.0 for part in running):.0f} tokens/s" if running else ""
    eta = f", about {duration(left)} left" if left else ""
    others = "".join(f", {part.others}" for part in parts if part.others)
    return f"{done}/{total} cells{f', {failed} failed' if failed else ''}{others}{speed}{eta}"


def _rest(now: ModelProgress) -> str:
    failed = f"{now.failed} failed  " if now.failed else ""
    if now.done + now.failed == now.total:
        return failed + (now.others or "done") if now.done else failed.rstrip()
    if now.tokens_per_second is None or now.seconds_left is None:
        return failed + (f"generating {now.rows} rows" if now.rows else "waiting")
    rows = "" if now.done else f"generating {now.rows} rows  "
    most = "" if now.done else "at most "
    return f"{failed}{rows}{now.tokens_per_second:.0f} tokens/s  {most}{duration(now.seconds_left)} left"
