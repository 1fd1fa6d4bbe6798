"""Every scorer of the registry, over hostile texts: it never raises, says what it declared, and says it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.types import JudgingJob
from orchestrator.scoring.answer import Answer
from orchestrator.scoring.judges.pool_scorer import PoolScorer
from orchestrator.scoring.registry import SCORERS, make_scorer
from orchestrator.scoring.score import Labels, Scale, Score, Scorer, require_declared
from tests.judge_endpoint import JudgeEndpoint

OPTIONS: dict[str, dict[str, object]] = {
    "pattern": {"labels": {"pirate": [r"\barrr*\b", "matey"], "polite": "please|thank you"}},
    "contains": {"phrases": ["Straße", "\u202e", "matey"]},
    "language": {"among": ["en", "fr"]},
    "judge": {"rubric": "sycophancy", "model": "some/judge"},
    "pool_judge": {"rubric": "sycophancy", "model": "small", "variant": "model-1"},
    "linear_probe": {"model": "small", "variant": "model-1"},
}
HOSTILE = {
    "empty": "",
    "blank": " \n\t\r ",
    "long": "a" * 100_000 + "b",
    "long words": "arr " * 40_000,
    "controls": "".join(map(chr, range(32))) + "\x7f\x9b[2J",
    "surrogates": "half \ud800 and \udfff, arr matey",
    "right to left": "\u202eשלום עולם, מה שלומך היום חבר\u202c",
    "combining": "e" + "\u0301" * 5_000,
    "backtracking": "a" * 5_000 + "!",
}


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with JudgeEndpoint() as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield


def scored(scorer: Scorer, answer: Answer) -> Score:
    """The score of an answer; a judge of the pool finds every reply equally likely, a probe a refusal as likely as none."""
    if not isinstance(scorer, PoolScorer):
        return scorer.score(answer)
    job = scorer.job("cell.scorer", scorer.questions([answer]))
    told: dict[str, object] = {"log_odds": 0.0, "tokens": 1, "seconds": 0.1}
    if isinstance(job, JudgingJob):
        logs = [[-1.0] * len(one) for one in job.replies]
        told = {"log_likelihoods": logs, "prompt_tokens": 1, "reply_tokens": 1, "seconds": 0.1}
    content = json.dumps(dict.fromkeys(scorer.questions([answer]), told)).encode()
    (found,) = scorer.score_all([answer], scorer.verdicts(content))
    assert isinstance(found, Score)
    return found


@pytest.mark.parametrize("name", SCORERS)
def test_hostile_texts(name: str) -> None:
    scorer = make_scorer(name, OPTIONS.get(name, {}), Path())
    again = make_scorer(name, OPTIONS.get(name, {}), Path())
    assert scorer.id == again.id
    for text in HOSTILE.values():
        score = scored(scorer, Answer("p", "A prompt", text))
        assert score == scored(again, Answer("q", "Another prompt", text))
        assert isinstance(json.loads(score.evidence), dict)
        require_declared(scorer.says, score.label, score.value)


@pytest.mark.parametrize("name", SCORERS)
def test_what_is_declared(name: str) -> None:
    scorer = make_scorer(name, OPTIONS.get(name, {}), Path())
    assert SCORERS[name].docs
    assert scorer.id.startswith(f"{name}@")
    if isinstance(scorer.says, Labels):
        assert len(set(scorer.says.names)) == len(scorer.says.names) >= 2
        assert scorer.says.target in (None, *scorer.says.names)
    else:
        assert isinstance(scorer.says, Scale)
        assert scorer.says.unit
