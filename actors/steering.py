"""Per-row steering: tables that hold every row's edit at every layer, and the block hooks that apply them.

The edits of all rows of a layer are one fused expression, so the number of different cells in a batch costs nothing.
Hooks live only inside :func:`steered`, which removes them whatever happens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from actors.errors import JobError, UnsupportedModelError
from actors.families import Decoder
from actors.interventions import INTERVENTIONS
from actors.positions import ALL, Positions, Spans
from actors.schedules import Schedule
from actors.types import FloatArray, Steering

SMALLEST = 1e-30
"""A norm that nothing is divided below: a stream that was removed whole stays zero."""


class TableInForce(Protocol):
    """The edits of a batch's rows as the hooks use them (see ``SteeringTable``)."""

    @property
    def where(self) -> Tensor | None:
        """Where rows are edited in the forward at hand; None: everywhere."""

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream."""

    def arrival(self, layer: int, raw: Tensor, seen: Tensor) -> Tensor | None:
        """How much of the edit of ``raw`` is in ``seen``, token by token."""


@dataclass(frozen=True)
class SteeringTable:
    """The edits of a batch's rows: ``shifts[l]`` is ``[rows, 1, d]``, ``axes[l]`` ``[rows, K, d]`` (zero where a row has fewer),
    ``replaced[l]`` bool ``[rows, 1, 1]``; each is absent when no row edits layer l in that way.

    ``spans`` ``[rows, 4]``: where each row is edited (see ``positions.Spans``); ``where`` bool ``[rows, T, 1]``: the same in the
    forward at hand. None: everywhere. ``fading`` ``[rows, 3]``: tokens of each row's prompt, and its schedule (``schedules``);
    ``share`` ``[rows, T, 1]``: the part of the strength in the forward at hand. None: all of it.
    ``kept[l]`` bool ``[rows, 1, 1]``: which rows keep their norm at layer l; absent as the edits.
    """

    shifts: dict[int, Tensor] = field(default_factory=dict)
    axes: dict[int, Tensor] = field(default_factory=dict)
    replaced: dict[int, Tensor] = field(default_factory=dict)
    spans: Tensor | None = None
    where: Tensor | None = None
    fading: Tensor | None = None
    share: Tensor | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream; ``hidden`` ``[rows, T, d]`` is left as it is."""
        edited = self.everywhere(layer, hidden)
        return edited if self.where is None or edited is hidden else torch.where(self.where, edited, hidden)

    def everywhere(self, layer: int, hidden: Tensor) -> Tensor:
        """The same, as if every token were among those to be edited; ``hidden`` itself at a layer without edits."""
        edited, kept = self._moved(layer, hidden), self.kept.get(layer)
        if kept is None:
            return edited
        before, after = (one.float().norm(dim=-1, keepdim=True) for one in (hidden, edited))
        return torch.where(kept, (edited.float() * (before / after.clamp(min=SMALLEST))).to(hidden.dtype), edited)

    def _moved(self, layer: int, hidden: Tensor) -> Tensor:
        shift, axes, replaced = self.shifts.get(layer), self.axes.get(layer), self.replaced.get(layer)
        if replaced is not None:
            hidden = hidden.masked_fill(replaced, 0.0)
        if axes is not None:
            hidden = self._without(hidden.float(), axes).to(hidden.dtype)
        if shift is None:
            return hidden
        return hidden + (shift if self.share is None else (shift * self.share).to(hidden.dtype))

    def _without(self, hidden: Tensor, axes: Tensor) -> Tensor:
        """``hidden`` less its components along ``axes``. One axis after the other: to take 0 away changes no bit, so what other
        rows have more axes for changes none of a row's."""
        left = hidden
        for number in range(axes.shape[1]):
            axis = axes[:, number : number + 1]
            component = (hidden * axis).sum(-1, keepdim=True)
            left = left - (component if self.share is None else component * self.share) * axis
        return left

    def at(self, positions: Tensor) -> SteeringTable:
        """The table for a forward whose tokens stand at ``positions`` ``[rows, T]``."""
        if self.spans is None and self.fading is None:
            return self
        where = share = None
        if self.spans is not None:
            start, stop, again, end = self.spans[:, None].unbind(-1)
            where = (((positions >= start) & (positions < stop)) | ((positions >= again) & (positions < end)))[:, :, None]
        if self.fading is not None:
            prompt, linear, half_life = self.fading[:, None].unbind(-1)
            token = (positions - prompt).clamp(min=0)
            share = ((1 - token / linear).clamp(min=0) * torch.exp2(-token / half_life))[:, :, None]
        return replace(self, where=where, share=share)

    def arrival(self, layer: int, raw: Tensor, seen: Tensor) -> Tensor | None:
        """How much of the edit of ``raw`` is in ``seen``, token by token wherever it was asked, ``[rows, T, 1, 2]``: the move
        along it and the whole move, as shares of it (NaN: no edit). None at a layer without edits."""
        edited = self.everywhere(layer, raw)
        if edited is raw:
            return None
        asked, moved = edited.float() - raw.float(), seen.float() - raw.float()
        size = asked.norm(dim=-1)
        along = (moved * asked).sum(-1) / size.square()
        found = torch.stack([along, moved.norm(dim=-1) / size], dim=-1).masked_fill((size == 0)[..., None], torch.nan)
        return found[:, :, None]

    def map(self, change: Callable[[Tensor], Tensor]) -> SteeringTable:
        """The table with ``change`` applied to every tensor of it."""
        shifts, axes, replaced = (
            {layer: change(edit) for layer, edit in kind.items()} for kind in (self.shifts, self.axes, self.replaced)
        )
        others = (self.spans, self.where, self.fading, self.share)
        spans, where, fading, share = (one if one is None else change(one) for one in others)
        kept = {layer: change(rows) for layer, rows in self.kept.items()}
        return SteeringTable(shifts, axes, replaced, spans, where, fading, share, kept)

    def copy_(self, other: SteeringTable) -> None:
        """Take over the edits of ``other``, which has the same layers and rows, in place."""
        for name in ("shifts", "axes", "replaced", "kept"):
            ours, theirs = getattr(self, name), getattr(other, name)
            for layer, tensor in ours.items():
                tensor.copy_(theirs[layer])
        if self.fading is not None and other.fading is not None:
            self.fading.copy_(other.fading)


class _Edits:
    """Distinct edit vectors of one kind, and which of them each steering uses at each layer (0: none)."""

    def __init__(self, n_steerings: int, n_layers: int, d_model: int) -> None:
        self._vectors: list[FloatArray] = [np.zeros(d_model, np.float32)]
        self._known: dict[bytes, int] = {}
        self._index = np.zeros((n_steerings + 1, n_layers, 1), np.int64)

    def use(self, steering: int, layer: int, vectors: FloatArray) -> None:
        """``vectors`` ``[K, d]``."""
        if (more := len(vectors) - self._index.shape[2]) > 0:
            self._index = np.pad(self._index, ((0, 0), (0, 0), (0, more)))
        for place, vector in enumerate(vectors):
            number = self._known.setdefault(vector.tobytes(), len(self._vectors))
            if number == len(self._vectors):
                self._vectors.append(vector)
            self._index[steering, layer, place] = number

    def gather(self, dtype: torch.dtype, device: torch.device) -> _Gathered:
        """All of them, on the device."""
        bank = torch.from_numpy(np.stack(self._vectors)).to(device, dtype)
        counts = (self._index != 0).any(axis=0).sum(axis=1)
        used = {int(layer): int(counts[layer]) for layer in np.flatnonzero(counts)}
        return _Gathered(bank, torch.from_numpy(self._index).to(device), used)


@dataclass(frozen=True)
class _Gathered:
    """The vectors ``[E + 1, d]``, the index ``[steerings + 1, L, K]``, and of every layer that any steering edits how many of the
    K are used there at most."""

    bank: Tensor
    index: Tensor
    used: Mapping[int, int]

    def at(self, layer: int, numbers: Tensor) -> Tensor:
        """Those of the steerings ``numbers`` ``[rows]``, ``[rows, K, d]``; one zero vector at a layer without any."""
        return self.bank[self.index[numbers, layer, : self.used.get(layer, 1)]]


class SteeringBank:
    """Every distinct edit of a set of steerings, each without what follows it, on the device. Steering number 0 is "unsteered",
    as is every one that is None.

    Rows of many cells share a batch: :meth:`rows` gathers each row's edits by its steering number. ``steady``: whether all
    of them act at every token, and alike.
    The shift is scaled in float32 and then cast to the residual stream's dtype.
    """

    def __init__(
        self, steerings: Sequence[Steering | None], decoder_shape: tuple[int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        n_layers, d_model = decoder_shape
        shifts, axes = (_Edits(len(steerings), n_layers, d_model) for _ in range(2))
        replaced, kept = (np.zeros((len(steerings) + 1, n_layers), np.bool_) for _ in range(2))
        for number, steering in enumerate(steerings, start=1):
            if steering is None:
                continue
            edit_of = INTERVENTIONS[steering.intervention]
            for index, (layer, vector) in enumerate(zip(steering.layers, steering.vectors, strict=True)):
                given = steering.strength_at(index), steering.reference_at(index), steering.basis_at(index)
                edit = edit_of(vector, *given)
                if edit.shift is not None:
                    shifts.use(number, layer, edit.shift[None])
                if edit.axes is not None:
                    axes.use(number, layer, edit.axes)
                replaced[number, layer] = edit.replaces
                kept[number, layer] = steering.keep_norm
        schedules = [Schedule(), *(Schedule() if one is None else Schedule.of(one.schedule) for one in steerings)]
        self.fades = any(one != Schedule() for one in schedules)
        self.steady = not self.fades and all(one is None or one.positions == ALL for one in steerings)
        self._schedules = torch.tensor([[one.linear, one.half_life] for one in schedules], device=device)
        self._shifts = shifts.gather(dtype, device)
        self._axes = axes.gather(torch.float32, device)
        self._replaced = torch.from_numpy(replaced).to(device)
        self._kept = torch.from_numpy(kept).to(device)
        self._replacing, self._keeping = (
            tuple(int(layer) for layer in np.flatnonzero(rows.any(axis=0))) for rows in (replaced, kept)
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that any steering edits, ascending."""
        return tuple(sorted({*self._shifts.used, *self._axes.used, *self._replacing}))

    @property
    def layout(self) -> tuple[tuple[int, ...], ...]:
        """Layers that are shifted, along how many axes something is removed from which, that are replaced, and that keep their
        norm, and whether any of it fades: tables of one layout have tensors of the same sizes for the same batch."""
        axes = self._axes.used
        return tuple(self._shifts.used), tuple(axes), tuple(axes.values()), self._replacing, self._keeping, (int(self.fades),)

    def asked(self, layer: int, steering_numbers: Tensor, raw: Tensor, shares: Tensor | float = 1.0) -> Tensor:
        """The change of ``raw`` ``[rows, d]`` float64 that ``shares`` ``[rows, 1]`` of each row's steering ask for at ``layer``,
        in float64."""
        axes = self._axes.at(layer, steering_numbers).double()
        taken = ((raw[:, None] * axes).sum(-1, keepdim=True) * axes).sum(1)
        taken = torch.where(self._replaced[steering_numbers, layer][:, None], raw, taken)
        change = (self._shifts.at(layer, steering_numbers)[:, 0].double() - taken) * shares
        after = raw + change
        scaled = after * raw.norm(dim=-1, keepdim=True) / after.norm(dim=-1, keepdim=True).clamp(min=SMALLEST)
        return torch.where(self._kept[steering_numbers, layer][:, None], scaled - raw, change)

    def rows(
        self, steering_numbers: Tensor, spans: Sequence[Spans] | None = None, prompts: Tensor | None = None
    ) -> SteeringTable:
        """The table of a batch whose row r has steering ``steering_numbers[r]`` (``[rows]`` int64), at ``spans[r]``; ``prompts``
        ``[rows]``: tokens of their prompts, where some of their answers are read."""
        shifts, axes = ({layer: kind.at(layer, steering_numbers) for layer in kind.used} for kind in (self._shifts, self._axes))
        replaced = {layer: self._replaced[steering_numbers, layer][:, None, None] for layer in self._replacing}
        where = None if spans is None else torch.tensor(spans, device=steering_numbers.device)
        fading = None
        if self.fades and prompts is not None:
            fading = torch.cat([prompts[:, None], self._schedules[steering_numbers]], dim=1)
        kept = {layer: self._kept[steering_numbers, layer][:, None, None] for layer in self._keeping}
        return SteeringTable(shifts, axes, replaced, where, fading=fading, kept=kept)


def check_steering(steering: Steering, n_layers: int, d_model: int) -> None:
    """Refuse a steering that this model cannot run; raises ``JobError`` naming the field, the value and what is allowed."""
    for part in steering.parts:
        _check_part(part, n_layers, d_model)
    if any(part.then for part in steering.then):
        raise JobError("what follows a part of a steering has more behind it; allowed: one list of parts")


def _check_part(steering: Steering, n_layers: int, d_model: int) -> None:
    condition = steering.condition
    if condition is not None and not (0 <= condition.layer < n_layers and condition.vector.shape == (d_model,)):
        raise JobError(
            f"a condition at layer {condition.layer} with a vector of shape {condition.vector.shape}; "
            f"this model needs a layer of 0..{n_layers - 1} and ({d_model},)"
        )
    if condition is not None and condition.threshold is None and not (condition.positive and condition.negative):
        raise JobError("a condition without a threshold needs contrast prompts of both classes to learn it from")
    if steering.intervention not in INTERVENTIONS:
        raise JobError(f"intervention {steering.intervention!r} is unknown; allowed: {', '.join(INTERVENTIONS)}")
    if steering.vectors.shape != (len(steering.layers), d_model):
        raise JobError(
            f"steering vectors have shape {steering.vectors.shape}, this model needs ({len(steering.layers)}, {d_model})"
        )
    outside = [layer for layer in steering.layers if not 0 <= layer < n_layers]
    if outside or not steering.layers:
        raise JobError(f"steering layers {outside or steering.layers} are outside 0..{n_layers - 1}")
    if len(steering.scales) not in (0, len(steering.layers)):
        raise JobError(
            f"steering has {len(steering.scales)} scales for {len(steering.layers)} layers; allowed: one each, or none"
        )
    if len(steering.references) not in (0, len(steering.layers)):
        raise JobError(
            f"steering has {len(steering.references)} references for {len(steering.layers)} layers; allowed: one each, or none"
        )
    shapes = {basis.shape[1:] for basis in steering.bases}
    if len(steering.bases) not in (0, len(steering.layers)) or shapes - {(d_model,)}:
        raise JobError(
            f"steering has {len(steering.bases)} bases of vectors {sorted(shapes)} for {len(steering.layers)} layers of width "
            f"{d_model}; allowed: [K, {d_model}] each, or none"
        )
    try:
        for index, vector in enumerate(steering.vectors):
            given = steering.strength_at(index), steering.reference_at(index), steering.basis_at(index)
            INTERVENTIONS[steering.intervention](vector, *given)
        Positions.of(steering.positions)
        faded = Schedule.of(steering.schedule) != Schedule()
    except ValueError as error:
        raise JobError(str(error)) from error
    if faded and steering.intervention == "replacement":
        raise JobError("a replacement that fades would leave nothing in its place; allowed: schedule constant")


@dataclass
class Witness:
    """Block outputs before the edit (``raw``) and what the next module really received (``seen``), last token, per layer.

    ``seen`` is read at the next block's input, independently of the hook that edits: it proves that the edit arrived.
    ``arrived``, where rows are edited at some tokens only: ``SteeringTable.arrival`` of every token, per edited layer.
    """

    raw: dict[int, Tensor] = field(default_factory=dict)
    seen: dict[int, Tensor] = field(default_factory=dict)
    arrived: dict[int, Tensor] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[dict[int, Tensor], ...]:
        """All that it holds."""
        return self.raw, self.seen, self.arrived

    def map(self, change: Callable[[Tensor], Tensor]) -> Witness:
        """The witness with ``change`` applied to every tensor of it."""
        return Witness(*({layer: change(state) for layer, state in kind.items()} for kind in self.kinds))


class SteeringHooks(threading.local):
    """The table in force, one per thread; swap ``table`` between forwards. ``witness``, when set, records every layer.
    ``trunk``: what the first blocks would put out, where a forward begins above them."""

    def __init__(self) -> None:
        self.table: TableInForce = SteeringTable()
        self.witness: Witness | None = None
        self.trunk: Tensor | None = None
        self._whole: Tensor | None = None
        self.captured: dict[int, Tensor] = {}
        self.capture: frozenset[int] = frozenset()

    def edit(self, layer: int, output: Tensor) -> Tensor:
        """Called with block ``layer``'s output ``[rows, T, d]``."""
        if layer in self.capture:
            self.captured[layer] = output
        if self.witness is not None:
            self.witness.raw[layer] = output[:, -1].clone()
            self._whole = None if self.table.where is None else output
        return self.table.apply(layer, output)

    def see(self, layer: int, received: Tensor) -> None:
        """Called with what the module after block ``layer`` receives."""
        if self.witness is not None:
            self.witness.seen[layer] = received[:, -1].clone()
            if self._whole is not None and (arrival := self.table.arrival(layer, self._whole, received)) is not None:
                self.witness.arrived[layer] = arrival
            self._whole = None


def residual(output: object, where: str) -> Tensor:
    """The residual stream ``[rows, tokens, d]`` in what a block puts out or reads: the tensor itself, or a tuple's first.

    A tuple's [0] and a tensor's [0] are different things, so this looks before it indexes; ``UnsupportedModelError`` for anything
    else.
    """
    stream = output[0] if isinstance(output, tuple) and output else output
    if isinstance(stream, Tensor) and stream.ndim == 3:
        return stream
    found = f"a tensor of {stream.ndim} dimensions" if isinstance(stream, Tensor) else type(stream).__name__
    raise UnsupportedModelError(f"{where} is {found}, not a tensor [rows, tokens, d]")


def received(args: tuple[object, ...], kwargs: Mapping[str, object], where: str) -> Tensor:
    """The residual stream among a module's arguments: the first of them, or ``hidden_states``."""
    return residual(args[0] if args else kwargs.get("hidden_states"), where)


@contextmanager
def steered(decoder: Decoder) -> Iterator[SteeringHooks]:
    """Attach edit and witness hooks to every block for the duration of the ``with`` block."""
    hooks = SteeringHooks()
    readers: list[nn.Module | None] = [*decoder.blocks[1:], decoder.final_norm]
    handles = []
    try:
        for layer, (block, reader) in enumerate(zip(decoder.blocks, readers, strict=True)):

            def on_output(_module: nn.Module, _args: object, output: object, layer: int = layer) -> object:
                edited = hooks.edit(layer, residual(output, f"output of block {layer}"))
                return (edited, *output[1:]) if isinstance(output, tuple) else edited

            def on_input(_module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object], layer: int = layer) -> None:
                if hooks.witness is not None:
                    hooks.see(layer, received(args, kwargs, f"input after block {layer}"))

            handles.append(block.register_forward_hook(on_output))
            if reader is not None:
                handles.append(reader.register_forward_pre_hook(on_input, with_kwargs=True))
        yield hooks
    finally:
        for handle in handles:
            handle.remove()
