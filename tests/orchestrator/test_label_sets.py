"""Whatever the labels of a scorer are called, and however many there are: every table counts every response once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.outcome import COUNTED, OUTCOMES
from orchestrator.progress import label_shares
from orchestrator.report import results_tables
from orchestrator.results.store import Store
from orchestrator.scoring import Label, LabelKind, LabelSet
from orchestrator.tracking.points import metrics
from tests.orchestrator.samples import PROMPTS, cell, direction_set, plan_of, result_of

CELLS = (cell(None), cell(15, 8.0))
TRAPS = ["n", "k", "success", "garbled", "other", "no_answer", "label", "success_n", "\u202ex", "[red]", "|"]
NAMES = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
SETS = st.lists(st.builds(LabelKind, NAMES, st.sampled_from(OUTCOMES)), min_size=1, max_size=12, unique_by=lambda kind: kind.name)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[LabelSet, list[tuple[Label, ...]]]:
    """A set of labels, and the labels of every cell's responses."""
    kinds = draw(SETS)
    given_to = [draw(st.lists(st.sampled_from(kinds), min_size=len(PROMPTS), max_size=len(PROMPTS))) for _ in CELLS]
    pairs = [zip(PROMPTS, found, strict=True) for found in given_to]
    made = [tuple(Label(prompt.id, kind.name, "{}", "made-up@1", outcome=kind.outcome) for prompt, kind in its) for its in pairs]
    return LabelSet(tuple(kinds)), made


@given(labelled())
@settings(max_examples=12, deadline=None)
def test_every_response_is_counted_once_in_every_table(found: tuple[LabelSet, list[tuple[Label, ...]]]) -> None:
    declared, labels = found
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.write_plan(plan_of(CELLS))
        assert CELLS[1].steering is not None
        store.write_direction(CELLS[1].steering.direction, direction_set())
        for one, its in zip(CELLS, labels, strict=True):
            store.write_responses(one, result_of(one), attempt=1)
            store.write_labels(one.id, its, declared)
        summary = store.compact()
        assert (summary.cells, summary.unlabelled, summary.quarantined) == (2, 0, ())
        rates, responses = (pl.read_parquet(store.root / f"{name}.parquet") for name in ("rates", "responses"))
        for row, its in zip(store.cell_rows(), labels, strict=True):
            by_outcome, by_label = Counter(label.outcome for label in its), Counter(label.label for label in its)
            assert {outcome: row.count(outcome) for outcome in OUTCOMES} == {one: by_outcome[one] for one in OUTCOMES}
            assert sum(map(row.count, OUTCOMES)) == row.n == len(PROMPTS)
            assert row.target == next((kind.name for kind in declared.kinds if kind.outcome == "success"), None)
            own = rates.filter(pl.col("cell_id") == row.cell_id)
            assert own["label"].to_list() == list(declared.names)
            assert own["k"].to_list() == [by_label[name] for name in declared.names]
            assert own["k"].sum() == row.n
            assert set(own["n"]) == {row.n}
            for outcome in COUNTED:
                assert own.filter(pl.col("outcome") == outcome)["k"].sum() == getattr(row, f"{outcome}_n")
            told = responses.filter(pl.col("cell_id") == row.cell_id)
            assert Counter(told["label"].to_list()) == by_label
            assert Counter(told["outcome"].to_list()) == by_outcome
            assert sum(float(metrics(result_of(CELLS[0]), its)[f"{outcome}_rate"]) for outcome in OUTCOMES) - 1 < 1e-9
            assert label_shares(its)
        assert store.read_labels(CELLS[1].id) == labels[1]
        assert results_tables(store, 100) is not None
