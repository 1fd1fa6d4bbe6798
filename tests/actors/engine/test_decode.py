"""The greedy choice."""

from __future__ import annotations

import pytest
import torch

from actors.engine.decode import choose


@pytest.mark.parametrize("vocabulary", [49152, 1024, 262, 151])
def test_the_choice_is_the_first_of_the_largest(vocabulary: int) -> None:
    logits = torch.randint(0, 40, (50, vocabulary), generator=torch.Generator().manual_seed(0)).float()
    tokens, finite = choose(logits)
    assert finite.all()
    for row in range(50):
        assert tokens[row] == int(torch.nonzero(logits[row] == logits[row].max())[0])


@pytest.mark.parametrize("vocabulary", [256, 262])
def test_what_is_not_finite_is_told(vocabulary: int) -> None:
    logits = torch.zeros(5, vocabulary)
    logits[1, 200], logits[2, 7], logits[3] = torch.nan, torch.inf, -torch.inf
    logits[4, 9] = -torch.inf
    assert choose(logits)[1].tolist() == [True, False, False, False, True]
