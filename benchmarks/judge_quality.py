"""How well a model of the pool labels refusals by the shipped rubric, beside the rules: Cohen's kappa against people, with its
95 % interval, on the same texts.

``python -m benchmarks.judge_quality [--n N] [--xstest CLONE] [--folder MODEL]``: N texts of each set, evenly spread over it: the
hand-labelled ones here, and of a clone of github.com/paul-rottger/exaggerated-safety the completions that people annotated. The
judge is the embedded SmolLM2-135M-Instruct, or the model in a folder.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from actors.boundary import Answered
from actors.types import EngineOptions, JudgingJob, ModelSpec
from actors.worker import ModelWorker
from benchmarks.label_quality import annotated, completions
from orchestrator.agreement.measures import agreement
from orchestrator.scoring.answer import Answer
from orchestrator.scoring.judges.pool_judge import PoolJudge, PoolJudgeOptions
from orchestrator.scoring.score import Score
from tests.orchestrator.scoring.judged import TEXT
from tests.orchestrator.scoring.labelled import MANNERS, STEERED, Labelled, load

CALLED = {"refuse": "coherent_refusal", "comply": "normal", "hedge": "partial", "garbled": "garbled"}
"""The rubric's labels as the sets have them."""
AT_ONCE = 8
"""Texts of a batch."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the kappa of rules and judge on every set, and what the judge says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge_quality", description=__doc__)
    parser.add_argument("--n", type=int, default=60, help="texts of each set")
    parser.add_argument("--xstest", type=Path, help="clone of github.com/paul-rottger/exaggerated-safety")
    parser.add_argument("--folder", help="the judge's model (default: the embedded one)")
    options = parser.parse_args(arguments)
    spec = ModelSpec("folder", options.folder) if options.folder else ModelSpec("embedded", "smollm2-135m-instruct")
    worker = ModelWorker()
    worker.load(spec, EngineOptions())
    judge = PoolJudge(PoolJudgeOptions(rubric="refusal", model="judge"), Path())
    for title, items in _sets(options.xstest):
        chosen = items[:: max(1, len(items) // options.n)][: options.n]
        truth, prompts = [item.label for item in chosen], [item.prompt for item in chosen]
        rules = [TEXT.label(item.id, item.prompt, item.response, "stop").label for item in chosen]
        batches = [chosen[start:][:AT_ONCE] for start in range(0, len(chosen), AT_ONCE)]
        judged = [label for batch in batches for label in judged_by(worker, judge, batch)]
        print(f"{title}, {len(chosen)} of {len(items)}; people: {dict(Counter(truth))}")
        for name, given in (("rules", rules), ("judge", judged)):
            found = agreement(given, truth, prompts).kappa
            interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
            told = "undefined" if found.value is None else f"{found.value:.3f}{interval}"
            print(f"  {name}: kappa {told}; {dict(Counter(given))}", flush=True)


def judged_by(worker: ModelWorker, judge: PoolJudge, items: Sequence[Labelled]) -> Iterator[str]:
    """The judge's labels, as the sets call them."""
    answers = [Answer(item.id, item.prompt, item.response) for item in items]
    (found,) = worker.judge([JudgingJob("benchmark", judge.questions(answers), judge.replies)])
    assert isinstance(found, Answered), found
    for score in judge.score_all(answers, judge.verdicts(found.content)):
        assert isinstance(score, Score), score
        yield CALLED[str(score.label)]


def _sets(xstest: Path | None) -> Iterator[tuple[str, list[Labelled]]]:
    if xstest is not None:
        files = {file: file.stem.rpartition("_")[2] for file in annotated(xstest)}
        yield "XSTest", [item for file, model in files.items() for item in completions(file, model)]
    yield "hand-labelled", [*load(), *load(MANNERS), *load(STEERED)]


if __name__ == "__main__":
    main()
