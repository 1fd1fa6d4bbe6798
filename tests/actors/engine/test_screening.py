"""The screened head chooses what float32 chooses, whatever the vectors are, and a row's bits are its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actors.engine import screening
from actors.engine.packing import PackedLinear, Packing
from actors.engine.screening import PART, ScreenedHead, has_fast_bfloat16, screened_head

pytestmark = pytest.mark.skipif(not has_fast_bfloat16(), reason="this CPU does not multiply bfloat16")

VOCABULARY, WIDTH = 40 * PART, 96


def weights(seed: int = 0) -> Tensor:
    """Rows of very different lengths, and some that differ from another one by less than bfloat16 can tell."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(VOCABULARY, WIDTH, generator=generator) * torch.rand(VOCABULARY, 1, generator=generator).pow(3)
    weight[1::7] = weight[0::7][: len(weight[1::7])] * (1 + 1e-4 * torch.randn(len(weight[1::7]), WIDTH, generator=generator))
    return weight


def rows(n: int, seed: int = 1) -> Tensor:
    """Random rows, and as many that point along a row of the weights: the largest errors of rounding."""
    generator = torch.Generator().manual_seed(seed)
    along = weights()[torch.randint(VOCABULARY, (n,), generator=generator)]
    return torch.cat([8 * torch.randn(n, WIDTH, generator=generator), 50 * along])


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_the_choice_is_that_of_exact_logits(scale: float) -> None:
    weight, hidden = weights(), scale * rows(200)
    logits = ScreenedHead(weight)(hidden)
    exact = hidden.double() @ weight.double().T
    best = exact.gather(1, logits.argmax(dim=1, keepdim=True))[:, 0]
    torch.testing.assert_close(best, exact.amax(dim=1), rtol=1e-6, atol=0)
    kept = logits.isfinite()
    torch.testing.assert_close(logits[kept].double(), exact[kept], rtol=1e-4, atol=1e-4 * scale)
    assert (logits[~kept] == -torch.inf).all()
    assert kept.sum() < 0.2 * kept.numel(), "nothing was ruled out"


def test_no_rounding_error_exceeds_the_bound() -> None:
    weight, hidden = weights(), rows(200)
    rough = (hidden.bfloat16().float() @ weight.bfloat16().float().T).bfloat16().double()
    error = (rough - hidden.double() @ weight.double().T).abs()
    near = rough > 0.9 * rough.amax(dim=1, keepdim=True)
    bound = ScreenedHead(weight)._bound(hidden, rough.amax(dim=1, keepdim=True).float())
    assert (error * near).amax() > 0.05 * bound.amin(), "the errors are too small to test anything"
    assert ((error <= bound) | ~near).all()


def test_a_rows_bits_are_its_own() -> None:
    head, hidden = ScreenedHead(weights()), rows(40)
    whole = head(hidden)
    for n in (1, 2, 3, 17, 64):
        for start in (0, 11):
            assert torch.equal(head(hidden[start : start + n]), whole[start : start + n]), (n, start)


def test_the_shape_of_the_hidden_states_stays() -> None:
    head, hidden = ScreenedHead(weights()), rows(3)
    assert torch.equal(head(hidden[:, None]), head(hidden)[:, None])


def test_many_candidates_are_computed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    head, hidden = ScreenedHead(weights()), torch.zeros(2, WIDTH)
    monkeypatch.setattr(screening, "PAIRS_AT_ONCE", 1001)
    assert torch.equal(head(hidden), torch.zeros(2, VOCABULARY)), "of equal logits every one may win"


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_has_no_winner(value: float) -> None:
    hidden = rows(2)
    hidden[1, 5] = value
    logits = ScreenedHead(weights())(hidden)
    assert not logits[1].isfinite().any()
    assert logits[0].isfinite().any()


class _Model:
    """As much of a model as the choice of a head looks at."""

    def __init__(self, head: nn.Linear, **config: Any) -> None:
        self.head = head
        self.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config))

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def packed(head: nn.Linear) -> Packing:
    return Packing({head: PackedLinear(head.weight, head.bias)})


def test_a_head_is_screened_where_that_helps_and_minus_infinity_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    head = nn.Linear(WIDTH, VOCABULARY, bias=False)
    assert screened_head(_Model(head), packed(head)) is None, "too small to be worth it"
    monkeypatch.setattr(screening, "SMALLEST", 1)
    assert screened_head(_Model(head), packed(head)) is not None
    assert screened_head(_Model(head, final_logit_softcapping=30.0), packed(head)) is None
    assert screened_head(_Model(head), Packing(reason="quantized layers")) is None
    biased = nn.Linear(WIDTH, VOCABULARY)
    assert screened_head(_Model(biased), packed(biased)) is None


def test_the_head_is_restored() -> None:
    head = nn.Linear(WIDTH, VOCABULARY, bias=False)
    model, hidden = _Model(head), rows(2)
    with torch.no_grad():
        plain = head(hidden)
        with screening.screening(model, ScreenedHead(head.weight)):
            assert (head(hidden) == -torch.inf).any()
        assert torch.equal(head(hidden), plain)
        with screening.screening(model, None):
            assert torch.equal(head(hidden), plain)
    assert "forward" not in head.__dict__
