"""Labels from stored responses: no model, no worker, any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from orchestrator.errors import InputError, Problem
from orchestrator.recorder import label_responses
from orchestrator.report import write_report
from orchestrator.results.store import Store, UnreadableFileError
from orchestrator.scoring.uses import ScorerUse, scoring_of
from orchestrator.scoring.verdict import Scoring
from orchestrator.storage import Place


def label_what_is_not(store: Store, scoring: Scoring) -> None:
    """Label the cells whose labels a killed driver did not get to write."""
    relabel(store, scoring, sorted(store.done_cells() - store.labelled_cells()))


def relabel(store: Store, scoring: Scoring, cell_ids: Sequence[str]) -> Counter[str]:
    """Label stored cells anew; how many responses got each label. Damaged cells are moved away and left out."""
    counts: Counter[str] = Counter()
    behaviors = {axes.cell_id: axes.behavior for axes in store.planned().cells} if scoring.own else {}
    for cell_id in cell_ids:
        try:
            classifier = scoring.of(behaviors.get(cell_id, ""))
            labels = label_responses(classifier, store.read_responses(cell_id))
        except (FileNotFoundError, UnreadableFileError):
            continue
        store.write_labels(cell_id, labels, classifier.labels)
        counts.update(classifier.labels.counts(label.label for label in labels))
    return counts


def score_results(results: Place, name: str | None) -> dict[str, object]:
    """Label every finished cell of the plan in ``results`` with classifier ``name`` (None: the sweep's own scorers) and rebuild
    the tables and the page. Returns what was done, for programs. ``damaged``: the items whose files were moved away, so that a
    `run` has to make them anew; ``lacking``: what the tables lack of all others, in words, empty when they are whole.
    InputError where the plan names a Python file that lies in ``results`` itself, which may come from anybody: it is not run."""
    store = Store(results)
    planned = store.planned()
    if name is None:
        _refuse_code_of(store, planned.scorers)
    scoring = scoring_of(name or planned.classifier, {} if name else planned.scorers)
    with store.lock():
        done = store.done_cells() | store.done_directions()
        cells = [cell.cell_id for cell in planned.cells if cell.cell_id in done]
        counts = relabel(store, scoring, cells)
        summary = store.compact()
        short = store.lacking(scoring.signature)
        if short:  # what was remembered of the tables was not so
            store.forget_tables()
            summary = store.compact()
            short = store.lacking(scoring.signature)
        lost = sorted(done - store.done_cells() - store.done_directions())
        write_report(store)
    return {
        "results": str(results),
        "classifier": ", ".join(dict.fromkeys(scoring.signature(cell.behavior) for cell in planned.cells)),
        "planned": len(planned.cells),
        "cells": summary.cells,
        "responses": counts.total(),
        "labels": {name: counts[name] for name in sorted(counts) if counts[name]},
        "damaged": lost,
        "lacking": str(short),
    }


def _refuse_code_of(store: Store, scorers: Mapping[str, ScorerUse]) -> None:
    for behavior, use in scorers.items():
        if use.file is not None and use.file.resolve().is_relative_to(store.root.resolve()):
            message = "this scorer is Python that lies in the results folder itself, and is not run"
            raise InputError(Problem(f"scorers.{behavior}", use.name, message, "a file beside the sweep file, or --classifier"))
