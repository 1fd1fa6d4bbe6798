"""What the worker records of thoughts: the marks that decoding would lose, and the thought that a prompt ends in."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from actors.thoughts import Marks, opened_by
from actors.types import Decoding, EngineOptions, GenerationJob, ModelSpec, Prompt
from actors.worker import ModelWorker
from orchestrator.scoring.uses import Scoring
from tests.tiny import CHAT_TEMPLATE, tiny_folder, tiny_tokenizer

HARMONY = ["<|channel|>", "<|message|>", "<|start|>", "<|return|>"]
COHERE = ["<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"]
OPENING = CHAT_TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n")


def with_special(*tokens: str) -> PreTrainedTokenizerFast:
    made = tiny_tokenizer()
    made.add_special_tokens({"additional_special_tokens": list(tokens)})
    return made


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (HARMONY, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes."),
        (COHERE, "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Ja, ä.<|END_RESPONSE|>"),
        (["[THINK]", "[/THINK]"], "[THINK]Hm.[/THINK]Yes."),
        (["<|channel>", "<channel|>"], "<|channel>thought\nHm.<channel|>Yes."),
    ],
)
def test_marks_are_kept_and_other_special_tokens_are_not(tokens: list[str], text: str) -> None:
    made = with_special(*tokens, "<odd>")
    ids = made(text, add_special_tokens=False)["input_ids"]
    odd = made.convert_tokens_to_ids("<odd>")
    assert Marks(made).text([odd, *ids, odd]) == text
    assert tokens[0] not in made.decode(ids, skip_special_tokens=True)
    assert Marks(made).text(made("Yes.", add_special_tokens=False)["input_ids"]) is None


def test_a_turns_end_is_a_mark_only_where_there_are_channels() -> None:
    made = tiny_tokenizer()  # it knows <|end|>, as Phi 3 does
    assert Marks(made).text(made("a<|end|>b", add_special_tokens=False)["input_ids"]) is None


@pytest.mark.parametrize(
    ("tail", "opening"),
    [
        ("<|im_end|>\n<|im_start|>assistant\n", ""),
        ("<|im_end|>\n<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<|im_end|>\n<|im_start|>assistant\n<think>\nFirst,", "<think>"),
        ("<turn|>\n<|turn>model\n<|channel>thought\n<channel|>", ""),
        ("<turn|>\n<|turn>model\n<|channel>thought\n", "<|channel>thought"),
        ("<|END_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_THINKING|>", "<|START_THINKING|>"),
        ("<|end|><|start|>assistant", ""),
        ("<|end|><|start|>assistant<|channel|>analysis<|message|>", "<|channel|>analysis<|message|>"),
        ("<|end|><|start|>assistant<|channel|>final<|message|>", ""),
    ],
)
def test_the_thought_that_a_prompt_ends_in(tail: str, opening: str) -> None:
    for asked in ("Why?", "What does <think> mean?", "Close </think> for me.", " padded "):
        assert opened_by(f"<bos>You think in <think> tags.\n{asked}{tail}", asked) == opening
    assert opened_by(f"<bos>{tail}", "") == opening
    assert opened_by(f"<bos>rewritten{tail}", "not found in it") == opening


def test_a_worker_tells_and_the_label_heeds(tmp_path: Path) -> None:
    folder = tiny_folder("llama", tmp_path)
    made = tiny_tokenizer()
    made.chat_template = OPENING
    made.save_pretrained(folder)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(folder)), EngineOptions(slots=2, threads=1))
    (result,) = worker.generate([GenerationJob("cell-a", (Prompt("p", "Why <think> so?"),), Decoding(4))])
    (response,) = getattr(result, "responses")  # noqa: B009 - a failure has none, and fails here
    assert (response.prompt_opens, response.marked, response.finish_reason) == ("<think>", None, "length")
    assert response.completion == "<think>" + response.text
    (label,) = Scoring().labels("", [response])
    assert (label.label, label.answer) == ("no_answer", "")
