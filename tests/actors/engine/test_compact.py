"""A table that edits rows apart gives what the table of the whole batch gives, to the bit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from actors.compact import compact
from actors.stacks import StackBank
from actors.steering import SteeringBank
from actors.types import Steering
from tests.actors.engine.test_interventions import D_MODEL, beside, unit, within

LAYERS = 3
EVERY = (
    Steering((0, 1), unit(2, 0), 3.0),
    Steering((0,), unit(1, 1), -2.0, keep_norm=True),
    Steering((0, 2), unit(2, 2), 0.5, "ablation"),
    Steering((0,), unit(1, 3), 1.0, "affine_ablation", (0.7,)),
    within(Steering((0,), unit(1, 2), 9.0, "subspace_replacement"), 3),
    Steering((0,), unit(1, 4), 5.0, "replacement"),
    Steering((0, 2), unit(2, 5), 70.0, "rotation"),
    replace(Steering((0,), unit(1, 6), 50.0, "rotation"), keep_norm=True),
    beside(Steering((0,), unit(1, 2), 130.0, "angular")),
    Steering((0,), unit(1, 7), 0.0),
)
FADING = tuple(replace(one, schedule="linear:5") if one.intervention in ("addition", "rotation") else one for one in EVERY)


@pytest.mark.parametrize("steerings", [EVERY, FADING], ids=["constant", "fading"])
@pytest.mark.parametrize("numbers", [[*range(len(EVERY) + 1), 7, 3, 1], [1, 0, 1], [3, 3], [0, 0], [7, 9, 0, 8]], ids=str)
def test_every_row_is_edited_as_in_the_whole_table(steerings: tuple[Steering, ...], numbers: list[int]) -> None:
    bank = SteeringBank(steerings, (LAYERS, D_MODEL), torch.float32, torch.device("cpu"))
    rows, prompts = torch.tensor(numbers), torch.arange(4, 4 + len(numbers))
    hidden = torch.randn(len(numbers), 1, D_MODEL, generator=torch.Generator().manual_seed(0))
    before, positions = hidden.clone(), prompts[:, None] + 2
    whole, apart = bank.rows(rows, prompts=prompts).at(positions), compact(bank, rows, prompts).at(positions)
    for layer in range(LAYERS):
        expected = whole.apply(layer, hidden)
        assert torch.equal(apart.apply(layer, hidden), expected)
        assert torch.equal(expected, hidden) == (not any(layer in steerings[one - 1].layers for one in numbers if one))
    assert torch.equal(hidden, before)


def test_a_layer_at_which_no_row_is_edited_is_left_alone() -> None:
    bank = SteeringBank(EVERY, (LAYERS, D_MODEL), torch.float32, torch.device("cpu"))
    hidden = torch.zeros(2, 1, D_MODEL)
    table = compact(bank, torch.tensor([4, 0]))
    assert table.apply(0, hidden) is not hidden
    assert all(table.apply(layer, hidden) is hidden for layer in (1, 2))


def test_steerings_are_ordered_by_where_they_act() -> None:
    """Rows take their slots by it, so that those that are edited at one place are neighbours; additions alone need no order."""
    mlp, late, early = Steering((1,), unit(1, 0), 3.0, site="mlp"), Steering((2,), unit(1, 1), 3.0), EVERY[2]
    bank = StackBank([mlp, late, early], (LAYERS, D_MODEL), torch.float32, torch.device("cpu"))
    assert sorted(range(4), key=bank.order) == [0, 3, 2, 1]
    assert all(0 <= bank.order(number) < 1 for number in range(4))
    added = StackBank([mlp, late], (LAYERS, D_MODEL), torch.float32, torch.device("cpu"))
    assert {added.order(number) for number in range(3)} == {0.0}
