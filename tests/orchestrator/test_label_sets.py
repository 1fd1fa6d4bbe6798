"""Whatever the labels of scorers are called, and however many there are: every table counts every response once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.outcome import COUNTED, OUTCOMES
from orchestrator.progress import label_shares
from orchestrator.report import results_tables, write_report
from orchestrator.results.store import Store
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.rules import CoherenceScorer
from orchestrator.scoring.score import Labels, ResponseScore, Scale
from orchestrator.scoring.uses import Scoring, default_scoring
from orchestrator.tracking.points import shares
from tests.orchestrator.samples import PROMPTS, Said, cell, direction_set, plan_of, result_of

CELLS = (cell(None), cell(15, 8.0))
TRAPS = ["n", "k", "success", "garbled", "other", "no_answer", "coherent", "label", "success_n", "\u202ex", "[red]", "|"]
NAMES = st.one_of(st.sampled_from(TRAPS), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
SETS = st.lists(NAMES, min_size=1, max_size=12, unique=True)
COHERENCE = default_scoring().criterion.coherence


@dataclass(frozen=True)
class Scored:
    """Scorers, the first with the target, and what each says of every cell's responses."""

    scorers: tuple[Said, ...]
    target: object
    given: tuple[tuple[tuple[Any, ...], ...], ...]


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """One to three scorers of labels or numbers, and coherence."""
    kinds = draw(st.lists(st.one_of(SETS, st.none()), min_size=1, max_size=3))
    says = [Scale("x") if names is None else Labels(tuple(names), names[0]) for names in kinds]
    scorers = [*(Said(f"made-up-{number}@1", one) for number, one in enumerate(says)), Said(COHERENCE, CoherenceScorer.says)]
    values = [st.sampled_from(one.says.names) if isinstance(one.says, Labels) else st.floats(-1e6, 1e6) for one in scorers]
    rows = [st.lists(one, min_size=len(PROMPTS), max_size=len(PROMPTS)).map(tuple) for one in values]
    target = {"at_least": draw(st.floats(-10, 10))} if kinds[0] is None else draw(st.sampled_from(kinds[0]))
    return Scored(tuple(scorers), target, tuple(tuple(draw(row) for row in rows) for _ in CELLS))


def stored(root: Path, found: Scored) -> Store:
    """A results folder with these scores."""
    store = Store(root)
    uses = tuple(ScorerUse("made-up", {}, one.id) for one in found.scorers[:-1])
    scoring = Scoring({"refusal": BehaviorScoring(uses, Criterion(uses[0].id, COHERENCE, found.target))})  # type: ignore[arg-type]
    store.write_plan(replace(plan_of(CELLS), scoring=scoring))
    assert CELLS[1].steering is not None
    store.write_direction(CELLS[1].steering.direction, direction_set())
    for one, rows in zip(CELLS, found.given, strict=True):
        store.write_responses(one, result_of(one), attempt=1)
        for scorer, row in zip(found.scorers, rows, strict=True):
            is_label = isinstance(scorer.says, Labels)
            scores = [
                ResponseScore(prompt.id, said if is_label else None, None if is_label else said, "{}", None)
                for prompt, said in zip(PROMPTS, row, strict=True)
            ]
            store.write_scores(one.id, scorer, scores)  # type: ignore[arg-type]
    return store


@given(scored())
@settings(max_examples=12, deadline=None)
def test_every_response_is_counted_once_in_every_table(found: Scored) -> None:
    with TemporaryDirectory() as folder:
        store = stored(Path(folder), found)
        summary = store.compact()
        assert (summary.cells, summary.unlabelled, summary.quarantined) == (2, 0, ())
        assert not store.lacking()
        rates, responses, scores = (pl.read_parquet(store.root / f"{name}.parquet") for name in ("rates", "responses", "scores"))
        assert len(scores) == len(CELLS) * len(PROMPTS) * len(found.scorers)
        for row, rows in zip(store.cell_rows(), found.given, strict=True):
            own, told = rates.filter(pl.col("cell_id") == row.cell_id), responses.filter(pl.col("cell_id") == row.cell_id)
            labels = store.read_labels(row.cell_id)
            decided = own.filter(pl.col("scorer") == row.classifier)
            assert decided["k"].sum() == row.n == len(PROMPTS)
            counts = Counter({name: k for name, k in decided.select("label", "k").iter_rows() if k})
            assert counts == Counter(told["label"])
            by_outcome = Counter(told["outcome"].to_list())
            assert {outcome: row.count(outcome) for outcome in OUTCOMES} == {one: by_outcome[one] for one in OUTCOMES}
            assert by_outcome["garbled"] == rows[-1].count("garbled")
            for outcome in COUNTED:
                assert decided.filter(pl.col("outcome") == outcome)["k"].sum() == getattr(row, f"{outcome}_n")
            for scorer, said in zip(found.scorers, rows, strict=True):
                its = own.filter(pl.col("scorer") == scorer.id)
                assert set(its["n"]) == {row.n}
                if isinstance(scorer.says, Labels):
                    assert its["label"].to_list() == list(scorer.says.names)
                    assert its["k"].to_list() == [said.count(name) for name in scorer.says.names]
                    assert its["k"].sum() == row.n
                else:
                    assert its["mean"].to_list() == pytest.approx([sum(said) / row.n])
                    if len(set(said)) > 1:
                        low, high = stats.t.interval(0.95, row.n - 1, sum(said) / row.n, stats.sem(said))
                        assert its.select("mean_low", "mean_high").row(0) == pytest.approx((low, high), rel=1e-6, abs=1e-6)
            assert abs(sum(float(shares(labels)[f"{outcome}_rate"]) for outcome in OUTCOMES) - 1) < 1e-9
            assert label_shares(labels)
        assert results_tables(store, 100) is not None
        assert write_report(store).exists()


def test_a_label_that_is_called_as_an_outcome_is_compared_by_a_name_of_its_own(tmp_path: Path) -> None:
    """Here ``success`` is a label that is no success: ``--label success`` alone could mean either."""
    count = len(PROMPTS)
    own = Said("made-up-0@1", Labels(("success", "yes"), "yes"))
    said = (("yes",) * count, ("success",) * (count - 1) + ("yes",))
    given = tuple((row, ("coherent",) * count) for row in said)
    store = stored(tmp_path / "results", Scored((own, Said(COHERENCE, CoherenceScorer.says)), "yes", given))
    store.compact()

    def compared(*words: str) -> Result:
        return CliRunner().invoke(app, ["compare", str(store.root), "baseline", "steered", "--json", *words])

    def counts(*words: str) -> tuple[str, int, int]:
        (one,) = json.loads(compared(*words).stdout)["comparisons"]
        return one["label"], one["a"]["k"], one["b"]["k"]

    refused = compared("--label", "success")
    assert refused.exit_code == 2
    assert "allowed: outcome:success, label:success" in refused.output.replace("\n", " ")
    assert counts() == counts("--label", "outcome:success") == ("success", count, 1)
    assert counts("--label", "label:success") == ("label:success", 0, count - 1)
    assert counts("--label", "yes") == counts("--label", "label:yes") == ("yes", count, 1)
