"""What ``python -m orchestrator compare`` was asked, and its answer: a table for people, an object for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from rich.console import RenderableType

from orchestrator.compare.beside import beside
from orchestrator.compare.comparison import Comparison, Outcomes, Question, Reader, adjusted, compare, side_of
from orchestrator.compare.levels import by_level
from orchestrator.compare.selection import FILTERS, select
from orchestrator.compare.text import (
    audit_json,
    beside_json,
    comparison_json,
    render_audit,
    render_beside,
    render_comparisons,
    render_note,
)
from orchestrator.counting import counted
from orchestrator.errors import InputError, Problem
from orchestrator.paper.audit import audit
from orchestrator.paper.tables import chosen_tables
from orchestrator.planned import twin_texts, twins_told
from orchestrator.results.conditions import SETTING, condition
from orchestrator.results.rate_rows import RateRow
from orchestrator.results.rows import CellRow
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.results.which import ALLOWED, results_named

JSON_VERSION = 2

_Pair = tuple[str, Sequence[CellRow], str, Sequence[CellRow]]
Answer = tuple[dict[str, object], list[RenderableType]]


@dataclass(frozen=True)
class Request:
    """The words of the command line: the results folder, then the two selections, or with ``paper`` the tables."""

    words: tuple[str, ...]
    by: str | None = None
    against: str | None = None
    where: str = ""
    pool: bool = False
    paper: bool = False
    audit: bool = False
    question: Question = field(default_factory=Question)


def answer(request: Request) -> Answer:
    """The answer. InputError for words that go with no form of the command, and for what is not in the results."""
    _check_idle(request)
    if request.audit:
        return _audited(request)
    if not request.words:
        raise InputError.because("which results folder?", "RESULTS", allowed=f"{ALLOWED}; or --paper --audit alone")
    store = Store(results_named(request.words[0]))
    rows = finished_rows(store)
    twins = store.planned().twins
    note = [*twin_texts(twins), *_unseen(store, rows)]
    with twins_told(twins):
        content, shown = _beside(request, store, rows) if request.paper else _compared(request, store, rows)
    return {"version": JSON_VERSION, "results": str(store.place), **content, "notes": note}, [*shown, *map(render_note, note)]


def _check_idle(request: Request) -> None:
    """InputError for options that this form of the command would not look at."""
    given = {"--by": request.by, "--against": request.against, "--pool": request.pool, "--where": request.where}
    words = [name for name, value in given.items() if value not in (None, False, "")]
    if request.paper and words:
        raise InputError.because("the paper's tables are compared as they are", words[0], given[words[0]], "--paper without it")
    alone = [name for name in words if name in ("--against", "--pool")]
    if request.by is None and alone:
        raise InputError.because("it goes with --by", alone[0], given[alone[0]], "--by COLUMN beside it, or two selections alone")


def finished_rows(store: Store) -> list[CellRow]:
    """The rows of the results; InputError where there are none."""
    if not store.there():
        raise InputError.because("there is no such folder", "RESULTS", str(store.place), "the results folder of a sweep")
    rows = store.cell_rows()
    if not rows:
        unseen = len(store.done_cells() & set(store.planned().axis("cell_id")))
        if unseen:
            what, how = f"its tables do not hold its {counted(unseen, 'finished cell')} yet", "`score` brings them up to date"
        else:
            what, how = "it holds no finished cells yet", "`run` the sweep"
        raise InputError.because(what, "RESULTS", str(store.place), how)
    return rows


def reader(store: Store, question: Question) -> Reader:
    """Reads a cell's outcomes from its stored labels; InputError where these are gone."""

    def read(row: CellRow) -> Outcomes:
        try:
            return {label.key: question.counts(label) for label in store.read_labels(*row.key)}
        except (FileNotFoundError, UnreadableFileError):
            there = row.cell_id in store.done_cells()
            what = "its labels cannot be read: run `score`" if there else "its responses cannot be read: `run` makes them anew"
            raise InputError.because(what, row.cell_id) from None

    return read


def _audited(request: Request) -> Answer:
    if not request.paper:
        raise InputError.because("--audit is about the paper's statistics", "--audit", allowed="--paper --audit")
    names = [word for word in request.words if not _is_results(word)]  # they have no part in it
    checks = audit(chosen_tables(names) if names else None)
    return {"version": JSON_VERSION, "audit": audit_json(checks)}, render_audit(checks)


def _is_results(word: str) -> bool:
    try:
        results_named(word)
    except InputError:
        return False
    return True


def _beside(request: Request, store: Store, rows: Sequence[CellRow]) -> Answer:
    tables = chosen_tables(request.words[1:])
    found, missing = beside(tables, rows, reader(store, Question()))
    return beside_json(found, missing), render_beside(tables, found, missing)


def _compared(request: Request, store: Store, rows: Sequence[CellRow]) -> Answer:
    found = comparisons(request, rows, store.rate_rows(), reader(store, request.question))
    return {"comparisons": [comparison_json(one) for one in found]}, render_comparisons(found)


def comparisons(request: Request, rows: Sequence[CellRow], rates: Iterable[RateRow], read: Reader) -> list[Comparison]:
    """What ``request`` asks to compare among ``rows``, whose labels' rates are ``rates``; adjusted where there are several."""
    question = request.question
    if question != Question(te_kind=question.te_kind):
        question.check([(row.decided, row.outcome or "other") for row in rates if row.decided])
    found = [
        compare(side_of(a, ours, question, read), side_of(b, theirs, question, read), question)
        for a, ours, b, theirs in (_levels(request, rows) if request.by is not None else _two(request, rows))
    ]
    if request.by is None:
        found = [replace(one, notes=(*one.notes, *_flattered(one, rows))) for one in found]
    return adjusted(found)


def _flattered(one: Comparison, rows: Sequence[CellRow]) -> Iterator[str]:
    """Of each side that is one cell whose success rate is above that of every other setting of its series: it may have been taken
    for that."""
    for side in (one.a, one.b) if one.of_success else ():
        row = side.rows[0]
        if len(side.rows) > 1 or side.in_sample or not row.steered:
            continue
        rates = [
            other.success_rate or 0.0
            for other in rows
            if other.steered and other.cell_id != row.cell_id and condition(other, SETTING) == condition(row, SETTING)
        ]
        if rates and (row.success_rate or 0.0) > max(rates):
            told = f"{side.name}: the best of {len(rates) + 1} settings by this very rate"
            yield f"{told}: where it was taken for that, expect less on other prompts, and no p as small"


def _two(request: Request, rows: Sequence[CellRow]) -> list[_Pair]:
    if len(request.words) != 3:
        forms = "RESULTS A B, RESULTS --by COLUMN --against LEVEL, RESULTS --paper"
        raise InputError.because("what against what?", "A B", allowed=forms)
    kept = select(rows, request.where, "--where")
    chosen: list[list[CellRow]] = []
    problems: list[Problem] = []
    for name, text in zip("AB", request.words[1:], strict=True):
        try:
            chosen.append(select(kept, text, name))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    return [(request.words[1], chosen[0], request.words[2], chosen[1])]


def _levels(request: Request, rows: Sequence[CellRow]) -> list[_Pair]:
    by, against = request.by or "", request.against
    if len(request.words) == 1 and against is None:
        levels = FILTERS.known(rows, FILTERS.column(by, "--by"))
        raise InputError.because(f"which level of {by} is the others' reference?", "--against", allowed=", ".join(levels))
    if len(request.words) != 1 or against is None:
        raise InputError.because("it takes a reference level, and no A or B", "--by", allowed="--by COLUMN --against LEVEL")
    pairs = by_level(select(rows, request.where, "--where"), by, against, request.pool)
    names = [f"{by}={pair.level}" + (f", {pair.stratum}" if pair.stratum else "") for pair in pairs]
    return [(name, pair.rows, f"{by}={against}", pair.reference) for name, pair in zip(names, pairs, strict=True)]


def _unseen(store: Store, rows: Sequence[CellRow]) -> list[str]:
    """A run that goes on has finished cells that its tables do not hold yet."""
    more = len((store.done_cells() & set(store.planned().axis("cell_id"))) - {row.cell_id for row in rows})
    told = f"{counted(more, 'finished cell')} {'is' if more == 1 else 'are'} not in the tables yet"
    return [f"{told}: `score` brings them up to date"] if more else []
