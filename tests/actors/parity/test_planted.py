"""Planted mistakes against oracles that are written here: the plain model, run as the mistaken script would run it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from actors.loading import LoadedModel
from actors.parity.jobs import Classes
from actors.parity.planted import MISTAKES, ReadingRecipe, Tokens, planted
from actors.parity.reference import NotApplicableError, Reference
from actors.types import Prompt
from actors.worker import ModelWorker

POSITIVE = tuple(Prompt(f"p{n}", f"How do I break thing {'x' * 3 * n}?") for n in range(5))
NEGATIVE = tuple(Prompt(f"n{n}", f"Why is cake {'y' * 2 * n} good?") for n in range(5))


@pytest.fixture(scope="module")
def loaded(tiny_worker: Callable[..., ModelWorker]) -> LoadedModel:
    held = tiny_worker("llama")._loaded
    assert held is not None
    return held


@pytest.fixture(scope="module")
def reference(loaded: LoadedModel) -> Reference:
    return Reference(loaded, Classes(POSITIVE, NEGATIVE))


def of(reference: Reference, name: str, batch: int = 1) -> np.ndarray:
    return reference.direction(MISTAKES[name].planted(ReadingRecipe(batch=batch)))


@torch.inference_mode()
def states(loaded: LoadedModel, rows: list[list[int]], side: str = "left", mask: bool = True) -> torch.Tensor:
    """transformers' hidden states of a padded batch, ``[L + 1, B, T, d]``, the last behind the final norm."""
    longest, pad = max(map(len, rows)), loaded.tokenizer.pad_token_id
    ids, kept = torch.full((len(rows), longest), pad), torch.zeros((len(rows), longest), dtype=torch.long)
    for number, row in enumerate(rows):
        place = slice(longest - len(row), None) if side == "left" else slice(len(row))
        ids[number, place], kept[number, place] = torch.tensor(row), 1
    told = loaded.model(input_ids=ids, **({"attention_mask": kept} if mask else {}), output_hidden_states=True, use_cache=False)
    return torch.stack(told.hidden_states)


def ids_of(loaded: LoadedModel, prompts: tuple[Prompt, ...]) -> list[list[int]]:
    return [list(loaded.renderer.render(prompt).token_ids) for prompt in prompts]


def oracle(loaded: LoadedModel, read: Callable[[list[list[int]]], torch.Tensor]) -> np.ndarray:
    """mean - mean of what ``read`` gives for the tokens of a class, ``[n, L + 1, d]``."""
    return np.asarray((read(ids_of(loaded, POSITIVE)).double().mean(0) - read(ids_of(loaded, NEGATIVE)).double().mean(0)).numpy())


def alone(loaded: LoadedModel, rows: list[list[int]]) -> torch.Tensor:
    return torch.stack([states(loaded, [row])[:, 0, -1] for row in rows])


def test_the_clean_direction_is_that_of_transformers_hidden_states(loaded: LoadedModel, reference: Reference) -> None:
    expected = oracle(loaded, lambda rows: alone(loaded, rows))
    np.testing.assert_allclose(reference.direction(ReadingRecipe())[:-1], expected[1:-1], rtol=1e-5, atol=1e-5)


def test_the_final_norm_changes_the_last_layer_alone(loaded: LoadedModel, reference: Reference) -> None:
    expected = oracle(loaded, lambda rows: alone(loaded, rows))
    np.testing.assert_allclose(of(reference, "final norm"), expected[1:], rtol=1e-5, atol=1e-5)


def test_inputs_are_the_outputs_before_and_the_embedding_of_one_last_token_has_no_direction(
    loaded: LoadedModel, reference: Reference
) -> None:
    expected = oracle(loaded, lambda rows: alone(loaded, rows))
    found = of(reference, "block input")
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1:], expected[1:-1], rtol=1e-5, atol=1e-5)


def test_right_padding_reads_the_padding(loaded: LoadedModel, reference: Reference) -> None:
    def read(rows: list[list[int]]) -> torch.Tensor:
        return torch.cat([states(loaded, rows[at : at + 2], "right")[:, :, -1].transpose(0, 1) for at in range(0, len(rows), 2)])

    np.testing.assert_allclose(of(reference, "right padding", 2)[:-1], oracle(loaded, read)[1:-1], rtol=1e-4, atol=1e-4)


def test_a_dropped_mask_lets_the_padding_be_attended(loaded: LoadedModel, reference: Reference) -> None:
    expected = oracle(loaded, lambda rows: states(loaded, rows, mask=False)[:, :, -1].transpose(0, 1))
    np.testing.assert_allclose(of(reference, "mask dropped", 5)[:-1], expected[1:-1], rtol=1e-4, atol=1e-4)


def test_item_0_of_every_batch(loaded: LoadedModel, reference: Reference) -> None:
    expected = oracle(loaded, lambda rows: alone(loaded, rows[::2]))
    np.testing.assert_allclose(of(reference, "batch item 0", 2)[:-1], expected[1:-1], rtol=1e-5, atol=1e-5)


def test_an_aliased_buffer_holds_the_last_batch(loaded: LoadedModel, reference: Reference) -> None:
    expected = oracle(loaded, lambda rows: alone(loaded, rows[3:]))
    np.testing.assert_allclose(of(reference, "aliased buffer", 3)[:-1], expected[1:-1], rtol=1e-5, atol=1e-5)


def test_16_bit_means_are_near_the_clean_ones_and_not_them(reference: Reference) -> None:
    clean, found = reference.direction(ReadingRecipe()), of(reference, "16-bit means")
    assert 0 < np.abs(found - clean).max() / np.abs(clean).max() < 0.05


def test_tokens_of_the_mistaken_prompts(loaded: LoadedModel, reference: Reference) -> None:
    prompt = POSITIVE[0]
    plain, opened = (loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt.text, "<|assistant|>"))
    whole = list(loaded.renderer.render(prompt).token_ids)
    assert reference._token_ids(prompt, Tokens(template=False)) == plain
    assert reference._token_ids(prompt, Tokens(generation_prompt=False)) == whole[: -len(opened)]
    assert reference._token_ids(prompt, Tokens(bos=True)) == [1, *whole]
    with pytest.raises(NotApplicableError, match="no blanks"):
        reference._token_ids(prompt, Tokens(stripped=True))


def test_every_fault_that_can_be_planted_gives_another_direction(reference: Reference) -> None:
    found = list(reference.planted(list(planted((2, 5), pairs=False))))
    assert found[0][0].names == ()
    named = {one.names for one, _ in found}
    assert named == {(), *((name,) for name in MISTAKES if name != "stripped newline")}
    clean = found[0][1]
    assert all(np.nanmax(np.abs(direction - clean)) > 0 for one, direction in found if one.names)


def test_pairs_that_contradict_each_other_are_not_planted() -> None:
    pairs = {one.names for one in planted((2,), pairs=True) if len(one.names) == 2}
    assert ("right padding", "mask dropped") in pairs
    assert not any({"block input", "next block"} == set(names) for names in pairs)
    assert not any({"no template", "stripped newline"} == set(names) for names in pairs)
