"""A budget for the thought and one for the answer: counted by hand over texts in pieces, and by a worker over a model that says
what it is told to say."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, product
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.thought_budget import ThoughtBudget
from actors.types import CellResult, Decoding, EngineOptions, FinishReason, GenerationJob, ModelSpec, Prompt, Response
from actors.worker import ModelWorker
from orchestrator.scoring.uses import Scoring
from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

Parts = Sequence[tuple[bool, str]]
"""A response: parts that are thought, marks included, and parts that are said."""

QWEN: Parts = [(True, "<think>\nIs 1 < 2 > [0]?\n</think>"), (False, "\n\nYes, it is so, and 2 > 1 too.")]
OPENED: Parts = [(True, "They ask.\n</think>"), (False, "\n\nNo, I think that it is not.")]
SEVERAL: Parts = [
    (True, "<think>One.</think>"),
    (False, "\nFirst the one,\n"),
    (True, "<think>Two.</think>"),
    (False, "\nthen the other one."),
]
KIMI: Parts = [(True, "◁think▷Hm, ◁ä◁.◁/think▷"), (False, "Ja, so ist es wohl gewesen.")]
HARMONY: Parts = [
    (True, "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"),
    (False, "Yes, that is how it is, I am sure of it."),
]
CASES = {
    "qwen": ("", QWEN),
    "opened": ("<think>\n", OPENED),
    "several": ("", SEVERAL),
    "kimi": ("", KIMI),
    "harmony": ("", HARMONY),
}


def by_hand(parts: Parts, ends: Sequence[int], budgets: tuple[int, int]) -> tuple[int, FinishReason] | None:
    """After how many pieces, which end at these bytes, a response is cut off, and how; None: never. A piece that has any of a
    thought is the thought's, once the mark that opens it is whole."""
    for n in range(1, len(ends) + 1):
        inside, start, unfinished = [False] * ends[n - 1], 0, False
        for thought, text in parts:
            stop = start + len(text.encode())
            if thought and ends[n - 1] >= start + _opening(text):
                inside[start:stop] = [True] * len(inside[start:stop])
                unfinished |= start < ends[n - 1] < stop
            start = stop
        thoughts = sum(any(inside[begin:end]) for begin, end in zip([0, *ends], ends[:n], strict=False))
        if unfinished and thoughts >= budgets[0]:
            return n, "thought"
        if not unfinished and n - thoughts >= budgets[1]:
            return n, "length"
    return None


def _opening(text: str) -> int:
    return next((len(mark.encode()) for mark in ("<think>", "◁think▷", "<|channel|>") if text.startswith(mark)), 0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 3, 7])
def test_every_budget_against_a_count_by_hand(name: str, size: int) -> None:
    opens, parts = CASES[name]
    whole = "".join(text for _, text in parts).encode()
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]

    def text(numbers: Sequence[int]) -> str:
        return b"".join(pieces[number] for number in numbers).decode("utf-8", "replace")

    ends = list(accumulate(map(len, pieces)))
    for thought, answer in product(range(1, len(pieces) + 2, 3), range(1, len(pieces), 4)):
        budget = ThoughtBudget(thought, answer, opens, text)
        for _ in range(2):  # and again, after a batch that ran out of memory
            budget.restart()
            found = ((n, budget.spent(range(n))) for n in range(1, len(pieces) + 1))
            first = next(((n, finish) for n, finish in found if finish), None)
            assert first == by_hand(parts, ends, (thought, answer)), (thought, answer)


def test_a_mark_that_is_only_mentioned_ends_no_thought() -> None:
    said = "<think>I write `</think>` and think on and on."
    budget = ThoughtBudget(40, 30, "", lambda numbers: said[: len(numbers)])
    ends = [budget.spent(range(n)) for n in range(1, 41)]
    assert ends == [None] * 39 + ["thought"]


def saying(script: Sequence[str], tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """A model that says ``script``, whatever is asked in one digit: its logits follow from the position alone."""
    torch.manual_seed(0)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "7"}], tokenize=False, add_generation_prompt=True)
    start = len(tokenizer(asked, add_special_tokens=False)["input_ids"]) - 1
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=128, n_layer=2, n_head=4, n_positions=256, eos_token_id=2, tie_word_embeddings=False
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
        places = torch.nn.functional.normalize(torch.randn(256, 128), dim=1)
        model.transformer.wte.weight.mul_(0.01)
        model.transformer.wpe.weight.copy_(places)
        model.lm_head.weight.zero_()
        for place, token in enumerate(script, start):
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(token)] += places[place]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def thinking(opens: str, words: Sequence[str], special: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes and some whole words, with a template whose prompts end in ``opens``."""
    made = tiny_tokenizer()
    made.add_tokens(list(words))
    made.add_special_tokens({"additional_special_tokens": list(special)})
    made.chat_template = CHAT_TEMPLATE.replace("<|assistant|>", f"<|assistant|>{opens}")
    return made


def answered(worker: ModelWorker, decoding: Decoding) -> Response:
    (result,) = worker.generate([GenerationJob("cell-a", (Prompt("p", "7"),), decoding)])
    assert isinstance(result, CellResult), result
    return result.responses[0]


STOP = "<|end|>"
CHANNELS = ["<|channel|>", "<|message|>", "<|start|>"]
FINAL = ["<|start|>", "assistant", "<|channel|>", "final", "<|message|>"]


@pytest.mark.parametrize(
    ("opens", "words", "special", "thought", "said"),
    [
        ("", ["<think>", "</think>"], [], ["<think>", *"abab", "</think>"], "Yes."),
        ("<think>", [], [], [*"abab", *"</think>"], "Yes."),
        ("", ["assistant", "analysis", "final"], CHANNELS, ["<|channel|>", "analysis", "<|message|>", *"abab", *FINAL], "Yes."),
        ("<|channel|>analysis<|message|>", ["assistant", "analysis", "final"], CHANNELS, [*"abab", *FINAL], "Yes."),
    ],
    ids=["qwen", "opened by the prompt, marks in pieces", "harmony", "harmony, opened by the prompt"],
)
def test_a_worker_keeps_both_budgets(
    tmp_path: Path, opens: str, words: list[str], special: list[str], thought: list[str], said: str
) -> None:
    folder = saying([*thought, *said, STOP], thinking(opens, words, special), tmp_path)
    worker = ModelWorker()
    worker.load(ModelSpec("folder", str(folder)), EngineOptions(slots=2, threads=1))
    n = len(thought)
    whole = answered(worker, Decoding(60))
    assert (whole.finish_reason, len(whole.token_ids)) == ("stop", n + len(said))
    for decoding, finish, length, label, answer in [
        (Decoding(9, n), "stop", n + len(said), None, said),
        (Decoding(len(said), n), "length", n + len(said), None, said),
        (Decoding(2, n), "length", n + 2, None, said[:2]),
        (Decoding(2, 100), "length", n + 2, None, said[:2]),
        (Decoding(9, n - 1), "thought", n - 1, "no_answer", ""),
        (Decoding(9, n - 3), "thought", n - 3, "no_answer", ""),
    ]:
        found = answered(worker, decoding)
        assert (found.finish_reason, len(found.token_ids)) == (finish, length), decoding
        assert found.token_ids == whole.token_ids[:length]
        (judged,) = Scoring().labels("", [found])
        assert (judged.answer, label in (None, judged.label)) == (answer, True), (decoding, judged)
    untold = answered(worker, Decoding(n + 2))
    assert (untold.finish_reason, untold.token_ids) == ("length", whole.token_ids[: n + 2])
