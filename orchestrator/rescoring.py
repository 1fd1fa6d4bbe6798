"""Scores from stored responses: no model, no worker, any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from actors.types import Failure
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.news import ItemFailed, News
from orchestrator.report import write_report
from orchestrator.results.plan_file import PlannedCells
from orchestrator.results.store import Lacking, Store
from orchestrator.retrying import origin_of
from orchestrator.scorekeeper import Scorekeeper, require_scorers
from orchestrator.scoring.judges.pool_scorer import PoolScorer
from orchestrator.scoring.planned import scoring_item
from orchestrator.scoring.uses import Scoring, files_of, made_anew
from orchestrator.storage import Place

COHERENCE = "coherence"
TEXT = "text"
"""What earlier versions called the scorers of behaviors that name none."""


def score_results(results: Place, name: str | None = None) -> dict[str, object]:
    """Score every finished cell of the plan in ``results`` anew, by the scorer ``name`` (None: by all; ``text``: by those of a
    behavior that names none, in place of its own) and rebuild the tables and the page. Returns what was done, for programs.

    ``damaged``: the items whose files were moved away, so that a `run` has to make them anew; ``failed``: the scores that
    could not be made (those that the scorer gave before are kept), ``to_ask``: the scorers whose models only a `run` asks, and
    that have not been asked of every answer, ``lacking``: what the tables lack of all others, in words, empty when they are
    whole. InputError where the plan names a Python file that lies in ``results`` itself, which
    may come from anybody: it is not run.
    """
    store = Store(results)
    planned = store.planned()
    planned = replace(planned, scoring=Scoring(planned.scoring).used(axes.behavior for axes in planned.cells))
    scoring = _scoring(store, planned, name)
    with store.lock():
        planned = replace(planned, scoring=scoring.behaviors)
        store.keep_plan(planned)
        done = store.done_cells() | store.done_directions()
        chosen = _chosen(scoring, name)
        items = [(scorer, cell_id) for scorer, cell_id in planned.scorings() if cell_id in done and scorer in chosen]
        there = [(cell.cell_id, cell.behavior) for cell in planned.cells if cell.cell_id in done]
        require_scorers(store, scoring, there, again=True)
        short, failures = _score(store, scoring, items)
        summary = store.compact()
        failed = list({one.item_id: one for one in (*store.scoring_failures(), *failures)}.values())
        lost = sorted(done - store.done_cells() - store.done_directions())
        write_report(store)
    counts = Counter[str]()
    for row in store.rate_rows():
        if row.decided is not None:
            counts[row.decided] += row.k or 0
    return {
        "results": str(results),
        "classifier": ", ".join(sorted({row.classifier for row in store.cell_rows() if row.classifier})),
        "scorers": sorted(chosen),
        "planned": len(set(planned.axis("cell_id"))),
        "cells": summary.cells,
        "responses": counts.total(),
        "labels": {label: counts[label] for label in sorted(counts) if counts[label]},
        "damaged": lost,
        "failed": [one.item_id for one in failed],
        "failures": [one.message for one in failed],
        "to_ask": sorted({scorer for scorer, _ in short.unscored if isinstance(scoring.made.get(scorer), PoolScorer)}),
        "lacking": str(short),
    }


def _score(store: Store, scoring: Scoring, items: Sequence[tuple[str, str]]) -> tuple[Lacking, list[Failure]]:
    """Score ``items``, then what is not there after all; what the tables still lack, and what failed."""
    failures: list[Failure] = []

    def tell(news: News) -> None:
        if isinstance(news, ItemFailed):
            failures.append(news.failure)

    tried = [one for one in items if not isinstance(scoring.made.get(one[0]), PoolScorer)]  # no model is asked here
    store.clear_failures([scoring_item(scorer, cell_id) for scorer, cell_id in tried])
    with Scorekeeper(store, scoring, tell, store.writers or 1) as scores:
        scores.ask(items)
        scores.wait()
        store.compact()
        short = store.lacking()
        if short:  # what was remembered of the tables was not so
            scores.ask(one for one in short.unscored if one[0] in scoring.made)
            scores.wait()
            store.forget_tables()
            store.compact()
            short = store.lacking()
    return short, failures


def _scoring(store: Store, planned: PlannedCells, name: str | None) -> Scoring:
    """The scorers of the plan, made anew as far as ``name`` asks for them."""
    if name == TEXT:
        return Scoring({})
    known = {use.name for one in planned.scoring.values() for use in one.scorers} | {COHERENCE}
    if name is not None and name not in known:
        raise InputError(
            Problem("--scorer", name, "the plan has no such scorer", ", ".join(sorted(known)), nearest_name(name, known))
        )
    folder = origin_of(store.folder)
    wanted = known if name is None else {name}
    for scorer, file in files_of(planned.scoring, folder).items():
        if scorer in wanted and file.resolve().is_relative_to(store.root.resolve()):
            message = "this scorer is Python that lies in the results folder itself, and is not run"
            raise InputError(Problem("scorers", scorer, message, "a file beside the sweep file, or --scorer text"))
    return made_anew(planned.scoring, folder, wanted)


def _chosen(scoring: Scoring, name: str | None) -> set[str]:
    """The ids of the scorers that ``name`` stands for."""
    if name in (None, TEXT):
        return set(scoring.made)
    uses = [use for one in scoring.behaviors.values() for use in one.scorers if use.name == name]
    return {use.id for use in uses} or {one.criterion.coherence for one in scoring.behaviors.values()}
