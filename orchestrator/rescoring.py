"""Labels from stored responses: no model, no worker, any time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.recorder import label_responses
from orchestrator.report import write_report
from orchestrator.scoring import CLASSIFIERS, Classifier
from orchestrator.storage import Place
from orchestrator.store import Store, UnreadableFileError


def label_what_is_not(store: Store, classifier: Classifier) -> None:
    """Label the cells whose labels a killed driver did not get to write."""
    relabel(store, classifier, sorted(store.done_cells() - store.labelled_cells()))


def signature(classifier: Classifier) -> str:
    """``name@version``, as labels carry it."""
    return f"{classifier.name}@{classifier.version}"


def relabel(store: Store, classifier: Classifier, cell_ids: Sequence[str]) -> Counter[str]:
    """Label stored cells anew; how many responses got each label. Damaged cells are moved away and left out."""
    counts: Counter[str] = Counter()
    for cell_id in cell_ids:
        try:
            labels = label_responses(classifier, store.read_responses(cell_id))
        except (FileNotFoundError, UnreadableFileError):
            continue
        store.write_labels(cell_id, labels, classifier.labels)
        counts.update(classifier.labels.counts(label.label for label in labels))
    return counts


def score_results(results: Place, name: str | None) -> dict[str, object]:
    """Label every finished cell of the plan in ``results`` with classifier ``name`` (None: the sweep's own) and rebuild
    the tables and the page. Returns what was done, for programs. ``damaged``: the items whose files were moved away, so that a
    `run` has to make them anew; ``lacking``: what the tables lack of all others, in words, empty when they are whole."""
    store = Store(results)
    planned = store.planned()
    chosen = name or planned.classifier
    if chosen not in CLASSIFIERS:
        problem = Problem("classifier", chosen, "unknown classifier", ", ".join(CLASSIFIERS), nearest_name(chosen, CLASSIFIERS))
        raise InputError(problem)
    classifier = CLASSIFIERS[chosen]
    with store.lock():
        done = store.done_cells() | store.done_directions()
        cells = [cell.cell_id for cell in planned.cells if cell.cell_id in done]
        counts = relabel(store, classifier, cells)
        summary = store.compact()
        short = store.lacking(signature(classifier))
        if short:  # what was remembered of the tables was not so
            store.forget_tables()
            summary = store.compact()
            short = store.lacking(signature(classifier))
        lost = sorted(done - store.done_cells() - store.done_directions())
        write_report(store)
    return {
        "results": str(results),
        "classifier": signature(classifier),
        "planned": len(planned.cells),
        "cells": summary.cells,
        "responses": counts.total(),
        "labels": {name: counts[name] for name in sorted(classifier.labels.names) if counts[name]},
        "damaged": lost,
        "lacking": str(short),
    }
