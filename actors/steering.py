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
from numpy.typing import NDArray
from torch import Tensor, nn

from actors.edit_vectors import EditVectors
from actors.errors import JobError, UnsupportedModelError
from actors.families import Decoder
from actors.grouped import Changes, Grouped
from actors.interventions import intervention_of
from actors.positions import ALL, Positions, Spans
from actors.schedules import Schedule
from actors.sites import ALLOWED as SITES_ALLOWED
from actors.sites import EVERYWHERE, HEADS, head_of, places_of_steering, site_of
from actors.types import Condition, Steering

SMALLEST = 1e-30
"""A norm that nothing is divided below: a stream that was removed whole stays zero."""
NOTHING, ADDED, AFFINE, CHANGED = range(4)
"""Kinds of edits (``SteeringBank.kinds``)."""


class TableInForce(Protocol):
    """The edits of a batch's rows as the hooks use them (see ``SteeringTable``)."""

    @property
    def where(self) -> Tensor | None:
        """Where rows are edited in the forward at hand; None: everywhere."""

    @property
    def tables(self) -> tuple[SteeringTable, ...]:
        """Those of the parts of the rows' steerings, in their order."""

    def apply(self, layer: int, hidden: Tensor) -> Tensor:
        """The edited residual stream."""


@dataclass(frozen=True)
class SteeringTable:
    """The edits of a batch's rows: ``shifts[l]`` is ``[rows, 1, d]``, ``axes[l]`` ``[rows, K, d]`` (zero where a row has fewer),
    ``replaced[l]`` bool ``[rows, 1, 1]``; each is absent when no row edits layer l in that way.

    ``spans`` ``[rows, 4]``: where each row is edited (see ``positions.Spans``); ``where`` bool ``[rows, T, 1]``: the same in the
    forward at hand. None: everywhere. ``fading`` ``[rows, 3]``: tokens of each row's prompt, and its schedule (``schedules``);
    ``share`` ``[rows, T, 1]``: the part of the strength in the forward at hand. None: all of it.
    ``kept[l]`` bool ``[rows, 1, 1]``: which rows keep their norm at layer l; absent as the edits. ``grouped[l]``: the functions
    that edit layer l of some rows.
    """

    shifts: dict[int, Tensor] = field(default_factory=dict)
    axes: dict[int, Tensor] = field(default_factory=dict)
    replaced: dict[int, Tensor] = field(default_factory=dict)
    spans: Tensor | None = None
    where: Tensor | None = None
    fading: Tensor | None = None
    share: Tensor | None = None
    kept: dict[int, Tensor] = field(default_factory=dict)
    grouped: dict[int, tuple[Grouped, ...]] = field(default_factory=dict)

    @property
    def tables(self) -> tuple[SteeringTable, ...]:
        """Itself: that of a single part."""
        return (self,)

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
        if shift is not None:
            hidden = hidden + (shift if self.share is None else (shift * self.share).to(hidden.dtype))
        for one in self.grouped.get(layer, ()):
            hidden = one.apply(hidden, self.share)
        return hidden

    def _without(self, hidden: Tensor, axes: Tensor) -> Tensor:
        """``hidden`` less its components along ``axes``. One axis after the other: to take 0 away changes no bit, so what other
        rows have more axes for changes none of a row's."""
        left = hidden
        for number in range(axes.shape[1]):
            axis = axes if axes.shape[1] == 1 else axes[:, number : number + 1]
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

    def newest(self, n: int) -> SteeringTable:
        """The table for the last ``n`` tokens of the forward at hand: a block, or a head, may be given those alone."""
        where, share = (one if one is None or one.shape[1] <= n else one[:, -n:] for one in (self.where, self.share))
        return self if where is self.where and share is self.share else replace(self, where=where, share=share)

    def edits(self, layer: int) -> bool:
        """Whether any row of the batch that the table was made for is edited at a layer: the same of every part of it."""
        return any(layer in kind for kind in (self.shifts, self.axes, self.replaced, self.grouped))

    def map(self, change: Callable[[Tensor], Tensor]) -> SteeringTable:
        """The table with ``change`` applied to every tensor of it."""
        shifts, axes, replaced = (
            {layer: change(edit) for layer, edit in kind.items()} for kind in (self.shifts, self.axes, self.replaced)
        )
        others = (self.spans, self.where, self.fading, self.share)
        spans, where, fading, share = (one if one is None else change(one) for one in others)
        kept = {layer: change(rows) for layer, rows in self.kept.items()}
        grouped = {layer: tuple(one.map(change) for one in some) for layer, some in self.grouped.items()}
        return SteeringTable(shifts, axes, replaced, spans, where, fading, share, kept, grouped)

    def copy_(self, other: SteeringTable) -> None:
        """Take over the edits of ``other``, which has the same layers and rows, in place."""
        for name in ("shifts", "axes", "replaced", "kept"):
            ours, theirs = getattr(self, name), getattr(other, name)
            for layer, tensor in ours.items():
                tensor.copy_(theirs[layer])
        for layer, some in self.grouped.items():
            for one, its in zip(some, other.grouped[layer], strict=True):
                one.copy_(its)
        if self.fading is not None and other.fading is not None:
            self.fading.copy_(other.fading)


def arrival(tables: Sequence[SteeringTable], layer: int, raw: Tensor, seen: Tensor) -> Tensor | None:
    """How much of each part's edit of ``raw`` is in ``seen``, token by token wherever it was asked, ``[rows, T, P, 2]``: the move
    along it, once what the other parts do there is taken out, and the whole of that move (beside other edits: along it, as what
    these are rounded to is no move), as shares of the edit (NaN: no edit). None at a layer without edits."""
    if not any(table.edits(layer) for table in tables):
        return None
    state, wholes, changes = raw, list[Tensor](), list[Tensor]()
    for table in tables:
        after = table.apply(layer, state) if len(tables) > 1 else state  # the whole move is a single part's
        wholes.append(table.everywhere(layer, state).float() - state.float())
        changes.append(after.float() - state.float())
        state = after
    left = seen.to(raw.device).float() - raw.float() - torch.stack(changes).sum(0)
    edited = torch.stack([change.any(dim=-1) for change in changes])
    found = []
    for whole, change in zip(wholes, changes, strict=True):
        own, size = left + change, whole.norm(dim=-1)
        along = (own * whole).sum(-1) / size.square()
        beside = edited.sum(0) > change.any(dim=-1).int()
        moved = torch.where(beside, along.abs(), own.norm(dim=-1) / size)
        found.append(torch.stack([along, moved], dim=-1).masked_fill((size == 0)[..., None], torch.nan))
    return torch.stack(found, dim=2)


class SteeringBank:
    """Every distinct edit of a set of steerings, each without what follows it, on the device. Steering number 0 is "unsteered",
    as is every one that is None.

    Rows of many cells share a batch: :meth:`rows` gathers each row's edits by its steering number. ``steady``: whether all
    of them act at every token, and alike. ``points``: where each acts. ``follows`` bool ``[steerings + 1]``: whose edits are as
    large as the activation makes them, and so may be nearly nothing.
    The shift is scaled in float32 and then cast to the residual stream's dtype.
    """

    def __init__(
        self, steerings: Sequence[Steering | None], decoder_shape: tuple[int, int], dtype: torch.dtype, device: torch.device
    ) -> None:
        n_layers, width = decoder_shape
        points = [[] if one is None else one.points(n_layers) for one in steerings]
        n_points = max((point + 1 for some in points for point, _ in some if point >= n_layers), default=n_layers)
        width = max((one.vectors.shape[1] for one in steerings if one is not None), default=width)
        pairs = [(some, one) for some, one in zip(points, steerings, strict=True) if one is not None]
        own = {point: one.vectors.shape[1] for some, one in pairs for point, _ in some}
        widths = {point: narrow for point, narrow in own.items() if narrow < width}
        shifts, axes = (EditVectors(len(steerings), n_points, width, widths) for _ in range(2))
        changes = Changes(len(steerings), n_points, width, widths)
        replaced, kept = (np.zeros((len(steerings) + 1, n_points), np.bool_) for _ in range(2))
        follows = np.zeros(len(steerings) + 1, np.bool_)
        for number, steering in enumerate(steerings, start=1):
            if steering is None:
                continue
            edit_of = intervention_of(steering.intervention, steering.code, steering.vectors.shape[1])
            for layer, index in points[number - 1]:
                given = steering.strength_at(index), steering.reference_at(index), steering.basis_at(index)
                edit = edit_of(steering.vectors[index], *given)
                if edit.shift is not None:
                    shifts.use(number, layer, edit.shift[None])
                if edit.axes is not None:
                    axes.use(number, layer, edit.axes)
                if edit.change is not None:
                    changes.use(number, layer, edit.change, steering, index)
                follows[number] |= edit.axes is not None or edit.change is not None
                replaced[number, layer] = edit.replaces
                kept[number, layer] = steering.keep_norm
        self.points = ((), *(tuple(point for point, _ in some) for some in points))
        schedules = [Schedule(), *(Schedule() if one is None else Schedule.of(one.schedule) for one in steerings)]
        self.fades = any(one != Schedule() for one in schedules)
        self.steady = not self.fades and all(one is None or one.positions == ALL for one in steerings)
        self._schedules = torch.tensor([[one.linear, one.half_life] for one in schedules], device=device)
        self._shifts = shifts.gather(dtype, device)
        self._axes = axes.gather(torch.float32, device)
        self._changes = changes.gather(device)
        kinds = _kinds((shifts, axes, changes), replaced | kept)
        self._kinds = torch.from_numpy(kinds).to(device)
        self.plain = bool((kinds <= ADDED).all()) and not self.fades
        self._edited, self._following = kinds != NOTHING, follows
        self.any_follows = bool(follows.any())
        self._replaced = torch.from_numpy(replaced).to(device)
        self._kept = torch.from_numpy(kept).to(device)
        self.follows = torch.from_numpy(follows).to(device)
        self._replacing, self._keeping = (
            tuple(int(layer) for layer in np.flatnonzero(rows.any(axis=0))) for rows in (replaced, kept)
        )

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers that any steering edits, ascending, and behind them the points that are no block's output (``actors.sites``)."""
        return tuple(sorted({*self._shifts.used, *self._axes.used, *self._replacing, *self._changes.used}))

    @property
    def layout(self) -> tuple[tuple[object, ...], ...]:
        """Layers that are shifted, along how many axes something is removed from which, that are replaced, and that keep their
        norm, what functions edit them, and whether any of it fades: tables of one layout have tensors of the same sizes for the
        same batch."""
        axes = tuple(self._axes.used.items())
        return (
            *(tuple(self._shifts.used), axes, self._replacing, self._keeping),
            *(self._changes.layout, (int(self.fades),)),
        )

    def asked(self, layer: int, steering_numbers: Tensor, raw: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """The change of ``raw`` ``[rows, d]`` float64 that each row's steering asks for at ``layer``, and that which ``shares``
        ``[rows, 1]`` of it ask for, both in float64."""
        change = self._shifts.at(layer, steering_numbers)[:, 0].double()
        if layer in self._axes.used or layer in self._replacing:
            axes = self._axes.at(layer, steering_numbers).double()
            taken = ((raw[:, None] * axes).sum(-1, keepdim=True) * axes).sum(1)
            change = change - torch.where(self._replaced[steering_numbers, layer][:, None], raw, taken)
        for one in self._changes.at(layer, steering_numbers, whole=True):
            change = change + one.asked(raw)
        whole, part = (self._norm_kept(layer, steering_numbers, raw, one) for one in (change, change * shares))
        return whole, part

    def _norm_kept(self, layer: int, steering_numbers: Tensor, raw: Tensor, change: Tensor) -> Tensor:
        """The change after which those rows of ``raw`` have their norm that keep it."""
        if layer not in self._keeping:
            return change
        after = raw + change
        scaled = after * raw.norm(dim=-1, keepdim=True) / after.norm(dim=-1, keepdim=True).clamp(min=SMALLEST)
        return torch.where(self._kept[steering_numbers, layer][:, None], scaled - raw, change)

    def concerned(self, layer: int, steering_numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each steering edits at ``layer``, or ``follows``, on the host."""
        found: NDArray[np.bool_] = self._following[steering_numbers]
        return found | self._edited[steering_numbers, layer] if layer in self.layers else found

    def kinds(self, layer: int, steering_numbers: Tensor) -> Tensor:
        """What edits each row at ``layer``, ``[rows]``: ``NOTHING``; ``ADDED``, a shift alone; ``AFFINE``, what else is affine or
        keeps its norm; from ``CHANGED`` on a function each."""
        return self._kinds[steering_numbers, layer]

    def shifts(self, layer: int, steering_numbers: Tensor) -> Tensor:
        """What is added to each row at ``layer``, ``[rows, 1, d]``."""
        return self._shifts.at(layer, steering_numbers)

    def fading(self, steering_numbers: Tensor, prompts: Tensor | None) -> Tensor | None:
        """``SteeringTable.fading`` of rows, ``prompts`` ``[rows]`` being the tokens of their prompts."""
        if not self.fades or prompts is None:
            return None
        return torch.cat([prompts[:, None], self._schedules[steering_numbers]], dim=1)

    def at_layer(self, layer: int, steering_numbers: Tensor) -> SteeringTable:
        """The table of ``layer`` alone, on a CPU, of rows that are all edited by one function there or all by none (``kinds``):
        without what none of them uses."""
        replaced, kept = (rows[steering_numbers, layer][:, None, None] for rows in (self._replaced, self._kept))
        kept_by_layer = {layer: kept} if kept.any() else {}
        kind = int(self._kinds[steering_numbers[0], layer])
        if kind >= CHANGED:
            one = next(one for one in self._changes.at(layer, steering_numbers, whole=False) if one.mine.any())
            return SteeringTable(kept=kept_by_layer, grouped={layer: (one,)})
        shifts, axes, where = (
            {layer: edit} if edit.any() else {}
            for edit in (self._shifts.at(layer, steering_numbers), self._axes.at(layer, steering_numbers), replaced)
        )
        return SteeringTable(shifts, axes, where, kept=kept_by_layer)

    def rows(
        self,
        steering_numbers: Tensor,
        spans: Sequence[Spans] | None = None,
        prompts: Tensor | None = None,
        *,
        lasting: bool = False,
    ) -> SteeringTable:
        """The table of a batch whose row r has steering ``steering_numbers[r]`` (``[rows]`` int64), at ``spans[r]``; ``prompts``
        ``[rows]``: tokens of their prompts, where some of their answers are read. ``lasting``: other tables of this layout will
        be copied into it."""
        shifts, axes = ({layer: kind.at(layer, steering_numbers) for layer in kind.used} for kind in (self._shifts, self._axes))
        replaced = {layer: self._replaced[steering_numbers, layer][:, None, None] for layer in self._replacing}
        where = None if spans is None else torch.tensor(spans, device=steering_numbers.device)
        fading = self.fading(steering_numbers, prompts)
        kept = {layer: self._kept[steering_numbers, layer][:, None, None] for layer in self._keeping}
        whole = lasting or steering_numbers.device.type != "cpu"  # elsewhere to know how many rows there are is to wait for them
        grouped = {layer: self._changes.at(layer, steering_numbers, whole=whole) for layer in self._changes.used}
        return SteeringTable(shifts, axes, replaced, where, fading=fading, kept=kept, grouped=grouped)


def _kinds(edits: tuple[EditVectors, EditVectors, Changes], more: NDArray[np.bool_]) -> NDArray[np.int64]:
    """``SteeringBank.kinds`` of every steering and layer; ``more``: those that replace, or keep their norm."""
    shifts, axes, changes = edits
    kinds = np.where(shifts.used, ADDED, NOTHING)
    kinds = np.where(axes.used | (more & shifts.used), AFFINE, kinds)
    return np.where(changes.number > 0, AFFINE + changes.number, kinds)


WidthOf = Callable[[str, int], int]
"""Numbers of the activation at a site of a block; ``JobError`` where the model has none."""


def check_steering(steering: Steering, n_layers: int, d_model: int, width_of: WidthOf | None = None) -> None:
    """Refuse a steering that this model cannot run; raises ``JobError`` naming the field, the value and what is allowed.
    ``width_of``: what is known of sites (None: as wide as the residual stream)."""
    for part in steering.parts:
        _check_layers(part, n_layers)
        _check_condition(part.condition, n_layers, d_model)
        _check_part(part, _width(part, d_model, width_of))
    sites = {part.site for part in steering.parts}
    if HEADS in sites and any(head_of(site) is not None for site in sites):
        raise JobError("a steering has parts at all heads and at one head; allowed: either")
    if any(part.then for part in steering.then):
        raise JobError("what follows a part of a steering has more behind it; allowed: one list of parts")


def _check_layers(steering: Steering, n_layers: int) -> None:
    outside = [layer for layer in steering.layers if not 0 <= layer < n_layers]
    if outside or not steering.layers:
        raise JobError(f"steering layers {outside or steering.layers} are outside 0..{n_layers - 1}")


def _width(steering: Steering, d_model: int, width_of: WidthOf | None) -> int:
    """Numbers of the activations that a steering edits."""
    try:
        places = places_of_steering(site_of(steering.site), steering.layers)
    except ValueError as error:
        raise JobError(f"{error}; allowed: {SITES_ALLOWED}") from error
    if steering.site == EVERYWHERE and steering.intervention != "ablation":
        raise JobError(
            f"site everywhere takes an ablation, not {steering.intervention}, which would act at every part of a block"
        )
    widths = {d_model if width_of is None else width_of(site, layer) for site, layer, _ in places}
    if len(widths) > 1:
        raise JobError(f"site {steering.site}: the steered blocks have activations of {sorted(widths)} numbers there")
    return widths.pop()


def _check_condition(condition: Condition | None, n_layers: int, d_model: int) -> None:
    """A condition is of the residual stream, wherever the part that has it acts."""
    if condition is not None and not (0 <= condition.layer < n_layers and condition.vector.shape == (d_model,)):
        raise JobError(
            f"a condition at layer {condition.layer} with a vector of shape {condition.vector.shape}; "
            f"this model needs a layer of 0..{n_layers - 1} and ({d_model},)"
        )
    if condition is not None and condition.threshold is None and not (condition.positive and condition.negative):
        raise JobError("a condition without a threshold needs contrast prompts of both classes to learn it from")


def _check_part(steering: Steering, d_model: int) -> None:
    try:
        edit_of = intervention_of(steering.intervention, steering.code, d_model)
    except ValueError as error:
        raise JobError(str(error)) from error
    if steering.vectors.shape != (len(steering.layers), d_model):
        raise JobError(
            f"steering vectors have shape {steering.vectors.shape}, this model needs ({len(steering.layers)}, {d_model})"
        )
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
            edit_of(vector, *given)
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
    ``arrived``, where rows are edited at some tokens only: :func:`arrival` of every token that the next module received, which
    may be the last ones alone, per edited layer.
    ``rows`` ``[n]``: those that are looked at (None: all).
    """

    raw: dict[int, Tensor] = field(default_factory=dict)
    seen: dict[int, Tensor] = field(default_factory=dict)
    arrived: dict[int, Tensor] = field(default_factory=dict)
    rows: Tensor | None = field(default=None, kw_only=True)

    def newest(self, states: Tensor) -> Tensor:
        """Of ``states`` ``[rows, T, d]`` the last token of the rows that are looked at, a copy."""
        return states[:, -1].clone() if self.rows is None else states[:, -1].index_select(0, self.rows)

    @property
    def kinds(self) -> tuple[dict[int, Tensor], ...]:
        """All that it holds."""
        return self.raw, self.seen, self.arrived

    def map(self, change: Callable[[Tensor], Tensor]) -> Witness:
        """The witness with ``change`` applied to every tensor of it."""
        return Witness(*({layer: change(state) for layer, state in kind.items()} for kind in self.kinds))


@dataclass(frozen=True)
class ForwardStart:
    """Start above block ``layer``, whose unsteered output for these rows is ``hidden`` ``[R, T, d]``."""

    layer: int
    hidden: Tensor


class SteeringHooks(threading.local):
    """The table in force, one per thread; swap ``table`` between forwards. ``witness``, when set, records every layer.
    ``start``: where a forward begins above the first blocks."""

    def __init__(self) -> None:
        self.table: TableInForce = SteeringTable()
        self.witness: Witness | None = None
        self.start: ForwardStart | None = None
        self._whole: dict[int, Tensor] = {}
        self.rows = 0
        self.captured: dict[int, Tensor] = {}
        self.capture: frozenset[int] = frozenset()

    def edit(self, layer: int, output: Tensor) -> Tensor:
        """Called with block ``layer``'s output ``[rows, T, d]``, or with what stands at another point (``actors.sites``)."""
        if layer in self.capture:
            self.captured[layer] = output
        if self.witness is not None:
            self.witness.raw[layer] = self.witness.newest(output)
            if self.table.where is not None:
                self._whole[layer] = output
        return self.table.apply(layer, output)

    def see(self, layer: int, received: Tensor) -> None:
        """Called with what the module after block ``layer`` receives."""
        if self.witness is not None:
            self.witness.seen[layer] = self.witness.newest(received)
            n, whole = received.shape[1], self._whole.pop(layer, None)
            if whole is None or n > whole.shape[1]:
                return
            tables = [table.newest(n) for table in self.table.tables]
            if (found := arrival(tables, layer, whole[:, -n:], received)) is not None:
                self.witness.arrived[layer] = found


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


def received(args: tuple[object, ...], kwargs: Mapping[str, object], where: str, argument: int | str = 0) -> Tensor:
    """The residual stream among a module's arguments: the one that is named, by its place or its name, or ``hidden_states``."""
    if isinstance(argument, int) and argument < len(args):
        return residual(args[argument], where)
    return residual(kwargs.get(argument if isinstance(argument, str) else "hidden_states"), where)


@contextmanager
def steered(decoder: Decoder) -> Iterator[SteeringHooks]:
    """Attach edit and witness hooks to every block for the duration of the ``with`` block."""
    hooks = SteeringHooks()
    readers: list[tuple[nn.Module | None, int | str]] = [*((block, 0) for block in decoder.blocks[1:]), decoder.last_reader]
    handles = []
    try:
        for layer, (block, (reader, argument)) in enumerate(zip(decoder.blocks, readers, strict=True)):

            def on_output(_module: nn.Module, _args: object, output: object, layer: int = layer) -> object:
                edited = hooks.edit(layer, residual(output, f"output of block {layer}"))
                return (edited, *output[1:]) if isinstance(output, tuple) else edited

            def on_input(
                _module: nn.Module,
                args: tuple[object, ...],
                kwargs: dict[str, object],
                layer: int = layer,
                argument: int | str = argument,
            ) -> None:
                if hooks.witness is not None:
                    hooks.see(layer, received(args, kwargs, f"input after block {layer}", argument))

            handles.append(block.register_forward_hook(on_output))
            if reader is not None:
                handles.append(reader.register_forward_pre_hook(on_input, with_kwargs=True))
        yield hooks
    finally:
        for handle in handles:
            handle.remove()
