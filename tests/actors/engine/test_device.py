"""What a GPU would punish, found without one: reads on the host, tensors on two devices, kernels and tokens beyond a budget.

On the meta device nothing has a value, so whatever looks at one raises; a dispatch mode counts operations and refuses tensors of
another device (a single number may come from anywhere).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, wraps
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from actors.engine import engine as engine_module
from actors.engine.attention import masks_for, slot_attention_in
from actors.engine.decode import BatchShape, SlotBatch, choose
from actors.engine.firing import record_firing
from actors.engine.prefill import Prefiller
from actors.engine.rotary import Rotary
from actors.engine.rows import Row
from actors.engine.sampling import RowDraws, next_draws
from actors.engine.segments import Forwards, SegmentRunner
from actors.families import decoder_of
from actors.interventions import INTERVENTIONS
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import steered
from actors.types import CellResult, Decoding, GenerationJob, Prompt, Steering
from actors.worker import ModelWorker
from tests.architectures import tiny_config
from tests.tiny import CONFIGS

META = torch.device("meta")
FAMILIES = {
    # Without those that differ in numbers alone, and one that runs row by row through its own ``generate``.
    **{name: config for name, config in CONFIGS.items() if name not in ("llama_rope", "llama_calm", "qwen3_5")},
    **{name: tiny_config(name) for name in ("phi3_longrope", "llama_dynamic", "gpt_oss")},
}
BLOCKS = 3
AFFINE = ["addition", "ablation", "affine_ablation", "replacement"]
MOST_KERNELS = 18
"""That a block may have more than the plain model's, in a step in which each of these is used at it: 9 of them edit."""
MOST_WITH_FUNCTIONS = 44
"""The same where every intervention is used at it."""
MOVES = {"aten::_to_copy", "aten::copy_", "aten::lift_fresh"}


class OnOneDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations that make or change a tensor; ``AssertionError`` for one that mixes devices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor) and one.ndim]
        name = function._schema.name
        assert name in MOVES or len({tensor.device for tensor in tensors}) <= 1, f"{name} mixes devices"
        self.kernels += not function.is_view
        return function(*args, **(kwargs or {}))


def steerings_of(kinds: list[str], layers: int = 5) -> list[Steering]:
    """One steering of each kind from layer 1 on, and of the first kind from layer 2."""
    unit = np.full((1, 64), 0.125, np.float32)
    bases = {"subspace": unit, "plane": unit * np.tile([1, -1], 32).astype(np.float32)}
    return [
        Steering(
            tuple(range(first, layers)),
            np.repeat(unit, layers - first, axis=0),
            1.0,
            kind,
            bases=(bases[needs],) * (layers - first) if (needs := INTERVENTIONS[kind].needs) in bases else (),
        )
        for kind, first in [*((kind, 1) for kind in kinds), (kinds[0], 2)]
    ]


def rows_for(steerings: list[Steering], decoding: Decoding = Decoding(8)) -> list[Row]:  # noqa: B008 - frozen
    """Two prompts of different lengths unsteered and under each steering."""
    firsts = [None, *(min(steering.layers) for steering in steerings)]
    prompts = [Rendered(Prompt(f"p{length}", ""), "", tuple(range(10, 10 + length)), 5, 1) for length in (12, 40)]
    return [
        Row(which, prompt, which, first, 8, sample=sample, draws=RowDraws.of(decoding, prompt.prompt, sample))
        for which, first in enumerate(firsts)
        for prompt in prompts
        for sample in range(decoding.samples)
    ]


@contextmanager
def on_meta(
    config: Any,
    dtype: torch.dtype,
    kinds: list[str],
    decoding: Decoding = Decoding(8),  # noqa: B008 - frozen
) -> Iterator[tuple[Prefiller, SlotBatch, list[Row], Any]]:
    """A model without numbers, and what the engine makes for it where batches keep their shape."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_of_few_blocks(config), dtype=dtype, attn_implementation="eager").eval()
    decoder = decoder_of(model)
    steerings = steerings_of(kinds, decoder.n_layers)
    rows = rows_for(steerings, decoding)
    bank = StackBank(steerings, (decoder.n_layers, 64), dtype, META)
    shape = BatchShape(slots=16, capacity=64, fixed=True, sampled=decoding.temperature > 0)
    with torch.inference_mode(), slot_attention_in(model), Rotary.of(model).held(), steered(decoder) as hooks:
        runner = SegmentRunner(model, decoder, hooks, META, Forwards(fixed=True))
        yield Prefiller(runner, bank, rows), SlotBatch(model, decoder, shape, bank, META), rows, hooks


def _of_few_blocks(config: Any) -> Any:
    """The same config with ``BLOCKS`` blocks, to save time."""
    config = copy.deepcopy(config)
    config.num_hidden_layers = BLOCKS
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[-BLOCKS:]
    return config


@torch.inference_mode()
def plain_kernels(config: Any, dtype: torch.dtype) -> int:
    """Those of a forward of one token per row, without a cache."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(_of_few_blocks(config), dtype=dtype, attn_implementation="eager").eval()
        one = torch.zeros(16, 1, dtype=torch.long)
        mask = masks_for(decoder_of(model), torch.ones(16, 1, 1, 1, dtype=torch.bool), one, one)
        with Rotary.of(model).held(), OnOneDevice() as seen:
            model(input_ids=one, position_ids=one, attention_mask=mask, use_cache=False)
    return seen.kernels


@pytest.mark.parametrize(
    ("family", "dtype", "kinds", "most"),
    [
        ("llama", torch.float32, AFFINE, MOST_KERNELS),
        ("llama", torch.bfloat16, AFFINE, MOST_KERNELS),
        *((family, torch.bfloat16, list(INTERVENTIONS), MOST_WITH_FUNCTIONS) for family in FAMILIES),
    ],
)
def test_nothing_is_read_on_the_host_between_prompt_and_token(
    family: str, dtype: torch.dtype, kinds: list[str], most: int
) -> None:
    """Bank, prefill, admission, renewal after a release and a refill, and steps, under every intervention at once."""
    with on_meta(FAMILIES[family], dtype, kinds) as (prefiller, batch, rows, hooks), OnOneDevice() as seen:
        half = len(rows) // 2
        for some in (rows[:half], rows[half:]):
            for prefilled in prefiller.run(some):
                tokens, _ = choose(prefilled.logits)
                batch.admit(prefilled, tokens)
            batch.step(hooks)
            before = seen.kernels
            batch.step(hooks)
            per_step = seen.kernels - before
            for slot, row in enumerate(batch.rows):
                if row is not None:
                    row.finite = bool(slot % 3)
                    batch.release(slot)
    more = (per_step - plain_kernels(FAMILIES[family], dtype)) / BLOCKS
    assert more <= most


def test_drawing_tokens_reads_nothing_on_the_host_either() -> None:
    drawing = Decoding(8, temperature=0.7, top_p=0.9, samples=2)
    with on_meta(FAMILIES["llama"], torch.bfloat16, ["addition"], drawing) as (prefiller, batch, rows, hooks), OnOneDevice():
        for prefilled in prefiller.run(rows):
            tokens, _ = choose(prefilled.logits, next_draws([(row.draws, 0) for row in prefilled.rows], META))
            batch.admit(prefilled, tokens)
        batch.step(hooks)
        batch.release(1)
        batch.step(hooks)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every time that Python looks at a tensor's numbers, by the function that did."""
    found: list[str] = []
    for name in ("tolist", "item", "__float__", "__int__", "__bool__", "__index__", "numpy", "cpu", "nonzero"):
        monkeypatch.setattr(Tensor, name, _noting(getattr(Tensor, name), partial(found.append, name)))
    return found


def _noting(real: Callable[..., Any], note: Callable[[], None]) -> Callable[..., Any]:
    """``real``, and ``note`` before each call."""

    @wraps(real)
    def noted(*args: Any, **options: Any) -> Any:
        note()
        return real(*args, **options)

    return noted


def as_on_cuda(worker: ModelWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's engine runs as it does there, but for recordings."""
    engine = worker._engine
    assert engine is not None
    engine._loaded = dataclasses.replace(engine._loaded, batch_dependence="as on CUDA", stop_tokens=frozenset())
    engine.by_rows = True
    monkeypatch.setattr(engine_module, "on_cuda", lambda _device: True)
    monkeypatch.setattr("actors.engine.decode.sums_by_table", lambda *_: False)


def test_reads_per_chunk_of_prefill_and_per_block_of_steps(
    tiny_worker: Callable[..., ModelWorker], reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=64)
    as_on_cuda(worker, monkeypatch)
    chunks: list[None] = []
    blocks: list[None] = []
    monkeypatch.setattr(engine_module, "record_firing", _noting(record_firing, lambda: chunks.append(None)))
    monkeypatch.setattr(SlotBatch, "step", _noting(SlotBatch.step, lambda: blocks.append(None)))
    prompts = tuple(Prompt(f"p{number}", "Tell me " + "x" * (number % 3)) for number in range(16))
    unit = np.full((3, 64), 0.125, np.float32)
    jobs = [GenerationJob(f"c{number}", prompts, Decoding(17), Steering((1, 2, 3), unit, 1.0 + number)) for number in range(3)]
    reads.clear()
    assert len(list(worker.generate(jobs))) == 3
    assert len(blocks) == 2, "eight tokens per look"
    assert len(reads) <= 2 * len(chunks) + len(blocks), "tokens and the firing check of a chunk; the tokens of a block of steps"


def test_one_small_cell_computes_little_that_is_not_kept(
    tiny_worker: Callable[..., ModelWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = tiny_worker("llama", slots=512)
    as_on_cuda(worker, monkeypatch)
    computed: list[int] = []
    worker._held().model.register_forward_pre_hook(
        lambda _module, _args, options: computed.append(options["input_ids"].numel()), with_kwargs=True
    )
    prompts = tuple(Prompt(f"p{number}", f"Question {number:02}, please answer it") for number in range(25))
    cell = GenerationJob("cell", prompts, Decoding(100), Steering((2, 3), np.full((2, 64), 0.125, np.float32), 2.0))
    (result,) = worker.generate([cell])
    assert isinstance(result, CellResult)
    assert sum(computed) <= 2 * sum(one.prompt_tokens + len(one.token_ids) for one in result.responses)
    assert result.provenance["slots"] == "32"
