"""The command ``agreement`` over a folder with two raters."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner, Result

from orchestrator.cli import app
from orchestrator.labelling.desk import desk
from orchestrator.labelling.sample import Draw
from orchestrator.results.frames import load_frames
from orchestrator.results.store import Store
from orchestrator.scoring.planned import ScorerUse
from orchestrator.scoring.score import ResponseScore, Scale
from orchestrator.scoring.uses import default_scoring
from tests.orchestrator.labelling.made_up import to_label
from tests.orchestrator.samples import Said

OLD = Path(__file__).parents[1] / "v0_1_0" / "out"
LABELS = ("coherent_refusal", "normal", "garbled")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All fifty responses labelled by anna as the sweep does but for each tenth, by bob but for each fifth."""
    found = to_label(tmp_path_factory.mktemp("results") / "out")
    columns = ("cell_id", "prompt_id", "sample", "label")
    labels = {tuple(key): label for *key, label in load_frames(found).responses.select(columns).iter_rows()}
    random = Random(0)
    for rater, every in (("anna", 10), ("bob", 5)):
        with desk(found, rater, Draw(50)) as server:
            for number, reading in enumerate(server.session.readings):
                wrong = [one for one in LABELS if one != labels[reading.key]]
                server.session.rate(number, labels[reading.key] if number % every else random.choice(wrong))
    return found


def agreement(*arguments: object) -> Result:
    """Runs the command."""
    return CliRunner().invoke(app, ["agreement", *map(str, arguments)])


def test_no_number_is_cut_off_on_a_narrow_terminal(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    for width in ("200", "30"):
        monkeypatch.setenv("COLUMNS", width)
        told.append(agreement(place, "rater:anna", "rater:bob").output)
    wide, narrow = ({word for word in one.split() if any(map(str.isdigit, word))} for one in told)
    assert wide
    assert wide <= narrow


def test_every_pair_has_its_coefficients(place: Path) -> None:
    told = agreement(place, "--json")
    assert told.exit_code == 0, told.output
    pairs = {(one["first"], one["second"]): one for one in json.loads(told.stdout)["pairs"]}
    assert set(pairs) == {("sweep", "rater:anna"), ("sweep", "rater:bob"), ("rater:anna", "rater:bob")}
    anna = pairs["sweep", "rater:anna"]
    assert (anna["n"], anna["agreed"], anna["prompts"], anna["by"]) == (50, 45, 10, "label")
    assert pairs["sweep", "rater:bob"]["agreed"] == 40
    cells = [
        (first, second)
        for first, row in zip(anna["labels"], anna["table"], strict=True)
        for second, count in zip(anna["labels"], row, strict=True)
        for _ in range(count)
    ]
    assert anna["kappa"]["value"] == pytest.approx(cohen_kappa_score(*zip(*cells, strict=True)))
    assert anna["kappa"]["low"] < anna["kappa"]["value"] < anna["kappa"]["high"]
    assert anna["alpha"]["low"] < anna["alpha"]["value"] < anna["alpha"]["high"]


def test_one_pair_is_told_label_by_label(place: Path) -> None:
    told = agreement(place, "sweep", "rater:a")
    assert told.exit_code == 0, told.output
    for word in ("Rows: sweep; columns: rater:anna", "precision %", "recall %", "kappa", "45/50"):
        assert word in told.output


def test_rates_are_corrected_and_marked(place: Path) -> None:
    told = agreement(place, "sweep", "rater:anna", "--correct", "--json")
    (found,) = json.loads(told.stdout)["corrected"]
    assert (found["behavior"], found["checked"], len(found["cells"])) == ("refusal", 50, 5)
    for cell in found["cells"]:
        corrected = cell["corrected"]
        assert 0 <= corrected["low"] <= corrected["value"] <= corrected["high"] <= 1
    shown = agreement(place, "sweep", "rater:anna", "--correct").output
    assert "corrected %" in shown
    assert "not counted but estimated" in " ".join(shown.split())
    assert "count each label by its share of all responses" in " ".join(shown.split())
    assert "smollm2 dim L15 x 8" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["swep", "rater:anna"], "did you mean 'sweep'"),
        (["sweep"], "two scorers are compared"),
        (["sweep", "rater:anna", "rater:bob"], "two scorers are compared"),
        (["sweep", "rater:"], "no scorer of this folder"),
        (["--correct"], "none is the judge"),
    ],
)
def test_what_cannot_be_compared_is_bad_input(place: Path, words: list[str], told: str) -> None:
    found = agreement(place, *words)
    assert found.exit_code == 2
    assert told in found.stderr


def test_without_raters_only_scorers_are_there_and_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    found = agreement(to_label(tmp_path / "out"))
    assert found.exit_code == 0
    assert "not compared, for they have neither labels nor outcomes in common: sweep / coherence@" in found.output


def test_a_folder_of_an_earlier_version_has_one_scorer_until_a_person_labels(tmp_path: Path) -> None:
    shutil.copytree(OLD, tmp_path / "out")
    found = agreement(tmp_path / "out")
    assert found.exit_code == 2
    assert "only one scorer has judged" in found.stderr
    with desk(tmp_path / "out", "anna", Draw(2)) as server:
        for number, reading in enumerate(server.session.readings):
            server.session.rate(number, reading.labels.names[0])
    assert json.loads(agreement(tmp_path / "out", "--json").stdout)["pairs"][0]["n"] == 2


def test_numbers_are_compared_by_rank_and_not_with_labels(tmp_path: Path) -> None:
    place = to_label(tmp_path / "out")
    store = Store(place)
    uses = tuple(ScorerUse("length", {}, name) for name in ("words@1", "characters@1"))
    default = default_scoring()
    scoring = {"refusal": replace(default, scorers=(*default.scorers, *uses))}
    store.keep_plan(replace(store.planned(), scoring=scoring))
    random = Random(1)
    for cell_id in store.done_cells():
        values = [random.random() for _ in store.read_responses(cell_id)]
        for use, power in zip(uses, (1, 3), strict=True):
            rows = zip(store.read_responses(cell_id), values, strict=True)
            scores = [ResponseScore(one.prompt_id, None, value**power, "{}", None) for one, value in rows]
            store.write_scores(cell_id, Said(use.id, Scale("of length")), scores)  # type: ignore[arg-type]
    told = json.loads(agreement(place, "words", "characters", "--json").stdout)
    assert told["pairs"][0]["by"] == "rank"
    assert told["pairs"][0]["rho"]["value"] == pytest.approx(1.0)
    assert "rho 1.00" in agreement(place, "words", "characters").output
    (apart,) = json.loads(agreement(place, "sweep", "words", "--json").stdout)["not_compared"]
    assert "neither labels nor outcomes" in apart["why"]
    assert agreement(place, "words", "sweep", "--correct").exit_code == 2
    assert CliRunner().invoke(app, ["label", str(place), "--scorer", "words"]).exit_code == 2


def test_a_rating_of_another_text_does_not_count(place: Path, tmp_path: Path) -> None:
    other = to_label(tmp_path / "out")
    (other / "ratings").mkdir()
    lines = (place / "ratings" / "anna.jsonl").read_text().splitlines()
    changed = [json.dumps({**json.loads(line), "response_sha256": "0" * 20}) for line in lines[:20]]
    (other / "ratings" / "anna.jsonl").write_text("\n".join([*changed, *lines[20:]]) + "\n")
    assert json.loads(agreement(other, "--json").stdout)["pairs"][0]["n"] == 30


@pytest.mark.parametrize("used", [("normal",), ("normal", "garbled")])
def test_which_labels_a_rater_happens_to_use_decides_nothing(tmp_path: Path, used: tuple[str, ...]) -> None:
    place = to_label(tmp_path / "out")
    with desk(place, "one", Draw(20)) as server:
        for number in range(20):
            server.session.rate(number, used[number % len(used)])
    told = json.loads(agreement(place, "--json").stdout)
    assert [(one["first"], one["second"], one["by"]) for one in told["pairs"]] == [("sweep", "rater:one", "label")]
    apart = {(one["first"].partition("@")[0], one["second"]) for one in told["not_compared"]}
    assert {("coherence", "rater:one"), ("refusal", "rater:one")} <= apart
