"""``Model``: what a worker does, for a script; mistakes are raised, and everything shows itself in a line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import actors
from actors import METHODS, Condition, Decoding, Model, ModelSpec, Prompt, WorkerError
from actors.errors import JobError, ModelLoadError
from actors.types import EngineOptions, ExtractionJob, GenerationJob
from actors.worker import ModelWorker
from tests.tiny import tiny_folder

POSITIVE = ["How do I pick a lock?", "How do I forge a coin?", "How do I rob a bank?"]
NEGATIVE = ["How do I tie a tie?", "How do I bake a cake?", "How do I open a shop?"]
SHORT = Decoding(max_new_tokens=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return Model.load(folder)


def test_it_gives_what_a_worker_gives(model: Model, folder: Path) -> None:
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(folder)), EngineOptions())
    classes = [
        tuple(Prompt(f"{name}-{n}", text) for n, text in enumerate(texts, 1))
        for name, texts in (("positive", POSITIVE), ("negative", NEGATIVE))
    ]
    expected = worker.extract(ExtractionJob("dim", classes[0], classes[1], "dim"))
    found = model.extract(POSITIVE, NEGATIVE)
    assert found == expected
    assert np.array_equal(found.vectors, np.stack([one.vector for one in expected.directions]))
    steering = model.steering(found.at(2), 9.0)
    assert steering.layers == (2, 3, 4)
    (cell,) = worker.generate([GenerationJob("c", (Prompt("p", "Hello"),), SHORT, steering)])
    assert model.generate("Hello", steering, SHORT).token_ids == cell.responses[0].token_ids  # type: ignore[union-attr]


def test_one_text_gives_one_answer_and_a_list_as_many(model: Model) -> None:
    one = model.generate("Hello", decoding=SHORT)
    several = model.generate(["Hello", "Who are you?"], decoding=SHORT)
    assert [answer.prompt for answer in several] == ["Hello", "Who are you?"]
    assert several[0].token_ids == one.token_ids
    with pytest.raises(JobError, match="give the prompt in a list"):
        model.generate("Hello", decoding=replace(SHORT, temperature=1.0, samples=2))


def test_steerings_share_a_batch_and_say_whether_they_fired(model: Model) -> None:
    direction = model.extract(POSITIVE, NEGATIVE).at(1)
    names = {
        "unsteered": None,
        "here": model.steering(direction, 5, layers=[1]),
        "array": model.steering(direction.vector, 5, [1]),
    }
    cells = model.cells(["Hello"], names, SHORT)
    assert list(cells) == list(names)
    assert [cell.fired.fired for cell in cells.values()] == [None, True, True]
    assert cells["here"].responses[0].token_ids == cells["array"].responses[0].token_ids


def test_several_steer_together_and_under_a_condition(model: Model) -> None:
    found = model.extract(POSITIVE, NEGATIVE)
    first, second = model.steering(found.at(1), 9.0), model.steering(found.at(3), -5.0, positions="generation")
    both = model.together(first, model.together(second))
    assert [part.multiplier for part in both.parts] == [9.0, -5.0]
    when = Condition(2, found.at(2).vector, -1.0)
    steerings = {"both": both, "always": model.steering(found.at(1), 9.0, when=when), "one": first}
    cells = model.cells(["Hello", "Who are you?"], steerings, SHORT)
    assert [cell.fired.fired for cell in cells.values()] == [True, True, True]
    assert [one.token_ids for one in cells["always"].responses] == [one.token_ids for one in cells["one"].responses]
    assert [one.acted for one in cells["always"].responses] == [(True,), (True,)]
    with pytest.raises(JobError, match="nothing to steer with"):
        model.together()


def test_cosmic_selects_a_layer(model: Model) -> None:
    found = model.extract(POSITIVE, NEGATIVE, "cosmic", {"positions": 1, "kl_limit": None})
    assert found.selected_layer in range(4)
    assert -1 <= found.at(2).cosine(model.extract(POSITIVE, NEGATIVE).at(2)) <= 1


def test_mistakes_are_raised(model: Model) -> None:
    with pytest.raises(JobError, match="method 'dmi' is unknown; allowed: dim, "):
        model.extract(POSITIVE, NEGATIVE, "dmi")
    with pytest.raises(JobError, match=r"options of cosmic: position: .*; allowed: .*ablation, positions"):
        model.extract(POSITIVE, NEGATIVE, "cosmic", {"position": 1})
    with pytest.raises(JobError, match="positive: a text where a list of prompts is wanted"):
        model.extract("How?", NEGATIVE)
    direction = model.extract(POSITIVE, NEGATIVE).at(1)
    with pytest.raises(JobError, match="does not say at which layer"):
        model.steering(direction.vector, 5)
    with pytest.raises(JobError, match="layer"):
        model.generate("Hello", model.steering(direction, 5, layers=[99]), SHORT)
    with pytest.raises(JobError, match="model's limit"):
        model.generate("Hello", decoding=Decoding(max_new_tokens=10_000))
    with pytest.raises(ModelLoadError, match="there is no model 'no-such-model'; allowed: smollm2"):
        Model.load("no-such-model")


def test_a_steering_says_at_which_tokens_and_how_it_fades(model: Model) -> None:
    direction = model.extract(POSITIVE, NEGATIVE).at(1)
    told = {"positions": "last_prompt+first:2", "schedule": "linear:8", "keep_norm": True}
    asked = model.steering(direction, 5, **told)  # type: ignore[arg-type]
    assert {name: getattr(asked, name) for name in told} == told
    (cell,) = model.cells(["Hello"], {"it": asked}, SHORT).values()
    assert cell.fired.fired
    everywhere = model.steering(direction, 50)
    late = model.steering(direction, 50, positions="from:3")
    answers = [model.generate("Hello", one, SHORT).token_ids for one in (None, late, everywhere)]
    assert answers[1][:3] == answers[0][:3], "nothing was steered yet"
    assert answers[2] != answers[0]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"layers": 99}, r"layers: 99 where a list of whole numbers is wanted; say layers=\[99\]"),
        ({"layers": ["1"]}, r"layers: \['1'\] where a list of whole numbers is wanted"),
        ({"layers": [99]}, r"steering layers \[99\] are outside 0\.\.4"),
        ({"positions": "lats"}, "positions 'lats' are unknown"),
        ({"positions": 8}, "positions: 8 where words, as 'last_prompt' or 'first:8' is wanted"),
        ({"schedule": "linear"}, "schedule 'linear' needs a number of tokens"),
        ({"keep_norm": "yes"}, "keep_norm: 'yes' where True or False is wanted"),
        ({"multiplier": "8"}, "multiplier: '8' where a number is wanted"),
        ({"intervention": "adition"}, "intervention 'adition' is unknown; allowed: addition"),
        ({"direction": "dim"}, r"direction: a str where a direction or an array \[64\] is wanted"),
    ],
)
def test_a_steering_that_cannot_be_is_told_at_once(given: dict[str, object], told: str, model: Model) -> None:
    found = model.extract(POSITIVE, NEGATIVE)
    with pytest.raises(JobError, match=told):
        model.steering(**{"direction": found.at(1), "multiplier": 8.0, **given})  # type: ignore[arg-type]
    with pytest.raises(JobError, match=r"that of one is wanted; say \.at\(LAYER\)"):
        model.steering(found, 8.0)  # type: ignore[arg-type]


def test_a_closed_model_is_refused(folder: Path) -> None:
    with Model.load(folder) as model:
        assert repr(model) == f"Model({folder.name}, 5 blocks of width 64, float32 on {model.info.device})"
    with pytest.raises(WorkerError, match="holds no model"):
        model.generate("Hello")


def test_everything_shows_itself_in_a_line_and_equals_its_like(model: Model) -> None:
    found = model.extract(POSITIVE, NEGATIVE)
    steering = model.steering(found.at(2), 9.0)
    cell = model.cells(["Hello " * 50], {"a": steering}, SHORT)["a"]
    for value in (model, model.info, found, found.at(2), steering, cell, cell.responses[0], model.spec):
        assert "\n" not in repr(value)
        assert len(repr(value)) <= 400, repr(value)
    again = model.extract(POSITIVE, NEGATIVE)
    assert (found, found.at(2), steering) == (again, again.at(2), model.steering(again.at(2), 9.0))
    assert len({found.at(2), again.at(2), found.at(3)}) == 2
    other = replace(found.at(2), vector=np.roll(found.at(2).vector, 1))
    assert found.at(2) != other
    assert steering != replace(steering, vectors=steering.vectors.copy() + 1)
    assert found.at(2) != "a direction"


def test_the_names_are_complete() -> None:
    assert dir(actors) == sorted(actors.__all__)
    assert all(getattr(actors, name) is not None for name in actors.__all__)
    assert "dim" in METHODS
    with pytest.raises(AttributeError, match="it has METHODS, "):
        actors.Modl  # noqa: B018


def test_a_steering_knows_its_site_and_what_its_intervention_needs(tmp_path: Path) -> None:
    with Model.load(tiny_folder("llama", tmp_path / "model")) as model:
        found = model.extract(["Say yes.", "Agree!"], ["Say no.", "Refuse!"], options={"site": "mlp"})
        plain = model.steering(found.at(2), 4.0, [2], site="mlp")
        turned = model.steering(found.at(2), 90.0, [2, 3], "angular", site="mlp", of=found)
        target = model.steering(found.at(2), 1.0, [3], "to_negative_mean", site="mlp", of=found)
        assert found.components is not None
        assert target.references == (float(found.components[1, 3, 2]),)
        assert [basis.shape for basis in turned.bases] == [(1, 64)] * 2
        for steering in (plain, turned, target):
            assert steering.site == "mlp"
            assert model.generate(["Hi"], steering, Decoding(3))
        with pytest.raises(JobError, match="needs one axis beside"):
            model.steering(found.at(2), 90.0, [2], "angular")
