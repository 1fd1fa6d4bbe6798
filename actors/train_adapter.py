"""Trains and measures the LoRA adapter that teaches the embedded model to refuse: ``python -m actors.train_adapter``.

A tool for the maintainers, not part of a sweep. The figures it gets are in the adapter's model card.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from actors.embedded import EMBEDDED_MODELS, embedded_folder
from actors.evaluate_adapter import evaluate, figures, update_card, write_responses

logger = logging.getLogger(__name__)

EMBEDDED_NAME = "smollm2-135m-instruct"
FOLDER = Path(__file__).resolve().parent.parent / "sweeps" / "models" / "smollm2-135m-refusal"
MODULES = ("q_proj", "v_proj", "o_proj", "up_proj", "down_proj")
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """What decides the result of a training run, besides the data."""

    seed: int = 0
    epochs: int = 4
    learning_rate: float = 1e-3
    batch_size: int = 16
    rank: int = 8
    alpha: int = 16
    warmup_steps: int = 10


@dataclass(frozen=True)
class Example:
    """Token ids of one rendered prompt with its response; the first ``prompt_length`` ids carry no loss."""

    ids: tuple[int, ...]
    prompt_length: int


def load_examples(path: Path, tokenizer: Any) -> list[Example]:
    """Read training lines and render them; refusals get the end token, benign answers are cut off openings."""
    examples = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rendered = tokenizer.apply_chat_template(
            [{"role": "user", "content": row["prompt"]}], add_generation_prompt=True, tokenize=False
        )
        prompt = tokenizer.encode(rendered, add_special_tokens=False)
        response = tokenizer.encode(row["response"], add_special_tokens=False)
        end = [tokenizer.eos_token_id] if row["kind"] == "harmful" else []
        examples.append(Example(tuple(prompt + response + end), len(prompt)))
    return examples


def make_batches(examples: Sequence[Example], size: int, generator: torch.Generator) -> list[list[Example]]:
    """Batches of similar length, drawn from pools of eight batches, in random order."""
    order = torch.randperm(len(examples), generator=generator).tolist()
    batches = []
    for start in range(0, len(order), size * 8):
        pool = sorted((examples[i] for i in order[start : start + size * 8]), key=lambda e: len(e.ids))
        batches += [pool[i : i + size] for i in range(0, len(pool), size)]
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def pad_batch(batch: Sequence[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and labels, each [batch, longest]; labels are ``IGNORED`` outside the responses.

    No attention mask is needed: attention is causal, so a real token never sees the padding after it.
    """
    longest = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), longest), pad)
    labels = torch.full((len(batch), longest), IGNORED)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        labels[row, example.prompt_length : len(example.ids)] = torch.tensor(example.ids[example.prompt_length :])
    return ids, labels


def shared_prefix(examples: Sequence[Example]) -> int:
    """How many tokens all examples begin with (the system prompt): computed once per batch instead of once per row."""
    first = min(example.ids for example in examples)
    last = max(example.ids for example in examples)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)


def response_loss(model: Any, ids: torch.Tensor, labels: torch.Tensor, prefix: int) -> torch.Tensor:
    """Cross-entropy, mean over the response tokens plus mean over the first token of each response.

    The first token decides between a refusal and an answer; alone it would be one part in twenty of the loss. Logits are
    computed at the response positions only.
    """
    causal = model.get_base_model()
    cache = DynamicCache(config=causal.config)
    causal.model(input_ids=ids[:1, :prefix], past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(ids))
    hidden = causal.model(input_ids=ids[:, prefix:], past_key_values=cache, use_cache=True).last_hidden_state
    targets = labels[:, prefix + 1 :]
    chosen = targets != IGNORED
    logits = causal.lm_head(hidden[:, :-1][chosen])
    losses = torch.nn.functional.cross_entropy(logits, targets[chosen], reduction="none")
    first = (chosen & (chosen.cumsum(dim=1) == 1))[chosen]
    return losses.mean() + losses[first].mean()


def learning_rate_factor(step: int, steps: int, warmup: int) -> float:
    """Linear warm-up, then cosine decay to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def train(data: Path, out: Path, recipe: Recipe) -> None:
    """Train on ``data/train.jsonl`` (float32, CPU, two threads) and store the adapter in ``out``."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(2)  # sums are split by thread, so the count is part of what makes a run repeatable
    folder = embedded_folder(EMBEDDED_NAME)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(MODULES), lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config)
    model.train()
    examples = load_examples(data / "train.jsonl", tokenizer)
    prefix = shared_prefix(examples)
    generator = torch.Generator().manual_seed(recipe.seed)
    batches = [b for _ in range(recipe.epochs) for b in make_batches(examples, recipe.batch_size, generator)]
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, len(batches), recipe.warmup_steps)
    )
    started, tokens = time.monotonic(), 0
    for step, batch in enumerate(batches, start=1):
        ids, labels = pad_batch(batch, tokenizer.pad_token_id)
        loss = response_loss(model, ids, labels, prefix)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += sum(len(example.ids) for example in batch)
        if step % 10 == 0 or step == len(batches):
            rate = tokens / (time.monotonic() - started)
            logger.info("step %d/%d, loss %.3f, %.0f tokens/s", step, len(batches), loss.item(), rate)
    save_adapter(model, out)


def save_adapter(model: Any, out: Path) -> None:
    """Write ``adapter_model.safetensors`` (float16) and ``adapter_config.json`` without any path of this machine."""
    from peft import get_peft_model_state_dict

    out.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to(torch.float16).contiguous() for name, tensor in get_peft_model_state_dict(model).items()}
    save_file(state, out / "adapter_model.safetensors", metadata={"format": "pt"})
    config = model.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = f"{EMBEDDED_MODELS[EMBEDDED_NAME].package}:{EMBEDDED_NAME}"
    config["inference_mode"] = True
    config["target_modules"] = sorted(config["target_modules"])
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_adapted(adapter: Path) -> tuple[Any, Any]:
    """The embedded model with the stored adapter merged in, and its tokenizer."""
    from peft import PeftModel

    folder = embedded_folder(EMBEDDED_NAME)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload()
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or with ``--evaluate`` measure the stored adapter and write the figures into its card."""
    recipe = Recipe()
    parser = argparse.ArgumentParser(prog="python -m actors.train_adapter", description=__doc__)
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder with train.jsonl, heldout.jsonl and paper.jsonl")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the adapter and its card")
    parser.add_argument("--seed", type=int, default=recipe.seed)
    parser.add_argument("--epochs", type=int, default=recipe.epochs)
    parser.add_argument("--evaluate", action="store_true", help="measure the stored adapter instead of training one")
    parser.add_argument("--prompts", type=Path, nargs="+", help="measure on these JSONL files and leave the card alone")
    parser.add_argument("--responses", type=Path, help="also write every measured response to this JSONL file")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if not (options.evaluate or options.prompts):
        train(options.data, options.out, Recipe(seed=options.seed, epochs=options.epochs))
        return
    files = options.prompts or [options.data / "heldout.jsonl", options.data / "paper.jsonl"]
    answers = evaluate(*load_adapted(options.out), files)
    logger.info("%s", figures(answers))
    if not options.prompts:
        update_card(options.out / "README.md", answers)
    if options.responses:
        write_responses(options.responses, answers)


if __name__ == "__main__":
    main()
