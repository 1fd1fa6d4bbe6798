"""A GPU that is not there: tensors that lie in the CPU's memory, say that they are on ``cuda:0``, and are treated so.

What a GPU would punish is found with real numbers: a tensor of another device among its own raises, whatever makes the host wait
is counted by what it is and where, and raises in a step that is tried or recorded. A CUDA graph is the operations that ran while
it was recorded, repeated on the very tensors that they ran on. Not found: what kernels do, time, memory.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from actors.engine import graphs
from actors.loading import LoadedModel

GPU = torch.device("cuda", 0)
BYTES = 80 * 2**30
CALLERS = 8
READS = ("tolist", "item", "__float__", "__int__", "__bool__", "__index__")
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2"}
"""Operations whose result, or whose size, the host looks at."""
MOVING = {"aten::_to_copy", "aten::to"}
MIXING = {*MOVING, "aten::copy_", "aten::index", "aten::index_put_"}
"""Operations that take tensors of both places, for which the host waits."""


class OnGpu(Tensor):
    """A tensor of the GPU, whose numbers are in ``held``."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=GPU
        )
        made.held = held
        return made

    @classmethod
    def __torch_function__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What PyTorch's own methods would ask CUDA for, which this build has not."""
        name, gpu = getattr(func, "__name__", ""), PretendGpu.present
        assert gpu is not None
        if name in ("__getitem__", "__setitem__"):
            return gpu.indexed(*args)
        if name in READS:
            gpu.wait(name)
            return getattr(args[0].held, name)()
        if name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if name == "untyped_storage":
            return args[0].held.untyped_storage()
        if name == "contiguous":
            return args[0] if args[0].held.is_contiguous() else torch.clone(args[0], memory_format=torch.contiguous_format)
        func = {"copy_": torch.ops.aten.copy_.default, "__invert__": torch.bitwise_not}.get(name, func)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Only the card computes."""
        assert PretendGpu.present is not None
        return PretendGpu.present.__torch_dispatch__(func, types, args, kwargs)


class PretendGpu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The card. ``waits``: how often the host waited, by why and where; ``sync``: ``torch.cuda``'s mode of debugging that."""

    present: ClassVar[PretendGpu | None] = None

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = Counter[str]()
        self.sync = 0
        self.recording: list[Any] | None = None
        self.replays = 0

    def wait(self, why: str) -> None:
        """The host waits, where it may."""
        where = f"{why} at {' < '.join(_callers())}"
        self.waits[where] += 1
        if self.sync == 2:
            raise RuntimeError(f"called a synchronizing CUDA operation: {where}")
        if self.recording is not None:
            raise torch.AcceleratorError(f"CUDA error: operation not permitted when stream is capturing: {where}")

    def indexed(self, whole: Any, index: Any, *value: Any) -> Any:
        """``whole[index]``, or ``whole[index] = value``."""
        given = [one for one in tree_leaves(index) if isinstance(one, Tensor)]
        if any(isinstance(one, list) for one in (index if isinstance(index, tuple) else (index,))):
            self.wait("an index from the host")
        self._look_at_index(whole, given)
        if value and isinstance(value[0], Tensor) and value[0].ndim and type(value[0]) is not type(whole):
            self.wait("a copy")
        held, *found = _held((whole, index, *value))
        with self._recorded():
            if value:
                held[found[0]] = found[1]
                return None
            return OnGpu(held[found[0]])

    def _look_at_index(self, whole: Any, given: list[Tensor]) -> None:
        assert isinstance(whole, OnGpu) or not any(isinstance(one, OnGpu) for one in given), "a CPU tensor indexed by the GPU's"
        if any(one.dtype == torch.bool for one in given):
            self.wait("an index by a mask")
        if any(not isinstance(one, OnGpu) and one.ndim for one in given):
            self.wait("an index from the host")

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation where its tensors are, or where it is told to make some."""
        name, kwargs = func._schema.name, dict(kwargs or {})
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        mine = [one for one in tensors if isinstance(one, OnGpu)]
        theirs = [one for one in tensors if not isinstance(one, OnGpu)]
        device = kwargs.get("device") or next((one for one in args if isinstance(one, torch.device)), None)
        there = bool(mine) if device is None else torch.device(device).type == "cuda"
        if name == "aten::to" and len(tensors) == 2:  # where the other is
            there = isinstance(tensors[1], OnGpu)
        args, kwargs = tree_map(lambda one: torch.device("cpu") if isinstance(one, torch.device) else one, (args, kwargs))
        if name in MOVING and isinstance(tensors[0], OnGpu) != there:
            self.wait("a copy to the GPU" if there else "a copy to the host")
            moved = func(*_held(args), **_held(kwargs)).clone()
            return OnGpu(moved) if there else moved
        if mine and any(one.ndim for one in theirs):
            assert name in MIXING, f"{name} mixes devices: {[(one.device, tuple(one.shape)) for one in tensors]}"
            self.wait("a copy")
        if mine and (name in WAITING or (name in ("aten::index", "aten::index_put_") and _by_mask(args[1]))):
            self.wait(name)
        own = {id(one.held): one for one in mine}
        with self._recorded():
            found = _operation(func, name)(*_held(args), **_held(kwargs))

        def put(one: Any) -> Any:
            return own.get(id(one), OnGpu(one) if there else one) if isinstance(one, Tensor) else one

        return tree_map(put, found)

    @contextmanager
    def recorded(self, graph: PretendGraph, **_options: Any) -> Iterator[None]:
        """As ``torch.cuda.graph``."""
        self.recording = graph.operations
        try:
            yield
        finally:
            self.recording = None

    def _recorded(self) -> Any:
        return nullcontext() if self.recording is None else _Recording(self.recording)

    def __enter__(self) -> PretendGpu:
        PretendGpu.present = self
        torch._C._set_only_lift_cpu_tensors(True)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        torch._C._set_only_lift_cpu_tensors(False)
        PretendGpu.present = None


class _Recording(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, operations: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = operations

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        self._operations.append((func, args, kwargs or {}, found))
        return found


class PretendGraph:
    """A CUDA graph."""

    def __init__(self) -> None:
        self.operations: list[Any] = []

    def replay(self) -> None:
        """The operations once more, into the tensors that they gave the first time."""
        assert PretendGpu.present is not None
        PretendGpu.present.replays += 1
        for func, args, kwargs, found in self.operations:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(found), tree_leaves(again), strict=True):
                if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class _Stream:
    def __init__(self, *_: object, **__: object) -> None: ...

    def wait_stream(self, stream: object) -> None: ...


def plug_in(monkeypatch: pytest.MonkeyPatch) -> PretendGpu:
    """From here on there is a card; use it in a ``with`` block."""
    gpu, stream = PretendGpu(), _Stream()
    card = SimpleNamespace(name="Pretend", total_memory=BYTES, major=9, minor=0, multi_processor_count=132)
    graphs._side_stream.cache_clear()
    stand_ins: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_properties": lambda *_: card,
        "get_device_capability": lambda *_: (9, 0),
        "mem_get_info": lambda *_: (BYTES, BYTES),
        **dict.fromkeys(("memory_reserved", "memory_allocated", "max_memory_allocated", "max_memory_reserved"), lambda *_: 0),
        "memory_snapshot": lambda *_, **__: [],
        "get_per_process_memory_fraction": lambda *_: 1.0,
        **dict.fromkeys(("set_per_process_memory_fraction", "empty_cache", "reset_peak_memory_stats"), lambda *_: None),
        "synchronize": lambda *_: gpu.wait("synchronize"),
        "Stream": _Stream,
        "current_stream": lambda *_: stream,
        "set_stream": lambda _: None,
        "stream": lambda _: nullcontext(),
        "graph": gpu.recorded,
        "graph_pool_handle": lambda: (0, 1),
        "CUDAGraph": PretendGraph,
        "get_sync_debug_mode": lambda: gpu.sync,
        "set_sync_debug_mode": lambda mode: setattr(gpu, "sync", {"default": 0, "warn": 1, "error": 2}.get(mode, mode)),
        "is_current_stream_capturing": lambda: gpu.recording is not None,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr("transformers.pipelines.base.is_torch_cuda_available", lambda: True)
    return gpu


def on_gpu(loaded: LoadedModel) -> LoadedModel:
    """The same model, with all that it holds on the card."""
    known: dict[int, nn.Parameter] = {}
    for module in loaded.model.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = known.setdefault(id(weight), nn.Parameter(OnGpu(weight.data), requires_grad=False))
        module._buffers.update({name: OnGpu(one) for name, one in module._buffers.items() if one is not None})
        module.__dict__.update({name: OnGpu(one) for name, one in module.__dict__.items() if isinstance(one, Tensor)})
    return replace(loaded, device=GPU)


def _callers() -> list[str]:
    """Who called, innermost first: ``firing.py:85 _record``; without this file."""
    found, frame = list[str](), sys._getframe(1)
    while frame.f_back is not None and len(found) < CALLERS:
        file = frame.f_code.co_filename.rpartition("/")[2]
        if file not in ("pretend_cuda.py", "_tensor.py"):
            found.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return found


def _held(tree: Any) -> Any:
    return tree_map(lambda one: one.held if isinstance(one, OnGpu) else one, tree)


def _by_mask(index: Any) -> bool:
    return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in tree_leaves(index))


def _operation(func: Any, name: str) -> Any:
    """What stands in for an operation that a CPU has not, or chooses by the device."""
    if name == "aten::_fused_sdp_choice":
        return lambda *_args, **_kwargs: 0
    return _bmm_in_float32 if func is torch.ops.aten.bmm.dtype else func


def _bmm_in_float32(left: Tensor, right: Tensor, out_dtype: torch.dtype) -> Tensor:
    """``torch.bmm(out_dtype=)``, which takes what it takes on CUDA."""
    assert left.dtype == right.dtype
    assert out_dtype == torch.float32
    assert left.dtype in (torch.float16, torch.bfloat16)
    return torch.bmm(left.float(), right.float())
