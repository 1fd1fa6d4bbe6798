"""A decoding step recorded once and replayed per token, so that the host launches one graph where it launched a thousand kernels.

A step reads and writes the same tensors every time, so recording it is enough. A recording is used only after one replayed step
has given the very bits of an eager one; else decoding goes on eagerly, and the reason is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from actors.faults import says_nothing_of_the_work

EAGER = "eager"
GRAPH = "CUDA graph"
HOPPER = (9, 0)
"""Compute capability from which grouped products need nothing of the host."""
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
"""Names by which configs say how many experts a router chooses from."""
_ABANDONED = list[Any]()
"""Graphs whose capture failed: PyTorch's allocator of pinned memory may ask them for as long as the process lives."""
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class StepGraph(Protocol):
    """Something that records a function's device work and can repeat it."""

    def capture(self, step: Callable[[], None]) -> None:
        """Record ``step``; whether it is also executed does not matter."""

    def replay(self) -> None:
        """Do the recorded work once, on the same tensors."""


class CudaStepGraph:
    """``torch.cuda.CUDAGraph``, with the run on a side stream that libraries need before a capture."""

    def __init__(self) -> None:
        self._graph: Any = torch.cuda.CUDAGraph()

    def capture(self, step: Callable[[], None]) -> None:
        """Warm up, then record; a ``step`` that waits for the device raises ``RuntimeError`` before anything is recorded.

        The thread is on its own stream afterwards, whatever happens, with no work left on another one, and memory can be given
        back: a capture that cannot be ended leaves none of that as it was.
        """
        own, side, pool = torch.cuda.current_stream(), _side_stream(torch.cuda.current_device()), torch.cuda.graph_pool_handle()
        try:
            side.wait_stream(own)
            try:
                with torch.cuda.stream(side), _no_waiting():
                    step()
            finally:
                own.wait_stream(side)
            try:
                with torch.cuda.graph(self._graph, pool=pool, stream=side):
                    step()
            except RuntimeError as error:
                _ABANDONED.append(self._graph)
                _abandon(pool)
                cause = error.__context__  # what ended the capture; the error is then that it cannot be ended
                raise (cause if isinstance(cause, RuntimeError) else error) from None
        finally:
            torch.cuda.set_stream(own)

    def replay(self) -> None:
        """Launch the graph."""
        self._graph.replay()


@cache
def _side_stream(_device: int) -> Any:
    """The one stream of a device on which steps are tried and recorded: cuBLAS keeps a workspace of 32 MiB for every stream that
    it was used on."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _abandon(pool: tuple[int, int]) -> None:
    """Let nothing believe any more that the capture into ``pool`` goes on, which failed.

    Up to PyTorch 2.12 (its #180395) a capture that ends with an error is never ended for the allocator, which from then on gives
    no memory back (``captures_underway.empty() INTERNAL ASSERT FAILED``), nor for the generator of random numbers. Where both
    know already, ``RuntimeError`` says so.
    """
    device = torch.cuda.current_device()
    with suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)
    with suppress(RuntimeError):
        generator = torch.cuda.default_generators[device]
        generator.graphsafe_set_state(generator.clone_state())


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Whatever waits for the device raises ``RuntimeError`` in the ``with`` block."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@dataclass(frozen=True)
class Recorded:
    """What became of a recording: ``replay`` is None where decoding stays eager; ``mode`` says which, and why."""

    replay: Callable[[], None] | None
    mode: str


def recorded(
    step: Callable[[], None], state: Sequence[Tensor], results: Callable[[], Sequence[Tensor]], make: Callable[[], StepGraph]
) -> Recorded:
    """Record ``step`` and compare one replay with one eager step, bit by bit; ``state`` is then as it was before.

    ``state``: the tensors that a step advances in place. ``results``: what the last step put out.
    A step run twice from the same state must do the same thing.
    """
    before = [tensor.clone() for tensor in state]

    def restore() -> None:
        for tensor, old in zip(state, before, strict=True):
            tensor.copy_(old)

    step()
    expected = [result.clone() for result in results()]
    try:
        restore()
        graph = make()
        graph.capture(step)
        restore()
        graph.replay()
        equal = all(same_bits(ours, theirs) for ours, theirs in zip(results(), expected, strict=True))
    except RuntimeError as error:
        if says_nothing_of_the_work(error):
            raise
        return Recorded(None, f"{EAGER}: a step cannot be recorded ({str(error).splitlines()[0]})")
    finally:
        restore()
    return Recorded(graph.replay, GRAPH) if equal else Recorded(None, f"{EAGER}: a replayed step differs from an eager one")


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same bits (unlike ``torch.equal``, NaN equals itself)."""
    as_bits = _BITS[one.element_size()]
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.view(as_bits), other.view(as_bits))


def refusal(model: Any, device: torch.device) -> str | None:
    """Why decoding of ``model`` is not recorded at all, or None: what is known to look at the device's numbers on the host."""
    if device.type != "cuda":
        return f"not on CUDA ({device.type})"
    if any(type(module).__name__ == "Linear8bitLt" for module in model.modules()):
        return "INT8 looks for outlier columns on the host"
    if has_experts(model):
        experts = getattr(model.config.get_text_config(decoder=True), "_experts_implementation", None)
        if experts not in ("grouped_mm", "batched_mm"):
            return f"experts are looped over on the host ({experts})"
        if experts == "grouped_mm" and torch.cuda.get_device_capability(device) < HOPPER:
            return "grouped products of experts read their sizes on the host on cards before Hopper"
    return None


def has_experts(model: Any) -> bool:
    """Whether blocks of ``model`` route tokens to experts."""
    text = model.config.get_text_config(decoder=True)
    told = (text, getattr(text, "ffn_config", None))  # DBRX has a config for them alone
    return any(getattr(one, name, None) for one in told for name in EXPERTS)
