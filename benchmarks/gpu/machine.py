"""The machine under test, random models on it, rows to answer, and one run of the engine. Needs torch and transformers alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine.engine import Engine, batch_dependence
from actors.engine.engine_model import EngineModel
from actors.engine.packing import Packing
from actors.engine.rows import Acting, Row
from actors.engine.sampling import RowDraws
from actors.families import decoder_of
from actors.positions import ALL
from actors.prompts import Rendered
from actors.types import Decoding, Prompt, Steering
from benchmarks.gpu.findings import Findings

DISTINCT_PROMPTS = 32
STRENGTH = 4.0
TOP_P = 0.95
FIRST_WORD = 3
"""Token ids below are special in every model here."""


@dataclass(frozen=True)
class Machine:
    """Where the checks run. ``quick``: tiny models only, for trying the checks themselves."""

    device: torch.device
    quick: bool

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.device.type == "cuda"

    @property
    def full(self) -> bool:
        """Whether models of real size are run."""
        return self.cuda and not self.quick

    @property
    def dtype(self) -> torch.dtype:
        """What models of real size compute in; float32 on a CPU, where other products may take a hundred times as long."""
        return torch.bfloat16 if self.cuda else torch.float32

    def wait(self) -> None:
        """For all work given to the device."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def clear(self) -> None:
        """Give back what dropped objects held on the card."""
        if self.cuda:
            gc.collect()
            torch.cuda.empty_cache()

    def model(self, config: Any, dtype: torch.dtype) -> EngineModel:
        """A model of random weights as the worker would hand it to the engine; no token ends an answer.

        On a CPU it is told that bits depend on the batch, so that the batch keeps its shape as it does on CUDA.
        """
        torch.manual_seed(0)
        with torch.device(self.device):
            model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
        return self.held(model, dtype)

    def held(self, model: Any, dtype: torch.dtype) -> EngineModel:
        """A model that is on this machine already, likewise."""
        dependence = batch_dependence(model) or "as on CUDA"
        width = int(model.config.get_text_config().hidden_size)
        return EngineModel(
            model, decoder_of(model), self.device, dtype, width, frozenset(), dependence, Packing(reason="as on CUDA")
        )


Body = Callable[[Machine, Findings], None]
"""What a check does."""


@dataclass(frozen=True)
class Answered:
    """What a run gave: each row's tokens by its number, how steps were done, seconds, and the rows with logits not finite."""

    tokens: dict[int, tuple[int, ...]]
    decoding: str
    seconds: float
    broken: list[int]

    def differing(self, other: Answered) -> int:
        """Rows of ``other`` whose tokens are not these."""
        return sum(self.tokens[number] != tokens for number, tokens in other.tokens.items())


def steerings(count: int, loaded: EngineModel, kinds: Sequence[str] = ("addition",), positions: str = ALL) -> list[Steering]:
    """``count`` steerings along random directions, from a layer on or at a single one in turn, over ``kinds``."""
    layers = loaded.decoder.n_layers
    made = []
    for number in range(count):
        vector = np.random.default_rng(number).standard_normal((1, loaded.d_model)).astype(np.float32)
        vector /= np.linalg.norm(vector)
        kind = kinds[number % len(kinds)]
        at = tuple(range(layers // 3 + number % 3, layers)) if number % 2 else (layers // 2,)
        made.append(
            Steering(at, np.repeat(vector, len(at), axis=0), 1.0 if kind == "ablation" else STRENGTH, kind, positions=positions)
        )
    return made


@dataclass(frozen=True)
class Work:
    """Rows to answer: ``count`` of them with ``new_tokens`` each, prompts of about ``length`` tokens behind a shared prefix;
    the tokens ``drawn``, or the likeliest."""

    count: int
    new_tokens: int
    length: int = 24
    prefix: int = 8
    drawn: bool = False

    def rows(self, steered: Sequence[Steering], vocabulary: int) -> list[Row]:
        """The rows, steered in turn by none and each of ``steered``."""
        random = np.random.default_rng(0)

        def words(many: int) -> tuple[int, ...]:
            return tuple(int(token) for token in random.integers(FIRST_WORD, vocabulary, many))

        head = words(self.prefix)
        prompts = [head + words(self.length + number % 7) for number in range(DISTINCT_PROMPTS)]
        rows = []
        for number in range(self.count):
            which = number % (len(steered) + 1)
            first = min(steered[which - 1].layers) if which else None
            prompt = Rendered(Prompt(f"p{number}", ""), "", prompts[number % DISTINCT_PROMPTS], self.prefix, 4)
            draws = (
                RowDraws.of(Decoding(self.new_tokens, temperature=1.0, top_p=TOP_P), prompt.prompt, number)
                if self.drawn
                else None
            )
            acts = Acting.of(steered[which - 1]) if which else (Acting(),)
            rows.append(Row(number, prompt, which, first, self.new_tokens, draws=draws, acts=acts))
        return rows


def answered(machine: Machine, loaded: EngineModel, rows: Sequence[Row], steered: Sequence[Steering], engine: Engine) -> Answered:
    """Run ``rows`` through ``engine``."""
    for row in rows:
        row.restart()
        row.finite = True
    machine.wait()
    started = time.perf_counter()
    for _ in engine.run(rows, steered):
        pass
    machine.wait()
    seconds = time.perf_counter() - started
    tokens = {row.job: tuple(row.tokens) for row in rows}
    return Answered(tokens, engine.decoding, seconds, [row.job for row in rows if not row.finite])


def qwen_7b() -> Qwen2Config:
    """The shape of Qwen2.5-7B."""
    return _qwen2(152064, (3584, 18944), 28, (28, 4))


def qwen_32b() -> Qwen2Config:
    """The shape of Qwen2.5-32B."""
    return _qwen2(152064, (5120, 27648), 64, (40, 8))


def qwen_tiny() -> Qwen2Config:
    """A tiny model of the same family, for where no model of real size is run."""
    return _qwen2(512, (64, 128), 6, (4, 2), initializer_range=0.3)


def _qwen2(vocabulary: int, widths: tuple[int, int], layers: int, heads: tuple[int, int], **more: float) -> Qwen2Config:
    """``widths``: of the residual stream and the feed-forward; ``heads``: of queries, and of keys and values."""
    return Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=widths[0],
        intermediate_size=widths[1],
        num_hidden_layers=layers,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        max_position_embeddings=32768,
        rope_theta=1e6,
        tie_word_embeddings=False,
        **more,
    )
