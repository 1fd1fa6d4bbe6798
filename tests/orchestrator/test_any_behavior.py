"""Results of a made-up behavior with labels of its own: nothing that reads them says a word of another's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from orchestrator.cells import Cell
from orchestrator.cli import app
from orchestrator.plan_with_results import tallies
from orchestrator.planning.choices import Choice, decode_choices, encode_choices
from orchestrator.planning.considered import Considered
from orchestrator.progress import label_shares
from orchestrator.report import results_tables, write_report
from orchestrator.results.store import Store
from orchestrator.scoring import Label, LabelKind, LabelSet
from orchestrator.scoring.planned import BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.uses import Scoring, default_scoring
from orchestrator.tracking.points import shares
from orchestrator.tracking.tables import tables_of
from tests.orchestrator.samples import MODEL, PROMPTS, cell, direction_set, plan_of, result_of, write_labels

DECLARED = LabelSet(
    (
        LabelKind("speaks_french", "success"),
        LabelKind("garbled", "garbled"),
        LabelKind("speaks_english", "other"),
        LabelKind("speaks_german", "other"),
    )
)
SAYS = ("speaks_french", "speaks_english", "speaks_german")
CRITERION = Criterion("tongue@1", default_scoring().criterion.coherence)
SCORING = Scoring({"french": BehaviorScoring((ScorerUse("tongue", {}, "tongue@1"),), CRITERION)})
COUNTS = {(12, 2.0): (3, 1, 4, 2), (12, 8.0): (7, 1, 2, 0), (12, 16.0): (0, 9, 1, 0), (15, 2.0): (1, 0, 9, 0)}


def french(one: Cell) -> Cell:
    """A cell of another model and behavior."""
    named = replace(one, target=replace(MODEL, location="little", adapter=None))
    steering = one.steering and replace(one.steering, direction=replace(one.steering.direction, model=named.target))
    return replace(named, steering=steering, labels=replace(one.labels, behavior="french"))


def labels_of(counts: Sequence[int]) -> tuple[Label, ...]:
    """The first prompts get the first label, and so on."""
    names = [kind for kind, count in zip(DECLARED.kinds, counts, strict=True) for _ in range(count)]
    return tuple(
        Label(prompt.id, kind.name, '{"rule": "made up"}', "tongue@1", outcome=kind.outcome)
        for prompt, kind in zip(PROMPTS, names, strict=True)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "french")
    cells = [french(cell(None)), *(french(cell(layer, multiplier)) for layer, multiplier in COUNTS)]
    made.write_sweep("name: french\n")
    made.write_plan(replace(plan_of(cells), scoring=SCORING))
    for one in cells:
        if one.steering is not None and one.steering.direction.id not in made.done_directions():
            made.write_direction(one.steering.direction, direction_set())
        made.write_responses(one, result_of(one), attempt=1)
        key = None if one.steering is None else (one.steering.layers[0], one.steering.action.multiplier)
        write_labels(made, one.id, labels_of((0, 0, 10, 0) if key is None else COUNTS[key]), SAYS)
    made.compact()
    return made


def test_the_page_its_text_and_its_pictures_speak_of_this_behavior_alone(store: Store) -> None:
    write_report(store)
    figures = [path.read_text() for path in sorted((store.root / "report").iterdir())]
    page, html = (store.root / "report.md").read_text(), (store.root / "report.html").read_text()
    assert "speaks\\_french %" in page
    assert "best cell L12+ x 8: 7 of 10 labelled 'speaks\\_french'" in page
    assert "Labelled speaks\\_german" in page
    assert any("speaks_french (%)" in text for text in figures)
    assert any("garbled" in text for text in figures)
    for text in (page, html, *figures):
        assert "refus" not in text.lower()


def test_so_do_the_tables_and_what_the_commands_say(store: Store) -> None:
    run = CliRunner()
    frames = {path.name: pl.read_parquet(path) for path in store.root.glob("*.parquet")}
    texts = [frame.write_csv() for frame in frames.values() if not any(isinstance(kind, pl.List) for kind in frame.dtypes)]
    texts += [str(frame.to_dicts()) for frame in frames.values()]
    texts += [run.invoke(app, ["status", str(store.place), *more]).output for more in ([], ["--json"])]
    texts += [
        run.invoke(app, ["compare", str(store.place), "layer=12,multiplier=8", "baseline", *more]).output
        for more in ([], ["--json"])
    ]
    texts += [str(results_tables(store, 100)), str(tables_of(store)), label_shares(labels_of((7, 1, 2, 0)))]
    texts.append(str(shares(labels_of((7, 1, 2, 0)))))
    for text in texts:
        assert "refus" not in text.replace(str(store.place), "").lower()
    assert "speaks_french 70 % [39.7, 89.2] 7/10" in texts[-6]
    by_scorer = frames["rates.parquet"].group_by("cell_id", "scorer").agg(pl.col("k").sum())["k"].to_list()
    assert by_scorer == [10] * 5 * 3, "what decides, and two scorers"
    responses = frames["responses.parquet"]
    assert responses.filter(pl.col("outcome") == "success")["label"].unique().to_list() == ["speaks_french"]
    assert set(responses["method"]) == {None, "dim"}
    assert {"scope", "quantization", "intervention", "layer"} <= set(responses.columns)


def test_a_label_is_compared_by_its_own_name(store: Store) -> None:
    words = ["compare", str(store.place), "layer=12,multiplier=2", "baseline", "--label"]
    assert "speaks_german 20 % [5.7, 51] 2/10" in CliRunner().invoke(app, [*words, "speaks_german"]).output
    wrong = CliRunner().invoke(app, [*words, "speaks_germn"])
    assert wrong.exit_code == 2
    assert "did you mean 'speaks_german'?" in " ".join(wrong.output.split())


def test_choices_go_by_success_and_those_of_earlier_versions_are_read(store: Store) -> None:
    assert sorted((one.success, one.garbled, one.n) for one in tallies(store).values())[-1] == (7, 1, 10)
    one = Considered("a", 12, 0.4, 8.0, 10, 7, 1)
    choice = Choice("final", "pilot", "little", "french", "dim", 0.2, one, (one,))
    assert "7 of 10 successes, 1 garbled" in str(choice)
    text = encode_choices([choice])
    earlier = text.replace('"success"', '"coherent"').replace('"version": 2', '"version": 1')
    assert earlier != text
    assert decode_choices(earlier.encode()) == decode_choices(text.encode()) == json.loads(text)["choices"]
