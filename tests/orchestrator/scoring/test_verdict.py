"""A behavior's own scorer from the sweep file to the tables, and how what is wrong with it is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.plan import make_plan
from orchestrator.rescoring import score_results
from orchestrator.results.store import Store
from orchestrator.retrying import ORIGIN
from orchestrator.scoring.planned import Target
from orchestrator.scoring.registry import make_scorer
from orchestrator.sweep import load_sweep
from tests.orchestrator.recording import Recording
from tests.orchestrator.samples import direction_set, result_of
from tests.orchestrator.scoring.judged import TextJudge
from tests.orchestrator.sweep_files import sweep_data, write_sweep

PIRATE = {"name": "pattern", "labels": {"plain": "the", "pirate": "arr"}, "target": "pirate"}
TRAIT = {"name": "judge", "model": "some/judge", "rubric": "trait", "slots": {"trait": "wit"}}
HARM = {"name": "judge", "model": "some/judge", "rubric": "harm"}
LOOP = "arr the sea " * 60


def behaviors(*scorers: object) -> dict[str, object]:
    return {"refusal": {"file": "refusal.jsonl", "limit": 4, "scorers": list(scorers)}}


def judged(name: str, target: Target = None, **options: object) -> TextJudge:
    return TextJudge(make_scorer(name, options, Path()), target)


@pytest.mark.parametrize(
    ("response", "label", "outcome"),
    [
        ("Arr, matey!", "pirate", "success"),
        ("See the ship.", "plain", "other"),
        ("A fine day.", "other", "other"),
        (LOOP, "garbled", "garbled"),
        ("<think>arr, what shall I say", "no_answer", "no_answer"),
        ("<think>the plan</think>Arr!", "pirate", "success"),
    ],
)
def test_a_label_and_what_it_counts_as(response: str, label: str, outcome: str) -> None:
    found = judged("pattern", "pirate", labels={"plain": "the", "pirate": "arr"}).label("p", "", response, "length")
    assert (found.label, found.outcome) == (label, outcome)


@pytest.mark.parametrize(("words", "outcome"), [(2, "other"), (3, "success"), (4, "success")])
def test_a_number_and_its_threshold(words: int, outcome: str) -> None:
    found = judged("length", {"at_least": 3}).label("p", "", " ".join(["one", "fine", "summer", "day"][:words]), "stop")
    assert (found.outcome, found.evidence) == (outcome, f'{{"value": {words}.0}}')
    assert found.label == ("at least 3" if outcome == "success" else "below 3")
    assert judged("length", {"at_most": 3}).label("p", "", "A day", "stop").outcome == "success"


def test_labels_of_any_name_keep_their_meaning() -> None:
    names = ["n", "success", "garbled", "no_answer", "garbled*", "été 🌞"]
    pirate = judged("pattern", "garbled", labels={name: f"<{number}>" for number, name in enumerate(names)})
    assert len(set(pirate.labels.names)) == len(pirate.labels.names) == len(names) + 3
    for number, name in enumerate(names):
        found = pirate.label("p", "", f"Well then, <{number}> it is.", "stop")
        assert (found.label, found.outcome) == (name, "success" if name == "garbled" else "other")
    assert pirate.label("p", "", LOOP, "stop").outcome == "garbled"


def test_coherence_may_be_what_is_asked_for() -> None:
    coherent = judged("coherence")
    assert coherent.labels.names == ("coherent", "garbled", "no_answer")
    assert [coherent.label("p", "", text, "stop").outcome for text in ("A fine day.", LOOP)] == ["success", "garbled"]


@pytest.mark.parametrize(
    ("scorer", "told"),
    [
        ("patern", "scorers[0]: unknown scorer (got 'patern'); allowed: refusal, coherence"),
        ({"target": "x"}, "'name' is missing or no text"),
        ({**PIRATE, "label": {}}, "'label'); allowed: reads, labels, otherwise, ignore_case, target; did you mean 'labels'?"),
        ({**PIRATE, "tarjet": "pirate"}, "'tarjet'); allowed: reads, labels, otherwise, ignore_case, target; did"),
        ({**PIRATE, "target": "pirat"}, "the scorer has no such label (got 'pirat'); allowed: plain, pirate, other"),
        ({**PIRATE, "labels": {"pirate": "(?=a)"}}, "is not valid: invalid perl operator: (?="),
        ({**PIRATE, "target": {"at_least": 3}}, "a threshold goes with a numeric scorer"),
        ("length", "a numeric scorer needs a threshold"),
        ({"name": "coherence", "target": "garbled"}, "it never counts as success (got 'garbled'); allowed: coherent"),
        ({"name": "coherence", "target": "no_answer"}, "it never counts as success (got 'no_answer'); allowed: coherent"),
        ({"name": "length", "target": {"at_leest": 3}}, "did you mean 'at_least'?"),
        ({"name": "length", "target": {"at_least": 3, "at_most": 4}}, "a threshold has one side"),
        (
            {"name": "length", "unit": "word", "target": {"at_least": 3}},
            "allowed: words, characters, tokens; did you mean 'words'?",
        ),
        ({"name": "nowhere.py:mine"}, "there is no such file"),
        (
            {"name": "mine.py:mine", "labels": ["a", "b"], "unit": "points", "target": "a"},
            "scorers[0].unit: a scorer gives one of its labels, or numbers of which the unit says what they are (got 'points'); "
            "allowed: labels without unit, or unit without labels",
        ),
        (
            {**TRAIT, "target": {"at_least": 500}},
            "scorers[0].target.at_least: no answer would count as success: the scale (points) goes from 0 to 100 (got 500.0); "
            "allowed: a number above 0, up to 100",
        ),
        ({**TRAIT, "target": {"at_least": 0}}, "every answer would count as success: the scale (points) goes from 0 to 100"),
        ({**TRAIT, "target": {"at_most": 100}}, "every answer would count as success"),
        ({**TRAIT, "target": {"at_most": -1}}, "target.at_most: no answer would count as success"),
        ({**HARM, "target": {"at_least": 50}}, "scale (harm) goes from 0 to 1 (got 50.0); allowed: a number above 0, up to 1"),
        ({"name": "length", "target": {"at_least": -1}}, "scale (words) goes from 0 on (got -1.0); allowed: a number above 0"),
        ({"name": "length", "target": {"at_most": -1}}, "no answer would count as success: the scale (words) goes from 0 on"),
    ],
)
def test_what_is_wrong_with_a_scorer_is_told(tmp_path: Path, scorer: object, told: str) -> None:
    (tmp_path / "mine.py").write_text("def mine(prompt, response):\n    return 'a'\n")
    path = write_sweep(tmp_path, sweep_data(behaviors=behaviors(scorer)))
    with pytest.raises(InputError) as raised:
        load_sweep(path)
    assert told in str(raised.value)
    assert f"{path.name}:" in str(raised.value)


def test_a_threshold_that_tells_some_numbers_of_a_scale_from_others_is_taken(tmp_path: Path) -> None:
    for scorer in (
        *({**TRAIT, "target": target} for target in ({"at_least": 100}, {"at_least": 0.5}, {"at_most": 0}, {"at_most": 99})),
        *({"name": "length", "target": target} for target in ({"at_least": 1e9}, {"at_most": 1e9}, {"at_most": 0})),
    ):
        load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors(scorer))))


def test_the_first_scorer_decides_and_each_is_listed_once(tmp_path: Path) -> None:
    for second, told in (
        ({"name": "contains", "phrases": "arr", "target": "lacks"}, "only the first scorer has a target"),
        ({key: value for key, value in PIRATE.items() if key != "target"}, "this scorer is listed twice"),
    ):
        with pytest.raises(InputError, match=told):
            load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors(PIRATE, second))))
    plan = make_plan(load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors(PIRATE, "refusal", "length")))))
    assert [one.partition("@")[0] for one in plan.scoring.of("refusal").ids] == ["pattern", "refusal", "length", "coherence"]


def test_ids_of_cells_do_not_depend_on_the_scorer(tmp_path: Path) -> None:
    plans = [
        make_plan(load_sweep(write_sweep(tmp_path, sweep_data(behaviors=chosen))))
        for chosen in (behaviors(PIRATE), {"refusal": {"file": "refusal.jsonl", "limit": 4}})
    ]
    assert [cell.id for cell in plans[0].cells] == [cell.id for cell in plans[1].cells]


def rates(store: Store) -> Mapping[str, tuple[int | None, int | None, str | None]]:
    return {row.cell_id: (row.success_n, row.garbled_n, row.target) for row in store.cell_rows()}


def test_from_the_sweep_to_the_tables_and_scored_anew_from_the_folder_alone(tmp_path: Path) -> None:
    """Two of four answers are a pirate's, one is a loop."""
    plan = make_plan(load_sweep(write_sweep(tmp_path, sweep_data(behaviors=behaviors(PIRATE)))))
    texts = dict(zip((prompt.id for prompt in plan.cells[0].prompts), ("Arr!", "Arr, matey", LOOP, "The sea"), strict=True))
    store = Store(tmp_path / "results")
    with store.lock():
        store.write_sweep("name: sample\n")
        store.write_plan(plan)
        for spec in plan.directions:
            store.write_direction(spec, direction_set())
        with Recording(store, scoring=plan.scoring) as recorder:
            for cell in plan.cells:
                recorder.cell(cell, result_of(cell, lambda prompt: texts[prompt.id]), 1)
        store.compact()
    expected = {cell.id: (2, 1, "pirate") for cell in plan.cells}
    assert rates(store) == expected
    (tmp_path / "sweep.yaml").unlink()
    told = score_results(tmp_path / "results", None)
    assert told["labels"] == {"pirate": 2 * len(plan.cells), "plain": len(plan.cells), "garbled": len(plan.cells)}
    assert (told["lacking"], told["damaged"]) == ("", [])
    assert rates(Store(tmp_path / "results")) == expected
    refused = score_results(tmp_path / "results", "text")
    assert refused["classifier"] == "refusal@13=refusal+coherence@6"
    assert {row.target for row in Store(tmp_path / "results").cell_rows()} == {"coherent_refusal"}


def test_score_runs_no_file_of_the_results_folder_itself(tmp_path: Path) -> None:
    """Such a folder may have come from anybody, with its plan and a scorer in it."""
    results, ran = tmp_path / "results", tmp_path / "ran"
    named = {"name": "mine.py:share", "target": {"at_least": 0.5}}
    code = f"open({str(ran)!r}, 'a').write('x')\ndef share(prompt, response):\n    return 1.0\n"
    (tmp_path / "mine.py").write_text(code)
    path = write_sweep(tmp_path, sweep_data(behaviors=behaviors(named)))
    store = Store(results)
    with store.lock():
        store.write_plan(make_plan(load_sweep(path)))
        store.write_sweep(f"{ORIGIN}{results / 'sweep.yaml'}\n")
    assert ran.read_text() == "x", "once, when the sweep is read"
    assert str(tmp_path) not in store.folder.plan.read_text()
    (results / "mine.py").write_text(code + "# planted\n")
    with pytest.raises(InputError, match=r"scorers: this scorer is Python that lies in the results folder itself"):
        score_results(results)
    score_results(results, "coherence")
    assert ran.read_text() == "x"
    with store.lock():
        store.write_sweep(f"{ORIGIN}{path}\n")
    (tmp_path / "mine.py").write_text(code + "# mended\n")
    score_results(results)
    assert ran.read_text() == "xx", "beside the sweep file it is the user's own"
