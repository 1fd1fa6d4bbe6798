"""The labels of a cell by columns are those that its scores give one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.results.schema import LABEL_PART, SCORE_PART
from orchestrator.results.scored_cells import given_labels, judged
from orchestrator.scoring.planned import Criterion
from orchestrator.scoring.score import Labels, ResponseScore, Scale
from orchestrator.scoring.verdict import Verdicts

COHERENT = ("normal", "garbled", "no_answer", "normal", "garbled", "normal")


def scored(labels: Sequence[str | None], values: Sequence[float | None], why: str) -> list[ResponseScore]:
    given = enumerate(zip(labels, values, strict=True))
    return [ResponseScore(f"p{at}", label, value, f'{{"{why}": {at}}}', None, at % 2) for at, (label, value) in given]


@pytest.mark.parametrize(
    ("says", "target", "scores"),
    [
        (Labels(("yes", "no"), "yes"), None, scored(("yes", "yes", "no_answer", "no", "no", "no_answer"), [None] * 6, "rule")),
        (Scale("words"), {"at_least": 3}, scored([None] * 6, (2.0, 3.0, None, 4.0, None, None), "words")),
    ],
)
@pytest.mark.parametrize("coherent", [COHERENT, ("normal",) * 6])
def test_columns_say_what_the_scores_do(
    says: Labels | Scale, target: dict[str, float] | None, scores: list[ResponseScore], coherent: Sequence[str]
) -> None:
    verdicts = Verdicts(Criterion("a@1", "coherence@1", target, {"yes": "agreed"}), says)
    other = scored(coherent, [None] * 6, "language")
    table = judged(verdicts, SCORE_PART.table(scores), SCORE_PART.table(other))
    expected = verdicts.all(scores, other)
    assert tuple(LABEL_PART.typed(table)) == expected
    assert given_labels(table).labels == [one.label for one in expected]
    with pytest.raises(ValueError, match="different responses"):
        judged(verdicts, SCORE_PART.table(scores), SCORE_PART.table(other[::-1]))
