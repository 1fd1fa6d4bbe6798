"""Measured at load: does this model, the way it is going to be run here, compute what it computes when it is left alone?

No list of families is asked. A few short rows of different lengths, steered and not, with a shared beginning, go through the
engine; beside them stands the plain model: each row alone, without padding, cache or replaced attention, edited by plain hooks.
What differs in a batch runs row by row; what differs there too, or cannot run, is refused with what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from actors.anatomy import measured
from actors.engine.alone import AloneRunner
from actors.engine.attention import slot_attention_in
from actors.engine.cache import borrows
from actors.engine.decode import BatchShape, SlotBatch, choose
from actors.engine.engine_model import EngineModel
from actors.engine.prefill import Prefiller
from actors.engine.rotary import Rotary
from actors.engine.rows import CAPACITY_STEP, Row
from actors.engine.segments import SegmentRunner
from actors.errors import UnsupportedModelError, WorkerError
from actors.extraction import EXTRACTORS
from actors.extraction.batches import left_padded
from actors.faults import says_nothing_of_the_work
from actors.loading import LoadedModel
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import residual, steered
from actors.types import Prompt, Steering

TEXT = "Please tell me in a few plain words how the tides of the sea, the moon and the sun hang together, and why it matters. "
LENGTHS = (26, 15)
"""Tokens of the rows that are run, at least: longer ones where a window of the model's is short enough to be reached."""
SHARED = 5
"""Tokens that all rows begin with and that run once for all, as a chat template's do."""
STEPS = 3
"""Tokens that are generated after a prompt."""
WINDOW_WORK = 5e10
"""Parameters times tokens up to which a row is made longer than the model's window."""
EXACT, ROUNDED = 1e-3, 0.15
"""Relative differences that rounding alone may make, in float32 and in less; a wrong mask, position or state makes more."""
OWN_CACHE = 0.02
"""What the model's own cache may differ by from a forward without one: a state that is carried on adds up in another order."""
NOISE_FACTOR = 5.0
"""Allowed are so many times what the plain model's own numbers vary by when other tokens follow."""
ALL_ROWS = slice(None)
MOST = 0.5
"""A larger difference is never rounding."""


@dataclass(frozen=True)
class Verdict:
    """``loaded.decoder.alone`` says why rows share no batch. ``record``: what was measured, for the provenance. ``token_bytes``:
    what the keys and values of a token take in the engine's slots. ``dependence``: why a row's bits may depend on its batch;
    None where they do not, or rows share none. ``placing``: whether a row's bits change with its place and its neighbours in a
    batch of one shape; empty where ``dependence`` is None."""

    loaded: LoadedModel
    record: str
    token_bytes: int | None = None
    dependence: str | None = None
    placing: str = ""


@dataclass(frozen=True)
class _RowTrace:
    """One row as some way of running it gave it: logits ``[steps, vocabulary]`` before each of ``tokens``."""

    tokens: tuple[int, ...]
    logits: Tensor


@dataclass(frozen=True)
class _Plain:
    """The plain model on prompt and answer: logits ``[steps, vocabulary]``, blocks' outputs ``[L, d]`` at the prompt's end."""

    logits: Tensor
    outputs: Tensor


def checked(engine_model: EngineModel, loaded: LoadedModel) -> Verdict:
    """``loaded`` with what its blocks were seen to do; raises ``UnsupportedModelError`` in words where it cannot be trusted."""
    refused = f"model_type {loaded.model.config.model_type!r} was tried at load and cannot be steered here: "
    try:
        with torch.inference_mode():
            with _in_floats(loaded.model):
                check = _LoadCheck(engine_model, loaded)
                verdict = replace(check.verdict(), dependence=check.dependence())
            return replace(verdict, placing=check.placing())
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{refused}{error}") from error
    except Exception as error:
        if says_nothing_of_the_work(error):
            raise
        raise UnsupportedModelError(f"{refused}{_words(error)}") from error


class _LoadCheck:
    """The rows that are tried, and the ways to run them."""

    def __init__(self, engine_model: EngineModel, loaded: LoadedModel) -> None:
        self._loaded, self._model, self._device = loaded, loaded.model, loaded.device
        self._token_bytes: int | None = None
        self._borrows = False
        self._whole: list[_RowTrace] = []
        prompts = _prompts(loaded)
        probe = torch.tensor([prompts[1].token_ids], device=loaded.device)
        decoder = measured(loaded.model, loaded.decoder, probe, loaded.d_model)
        self._engine = replace(engine_model, decoder=decoder)
        self._first = first = self._plain(prompts[0], (), None)
        self._finite = bool(torch.isfinite(first.logits).all() and torch.isfinite(first.outputs).all())
        self._steerings = _steerings(first.outputs)
        self._rows = [(prompts[0], 0), (prompts[1], 0), (prompts[1], 1), (prompts[0], 2)]
        self._bank = StackBank(self._steerings, (decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        self._exact = loaded.dtype == torch.float32 and loaded.spec.quantization in ("none", "int8")
        self._noise = 0.0
        self._outputs = {prompts[0]: first.outputs}

    def verdict(self) -> Verdict:
        """Batched where that is right, else alone."""
        decoder = self._engine.decoder
        if not self._finite:  # every cell will say so
            return Verdict(replace(self._loaded, decoder=decoder), "not possible: the plain model's own numbers are not finite")
        found = {}
        if not decoder.runs_alone:
            found["in a batch"] = why = self._fault(self._batched)
            decoder = replace(decoder, alone=f"measured in a batch: {why}" if why else "", borrows=self._borrows)
        if decoder.runs_alone or Rotary.of(self._model).limit is not None:
            found["row by row"] = why = self._fault(self._alone, OWN_CACHE)
            if why:
                raise UnsupportedModelError("; ".join(f"{way}, {fault}" for way, fault in found.items() if fault))
        self._engine = replace(self._engine, decoder=decoder)
        loaded = replace(self._loaded, decoder=decoder)
        self._check_reading(loaded)
        ways = " and ".join(way for way, fault in found.items() if not fault)
        return Verdict(
            loaded,
            f"logits of {len(self._rows)} rows {ways} and {', '.join(EXTRACTORS)} readings equal the plain model's, "
            f"each row alone without a cache (allowed: {self._tolerance:.1g})",
            self._token_bytes,
        )

    def dependence(self) -> str | None:
        """Why a row's bits may depend on its batch: as is known of the model, or as one of the rows alone shows."""
        known = self._engine.batch_dependence
        if self._engine.decoder.runs_alone:
            return None
        if known is None and self._finite and not self._same_bits(self._whole, slice(0, 1)):
            known = "a row alone was measured to have other bits than among others"
            self._engine = replace(self._engine, batch_dependence=known)
        return known

    def placing(self) -> str:
        """In words, whether a row's bits are the same at another place and among others, where they may depend on the batch."""
        if self._engine.decoder.runs_alone or not self._finite or self._engine.batch_dependence is None:
            return ""
        changes = "do not change" if self._same_bits(self._batched(), slice(None, None, -1), slice(1, 3)) else "change"
        return f"in a batch of one shape a row's bits {changes} with its place and its neighbours (measured)"

    def _same_bits(self, whole: Sequence[_RowTrace], *parts: slice) -> bool:
        """Whether the rows of each of ``parts`` have in a batch of their own the bits that they have among the ``whole``."""
        pairs = (pair for part in parts for pair in zip(whole[part], self._batched(part), strict=True))
        return all(torch.equal(among_all.logits, own.logits) for among_all, own in pairs)

    @property
    def _tolerance(self) -> float:
        """How far numbers may be off: by the dtype's rounding, or what the plain model's own vary by."""
        return min(MOST, max(EXACT if self._exact else ROUNDED, NOISE_FACTOR * self._noise))

    def _fault(self, way: Callable[[], list[_RowTrace]], least: float = 0.0) -> str:
        """What is wrong with a way of running the rows, in words; empty where it gives what the plain model gives, up to the
        tolerance or ``least``."""
        try:
            answers = way()
        except Exception as error:
            if says_nothing_of_the_work(error):
                raise
            return _words(error)
        for (prompt, steering), answer in zip(self._rows, answers, strict=True):
            plain = self._plain(prompt, answer.tokens, self._steerings[steering - 1] if steering else None)
            if not steering:
                self._look_back(prompt, plain)
            tolerance = max(self._tolerance, least)
            for step, (ours, theirs) in enumerate(zip(answer.logits, plain.logits, strict=True)):
                difference = _difference(ours, theirs)
                if not difference <= tolerance:
                    what = f"a {'steered' if steering else 'plain'} row of {len(prompt.token_ids)} tokens"
                    where = f"after {step} generated tokens" if step else "after its prompt"
                    return f"the logits of {what} differ by {difference:.1g} {where} from those of the plain model"
        return ""

    def _batched(self, which: slice = ALL_ROWS) -> list[_RowTrace]:
        """The rows through the engine's own prefill and slots, ``which`` of them in one batch."""
        loaded, decoder = self._engine, self._engine.decoder
        rows = self._fresh_rows()[which]
        logits: list[list[Tensor]] = [[] for _ in self._rows]
        held = Rotary.of(self._model).held()
        with slot_attention_in(loaded.model), held, loaded.packing.applied(), steered(decoder) as hooks:
            runner = SegmentRunner(loaded.model, decoder, hooks, loaded.device)
            prefiller = Prefiller(runner, self._bank, rows, loaded.grain)
            capacity = max(row.capacity for row in rows) + CAPACITY_STEP  # more than is reached, as it mostly is
            shape = BatchShape(loaded.grain.rows_up(len(rows)), capacity, fixed=False, grain=loaded.grain)
            batch = SlotBatch(loaded.model, decoder, shape, self._bank, loaded.device)
            for prefilled in prefiller.run(rows):
                tokens, _ = choose(prefilled.logits)
                for row, token, own in zip(prefilled.rows, tokens.tolist(), prefilled.logits, strict=True):
                    row.tokens.append(token)
                    logits[row.job].append(own.clone())
                batch.admit(prefilled, tokens)
                self._borrows = any(borrows(key_values) for _, key_values in prefilled.spans)
            for _ in range(STEPS - 1):
                chosen = batch.step(hooks)[0][0].tolist()
                for slot, seated in enumerate(batch.rows):
                    if seated is not None:
                        seated.tokens.append(chosen[slot])
                        logits[seated.job].append(batch.logits[slot].clone())
            self._token_bytes = batch.token_bytes
        traces = [_RowTrace(tuple(row.tokens[:-1]), torch.stack(logits[row.job])) for row in rows]
        self._whole = traces if which is ALL_ROWS else self._whole
        return traces

    def _alone(self) -> list[_RowTrace]:
        """The rows one after the other through the model's own ``generate``."""
        loaded = self._engine
        answers = []
        with loaded.packing.applied(), steered(loaded.decoder) as hooks:
            runner = AloneRunner(loaded.model, self._bank, hooks, loaded.device, frozenset())
            for row in self._fresh_rows():
                logits: list[Tensor] = []
                runner.answer(row, lambda step, own=logits: own.append(step[0].clone()))  # type: ignore[misc]
                answers.append(_RowTrace(tuple(row.tokens[: len(logits) - 1]), torch.stack(logits)))
        return answers

    def _fresh_rows(self) -> list[Row]:
        firsts = [None, *(min(steering.layers) for steering in self._steerings)]
        return [Row(number, prompt, steering, firsts[steering], STEPS) for number, (prompt, steering) in enumerate(self._rows)]

    def _check_reading(self, loaded: LoadedModel) -> None:
        """Every extractor reads what the blocks of the plain model put out, for each prompt alone."""
        prompts = [self._rows[0][0], self._rows[1][0]]
        expected = [self._outputs[prompt] for prompt in prompts]
        lots = [[prompt] for prompt in prompts] if loaded.decoder.runs_alone else [prompts]
        for name, extractor in EXTRACTORS.items():
            read = torch.cat([extractor(loaded, left_padded(loaded, lot), 2)[:, -1] for lot in lots])
            for prompt, ours, theirs in zip(prompts, read, expected, strict=True):
                difference = max(_difference(one, other) for one, other in zip(ours, theirs, strict=True))
                if not difference <= self._tolerance:
                    raise UnsupportedModelError(
                        f"{name} reads block outputs of a prompt of {len(prompt.token_ids)} tokens that differ by "
                        f"{difference:.1g} from those of the plain model"
                    )

    def _look_back(self, prompt: Rendered, longer: _Plain) -> None:
        """Note by how much the plain model's numbers for ``prompt`` vary when an answer follows it; refuse more than rounding."""
        if prompt in self._outputs and longer is not self._first:
            alone = self._outputs[prompt]
            noises = [_difference(one, other) for one, other in zip(longer.outputs, alone, strict=True)]
            noises.append(_difference(longer.logits[0], self._first.logits[0]) if prompt == self._rows[0][0] else 0.0)
            self._noise = max(self._noise, *noises)
            if not self._noise <= (10 * EXACT if self._exact else MOST):
                raise UnsupportedModelError(
                    f"what it computes for a prompt changes by {self._noise:.1g} when tokens follow it: it looks ahead"
                )
        self._outputs.setdefault(prompt, longer.outputs)

    def _plain(self, prompt: Rendered, answer: Sequence[int], steering: Steering | None) -> _Plain:
        """The unchanged model on ``prompt`` and ``answer``, in one forward without a cache."""
        outputs: dict[int, Tensor] = {}
        end = len(prompt.token_ids) - 1
        Rotary.of(self._model).restore()
        with _plainly_hooked(self._engine.decoder.blocks, steering, outputs, end):
            ids = torch.tensor([[*prompt.token_ids, *answer]], device=self._device)
            logits = self._model(input_ids=ids, use_cache=False).logits[0, end:]
        return _Plain(logits.float().cpu(), torch.stack([outputs[layer] for layer in sorted(outputs)]))


@contextmanager
def _plainly_hooked(
    blocks: Sequence[Any], steering: Steering | None, outputs: dict[int, Tensor], position: int
) -> Iterator[None]:
    """Add the steering's vectors to the blocks' outputs, and read them (before that) at ``position``."""
    shifts = {} if steering is None else dict(zip(steering.layers, steering.vectors, strict=True))

    def hook_of(layer: int) -> Any:
        def hook(_module: object, _args: object, output: Any) -> Any:
            stream = residual(output, f"output of block {layer}")
            outputs[layer] = stream[0, position].float().cpu()
            if layer not in shifts or steering is None:
                return None
            edited = stream + (steering.multiplier * torch.from_numpy(shifts[layer])).to(stream)
            return (edited, *output[1:]) if isinstance(output, tuple) else edited

        return hook

    handles = [block.register_forward_hook(hook_of(layer)) for layer, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _in_floats(model: Any) -> Iterator[None]:
    """``LLM.int8()`` picks outlier columns over a whole forward and rounds every activation, so its numbers depend on the
    neighbours by design. What is checked here is everything else: for the check its layers multiply in floats."""
    layers = [
        module for module in model.modules() if type(module).__name__ == "Linear8bitLt" and "forward" not in module.__dict__
    ]

    def product_of(layer: Any) -> Callable[[Tensor], Tensor]:
        def product(inputs: Tensor) -> Tensor:
            held = layer.weight if layer.state.CB is None else layer.state
            codes = layer.weight.data if held.CB is None else held.CB
            weight = codes.to(inputs.dtype) * (held.SCB / 127).to(inputs.dtype)[:, None]
            return torch.nn.functional.linear(inputs, weight, layer.bias)

        return product

    try:
        for layer in layers:
            layer.forward = product_of(layer)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _prompts(loaded: LoadedModel) -> tuple[Rendered, Rendered]:
    """A long and a short prompt of the model's own tokens that begin alike; raises ``JobError`` for tokens without a row."""
    longest = LENGTHS[0]
    window = loaded.decoder.window
    if window is not None and (window + 8) * sum(one.numel() for one in loaded.model.parameters()) <= WINDOW_WORK:
        longest = max(longest, window + 8)
    text = TEXT
    tokens: tuple[int, ...] = ()
    for _ in range(8):
        tokens = loaded.renderer.render(Prompt("check", text)).token_ids
        if len(tokens) > longest:
            break
        text += text
    shared = tokens[:SHARED]
    ends = (tokens[-(min(longest, len(tokens)) - SHARED) :], tokens[-(LENGTHS[1] - SHARED) :])
    long, short = (Rendered(Prompt("check", text), text, (*shared, *end), SHARED, 1) for end in ends)
    return long, short


def _steerings(outputs: Tensor) -> list[Steering]:
    """A direction from the middle on, and one at block 0 alone; as strong as half the residual stream there."""
    n_layers, d_model = outputs.shape
    rng = np.random.default_rng(0)
    steerings = []
    for layers in (tuple(range(n_layers // 2, n_layers)), (0,)):
        unit = rng.standard_normal(d_model).astype(np.float32)
        unit /= np.linalg.norm(unit)
        strength = 0.5 * float(outputs[layers[0]].norm())
        steerings.append(Steering(layers, np.repeat(unit[None], len(layers), axis=0), strength))
    return steerings


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """|ours - theirs| relative to how ``theirs`` vary; NaN where either is not finite."""
    one, other = ours.double().cpu(), theirs.double().cpu()
    return float((one - other).norm() / (other - other.mean()).norm().clamp(min=1e-12))


def _words(error: BaseException) -> str:
    if isinstance(error, WorkerError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
