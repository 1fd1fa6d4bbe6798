"""RMS norms in one call: the bits of the family's own, or the family's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers.models.falcon_mamba.modeling_falcon_mamba import FalconMambaWeightlessRMSNorm
from transformers.models.gemma2.modeling_gemma2 import Gemma2RMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from actors.engine.norms import fused_norms
from actors.engine.packing import pack
from tests.tiny import tiny_model

STATES = [torch.randn(rows, tokens, 48, generator=torch.Generator().manual_seed(rows)) * 7 for rows, tokens in ((1, 1), (9, 5))]


def drawn(norm: nn.Module, dtype: torch.dtype) -> nn.Module:
    """With weights that are no whole numbers."""
    nn.init.normal_(norm.weight)  # type: ignore[arg-type]
    return norm.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("norm", [LlamaRMSNorm(48, 1e-5), Gemma2RMSNorm(48, 1e-6)], ids=["llama", "gemma2"])
@torch.inference_mode()
def test_a_norm_in_one_call_has_the_bits_of_the_familys_own(norm: nn.Module, dtype: torch.dtype) -> None:
    norm = drawn(norm, dtype)
    found = fused_norms(norm)
    if dtype == torch.float32:
        assert len(found) == 1
    for states in (one.to(dtype) for one in STATES):
        for function in found.values():
            assert torch.equal(function(states), norm(states))


@torch.inference_mode()
def test_a_norm_whose_weight_is_none_takes_states_of_any_width() -> None:
    norm = FalconMambaWeightlessRMSNorm(48, 1e-6)
    (function,) = fused_norms(norm).values()
    for width in (48, 4, 1):
        states = torch.randn(3, 5, width)
        assert torch.equal(function(states), norm(states))


@torch.inference_mode()
def test_every_norm_of_a_model_is_found_and_its_own_forward_is_back_afterwards() -> None:
    model = tiny_model("qwen3")
    norms = [module for module in model.modules() if type(module).__name__ == "Qwen3RMSNorm"]
    packing = pack(model, torch.device("cpu"))
    assert set(norms) <= set(packing.functions)
    with packing.applied():
        assert all("forward" in norm.__dict__ for norm in norms)
    assert not any("forward" in norm.__dict__ for norm in norms)


class OtherRMSNorm(LlamaRMSNorm):
    """Rounds otherwise than any call of PyTorch."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Times the weight before it is divided."""
        return hidden_states * self.weight / (hidden_states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).sqrt()


class GatedRMSNorm(LlamaRMSNorm):
    """Takes more than the stream."""

    def forward(self, hidden_states: Tensor, gate: Tensor | None = None) -> Tensor:
        """Times a gate, where there is one."""
        normed: Tensor = super().forward(hidden_states)
        return normed if gate is None else normed * gate


@pytest.mark.parametrize("kind", [OtherRMSNorm, GatedRMSNorm])
@torch.inference_mode()
def test_a_norm_of_another_form_stays_as_it_is(kind: type[LlamaRMSNorm]) -> None:
    assert not fused_norms(drawn(kind(48, 1e-5), torch.float32))
