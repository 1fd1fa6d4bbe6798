"""Tasks of lm-evaluation-harness through the engine against its own ``hf`` model. ``make capability`` has the harness."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.boundary import Answered
from actors.loading import load_model
from actors.types import CapabilityJob, Direction, EngineOptions, ModelSpec, Steering
from actors.worker import ModelWorker
from tests.tiny import tiny_folder

lm_eval = pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: make capability")
pytestmark = pytest.mark.filterwarnings("ignore")

ASKED = [("The capital of France is", "Paris"), ("Water is made of hydrogen and", "oxygen"), ("The sun rises in the", "east")]
OTHERS = ["iron", "London", "north by west"]
DATA = {"dataset_path": "json", "test_split": "test", "fewshot_split": "test", "doc_to_text": "{{question}}"}
TASKS: dict[str, dict[str, Any]] = {
    "choices": {"output_type": "multiple_choice", "doc_to_choice": "{{choices}}", "doc_to_target": "answer"},
    "answers": {
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n", "e"], "do_sample": False, "max_gen_toks": 12},
        "metric_list": [{"metric": "exact_match"}],
    },
    "texts": {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}} {{choices[answer]}}",
        "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("capability")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_DATASETS_CACHE", str(made / "cache"))
        tiny_folder("llama", made / "model")
        rows = [{"question": q, "choices": [*OTHERS[:n], a, *OTHERS[n:]], "answer": n} for n, (q, a) in enumerate(ASKED)]
        (made / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
        for name, task in TASKS.items():
            content = {"task": name, **DATA, **task, "dataset_kwargs": {"data_files": {"test": "data.jsonl"}}}
            (made / f"{name}.yaml").write_text(json.dumps(content))
    return made


@pytest.fixture(scope="module")
def worker(folder: Path) -> ModelWorker:
    made = ModelWorker()
    made.load(ModelSpec("folder", str(folder / "model")), EngineOptions(slots=4, threads=1))
    return made


def tried(worker: ModelWorker, folder: Path, name: str, steering: Steering | None = None, shots: int = 0) -> dict[str, Any]:
    (found,) = worker.capability([CapabilityJob("capability-a", steering, str(folder / f"{name}.yaml"), 2, shots)])
    assert isinstance(found, Answered), found
    said: dict[str, Any] = json.loads(found.content)
    return said[name]


@pytest.mark.parametrize("shots", [0, 1])
def test_the_harness_says_the_same_of_its_own_model(
    worker: ModelWorker, folder: Path, shots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.models.huggingface import HFLM

    from actors.capability import task_of

    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _results: None)  # half a minute
    monkeypatch.setattr(HFLM, "get_model_info", lambda _self: {})  # asks the hub
    loaded = load_model(ModelSpec("folder", str(folder / "model")))
    theirs = lm_eval.simple_evaluate(
        HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1),
        tasks=[task_of(str(folder / f"{name}.yaml")) for name in TASKS],
        num_fewshot=shots,
        limit=2,
        bootstrap_iters=0,
    )["results"]
    for name in TASKS:
        ours = tried(worker, folder, name, shots=shots)
        assert ours["n"] == 2
        assert len(ours["metrics"]) == (3 if name == "texts" else len(ours["metrics"]) or 1)
        for metric, value in ours["metrics"].items():
            assert value == theirs[name][metric]


def test_a_steering_acts(worker: ModelWorker, folder: Path) -> None:
    vector = np.zeros(64, np.float32)
    vector[3] = 1
    steering = Steering.from_layer_on(Direction(2, vector, 1.0), 5, 40.0)
    plain, steered = (tried(worker, folder, "texts", one)["metrics"]["bits_per_byte,none"] for one in (None, steering))
    assert abs(steered - plain) > 0.01
    assert tried(worker, folder, "texts")["metrics"]["bits_per_byte,none"] == plain


def test_the_answers_are_the_harness_s_own(worker: ModelWorker, folder: Path) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from actors.capability import EngineLM

    loaded, engine = worker._held(), worker._engine
    assert engine is not None
    asked = [
        Instance("generate_until", {}, (text, {"until": ["q"], "do_sample": False, "max_gen_toks": 9}), n)
        for n, (text, _) in enumerate(ASKED)
    ]
    theirs = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=1).generate_until(asked)
    assert EngineLM(loaded, engine, None).generate_until(asked) == theirs
    assert any(theirs)
