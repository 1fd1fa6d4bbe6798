"""Scores the responses of stored cells, in threads of its own: however long a scorer takes, nobody waits who need not.

The scores of one scorer and one cell are an item: done when its file is there. One that fails is recorded by itself, and harms
neither the cell nor the scores of others.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType

from actors.types import Failure, Response
from orchestrator.cells import CellKey
from orchestrator.counting import counted
from orchestrator.news import CellScored, CellStored, ItemFailed, ItemStored, News, Noted, Tell, nobody
from orchestrator.redaction import redacted
from orchestrator.results.answer_losses import UnmeasuredError
from orchestrator.results.cell_axes import CellAxes
from orchestrator.results.judgements import Judgements
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scheduling.attempts import SCORING
from orchestrator.scoring.judges.pool_scorer import NotJudgedError, PoolScorer
from orchestrator.scoring.own_process import ApartScorer
from orchestrator.scoring.planned import scoring_item
from orchestrator.scoring.rules import LossCoherenceScorer
from orchestrator.scoring.score import CellScorer, ResponseScore, Scorer, ScoringError, score_responses
from orchestrator.scoring.uses import Scoring
from orchestrator.scoring.verdict import Verdicts

KEPT = 256
"""Cells whose responses wait in memory for one scorer; those of more are read again when it is their turn."""


def require_scorers(store: Store, scoring: Scoring, cells: Sequence[tuple[str, str]], again: bool = False) -> None:
    """InputError where a scorer that has yet to score any of ``cells`` (each an id and a behavior) cannot: its endpoint is
    away, say. ``again``: what has failed is tried again."""
    asked = [one for one in scoring.made.values() if isinstance(one, CellScorer)]
    if not asked:
        return
    done, failed = store.done_cells(), set() if again else {one.item_id for one in store.failures()}
    for scorer in asked:
        ids = {one for one, behavior in cells if scorer.id in scoring.of(behavior).ids} - store.scored_cells(scorer.id)
        if any((scoring_item(scorer.id, one) if one in done else one) not in failed for one in ids):
            scorer.check()


PATIENCE_SECONDS = 10.0
"""How long scores are waited for without a word."""


@dataclass(frozen=True)
class _ScoringTurn:
    cell_id: str
    responses: Sequence[Response] | None


class Scorekeeper:
    """Scores what it is asked to and stores that. Leaving it waits until all is stored; after an interrupt, or when the storage
    refuses, it waits for no scorer: what one gives later is dropped, and scored by the next run.

    ``threads`` score and store for each scorer of the project; one of the user's own runs in one thread, and so does one that
    takes whole cells. ``waiting``: entered around every wait. ``tell``: who hears of it once it is stored, in any thread.
    """

    def __init__(
        self,
        store: Store,
        scoring: Scoring,
        tell: Tell = nobody,
        threads: int = 1,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._store, self._scoring, self._tell = store, scoring, tell
        self._threads, self._waiting = threads, waiting
        self._queues: dict[str, SimpleQueue[_ScoringTurn | None]] = {}
        self._changed = threading.Condition()
        self._open: set[str] = set()
        self._awaited: set[str] = set()  # those of them that decide
        self._deciding: dict[CellKey, dict[str, Sequence[ResponseScore]]] = {}
        self._writing = 0
        self._over = False
        self._error: BaseException | None = None

    def __enter__(self) -> Scorekeeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None or not issubclass(kind, OSError | KeyboardInterrupt):
                self.wait()
        finally:
            with self._changed:
                self._over = True
                for queue in self._queues.values():
                    for _ in range(self._threads):
                        queue.put(None)
                self._changed.wait_for(lambda: not self._writing)

    def hear(self, news: News) -> None:
        """A listener: what is stored is scored. Raises what kept scores from being stored."""
        if isinstance(news, CellStored):
            self.check()
            self.score(news.cell.id, news.result.responses)
        elif isinstance(news, ItemStored) and (scorer := news.item_id.partition(".")[2]):
            self.ask([(scorer, news.item_id.partition(".")[0])])
        elif isinstance(news, ItemStored):
            self._ask_by_loss(news.item_id)
        elif isinstance(news, ItemFailed):
            self._ask_by_loss(news.failure.item_id)

    def _ask_by_loss(self, item_id: str) -> None:
        """Score the cells that waited for what ``item_id`` measured."""
        for scorer in [one.id for one in self._scoring.made.values() if isinstance(one, LossCoherenceScorer)]:
            waited = self._store.losses.waiting_for(item_id)
            self.ask([(scorer, cell_id) for cell_id in waited if self._decides(scorer, cell_id)])

    def score(self, cell_id: str, responses: Sequence[Response] | None = None) -> None:
        """Begin to score a cell of the plan, which is stored, by all its scorers but judges of the pool: they come later."""
        planned = self._store.planned()
        asked = dict.fromkeys(
            (scorer, cell_id) for axes in self._store.axes(cell_id) for scorer in planned.scorers_of(axes.behavior)
        )
        self.ask([one for one in asked if not isinstance(self._scoring.made.get(one[0]), PoolScorer)], responses)

    def ask(self, items: Iterable[tuple[str, str]], responses: Sequence[Response] | None = None) -> None:
        """Begin to score ``items``, ids of scorer and cell, but for those that are begun already."""
        for scorer, cell_id in items:
            with self._changed:
                item = scoring_item(scorer, cell_id)
                if item in self._open or self._over:
                    continue
                self._open.add(item)
                if self._decides(scorer, cell_id):
                    self._awaited.add(item)
                queue = self._queue(scorer)
            queue.put(_ScoringTurn(cell_id, responses if queue.qsize() < KEPT else None))

    def wait(self, for_all: bool = True) -> bool:
        """Until nothing is left to score, or not ``for_all``: nothing that has a part in what a response counts as. Returns
        whether other scores are left; raises what kept scores from being stored."""
        waited = self._open if for_all else self._awaited
        if not self._settled(waited, PATIENCE_SECONDS):
            with self._changed:
                left = Counter(item.partition(".")[2] for item in waited)
            self._tell(
                Noted("waiting for scores: " + ", ".join(f"{counted(left[one], 'cell')} of {one}" for one in sorted(left)))
            )
            self._settled(waited)
        self.check()
        return bool(self._open)

    def _settled(self, waited: Collection[str], seconds: float | None = None) -> bool:
        """Wait, no longer than that; whether nothing of ``waited`` is left."""
        with self._waiting(), self._changed:
            return self._changed.wait_for(lambda: self._error is not None or not waited, seconds)

    def check(self) -> None:
        """Raise what kept scores from being stored, if anything did."""
        if self._error is not None:
            raise self._error

    def _queue(self, scorer_id: str) -> SimpleQueue[_ScoringTurn | None]:
        if scorer_id not in self._queues:
            scorer, queue = self._scoring.made[scorer_id], SimpleQueue[_ScoringTurn | None]()
            self._queues[scorer_id] = queue
            for number in range(1 if isinstance(scorer, ApartScorer | CellScorer) else self._threads):
                name = f"score-{scorer_id}-{number}"
                threading.Thread(target=self._work, args=(scorer, queue), name=name, daemon=True).start()
        return self._queues[scorer_id]

    def _work(self, scorer: Scorer, queue: SimpleQueue[_ScoringTurn | None]) -> None:
        kept = self._store.judgements(scorer.id)
        while (asked := queue.get()) is not None and not self._over:
            try:
                self._score(scorer, asked, kept)
            except BaseException as error:  # noqa: BLE001  # the thread that waits raises it
                self._error = self._error or error
            with self._changed:
                self._open.discard(item := scoring_item(scorer.id, asked.cell_id))
                self._awaited.discard(item)
                self._changed.notify_all()

    def _score(self, scorer: Scorer, asked: _ScoringTurn, kept: Judgements) -> None:
        try:
            responses = asked.responses or self._store.read_responses(asked.cell_id)
            losses = self._store.losses.of(asked.cell_id) if isinstance(scorer, LossCoherenceScorer) else None
            scores = score_responses(scorer, responses, kept)
            if isinstance(scorer, LossCoherenceScorer):
                if losses is None:
                    return  # a run measures them first
                pairs = zip(scores, losses.worst, strict=True)
                scores = tuple(scorer.told(score, worst, losses.typical, losses.of) for score, worst in pairs)
        except (FileNotFoundError, UnreadableFileError):
            return  # the cell runs anew, and is scored then
        except UnmeasuredError as error:
            self._failed(scorer, asked.cell_id, str(error))
            return
        except ScoringError as error:
            if isinstance(error.__cause__, NotJudgedError):
                return  # a run asks its model first
            self._failed(scorer, asked.cell_id, str(error), error.trace)
            return
        if self._stored(lambda: self._store.write_scores(asked.cell_id, scorer, scores)):
            for axes in self._decides(scorer.id, asked.cell_id):
                self._tell_of(axes, scorer, scores)

    def _failed(self, scorer: Scorer, cell_id: str, message: str, trace: str = "") -> None:
        failure = Failure(scoring_item(scorer.id, cell_id), SCORING, redacted(message), redacted(trace))
        for axes in self._decides(scorer.id, cell_id):
            self._deciding.pop(axes.key, None)
        if self._stored(lambda: self._store.write_scoring_failure(failure)):
            self._tell(ItemFailed(failure))

    def _stored(self, write: Callable[[], object]) -> bool:
        """Whether it was written: not where nobody waits any more."""
        with self._changed:
            if self._over:
                return False
            self._writing += 1
        try:
            write()
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()
        return True

    def _decides(self, scorer: str, cell_id: str) -> list[CellAxes]:
        """The cell for each behavior whose labels the scorer, by its id, has a part in."""
        return [one for one in self._store.axes(cell_id) if scorer in self._scoring.of(one.behavior).deciding]

    def _tell_of(self, axes: CellAxes, scorer: Scorer, scores: Sequence[ResponseScore]) -> None:
        """What the cell's responses count as, once both scorers that decide have scored them now."""
        scoring = self._scoring.of(axes.behavior)
        with self._changed:
            found = self._deciding.setdefault(axes.key, {})
            found[scorer.id] = scores
            if len(found) < len(scoring.deciding):
                return
            del self._deciding[axes.key]
        criterion = scoring.criterion
        verdict = Verdicts(criterion, self._scoring.made[criterion.scorer].says)
        labels = verdict.all(found[criterion.scorer], found[criterion.coherence])
        self._tell(CellScored(axes, labels))
