"""Parts of a batch side by side, each on its share of the cores.

A decoding step is some hundred small operations. Split over threads one by one, each of them ends with its slowest thread;
threads that each take rows of their own through the whole step meet once per step. That is the faster way on cores of their
own. Where another process takes one of the cores, all lanes wait for the one on it, most of a step. So where a lane was held up
there is one fewer for a while, and the other process has a core to itself; not where a row's bits depend on how many there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from time import perf_counter

import torch

from actors.engine.packing import PROBE_ROWS, PackedLinear, Packing

ROWS_PER_LANE = 32
"""Fewer rows of the products are not worth a lane of their own: every lane reads all weights."""
HELD_UP = 0.2
"""There is one lane fewer when the slowest had no core for more than this share of its time: lately, by a moving average."""
NEWEST = 0.2
"""Weight of the newest run in that average: one run alone is not enough."""
SHORTEST = 0.02
"""A run of fewer seconds says nothing: the system gives out its cores by slices of a few thousandths of one."""
WAITED = Path("/proc/thread-self/schedstat")
"""Nanoseconds that the thread which reads it ran, and waited for a core."""
LOOK_AGAIN = 128
"""After so many runs with fewer lanes one more is tried, once: a run that is held up takes about twice as long."""


@dataclass(frozen=True)
class Piece:
    """Work of ``rows``, each of ``of_each`` rows of the products; ``cost`` of one of these, in any unit."""

    rows: int
    of_each: int
    cost: float

    @property
    def products(self) -> int:
        """Rows of the products."""
        return self.rows * self.of_each

    @property
    def work(self) -> float:
        """What all of it costs: to read the weights takes as long as about ``ROWS_PER_LANE`` rows of the products."""
        return (self.products + ROWS_PER_LANE) * self.cost


def _cut(pieces: Sequence[Piece], behind: Sequence[float], target: float) -> tuple[int, int]:
    """The piece, and its row, before which about ``target`` of the work lies; ``behind``: what lies before each piece."""
    number = min(bisect_right(behind, target), len(pieces)) - 1
    piece = pieces[number]
    at = round((target - behind[number]) / piece.work * piece.rows)  # about, as either part reads the weights
    if min(at, piece.rows - at) * piece.of_each < ROWS_PER_LANE:
        at = 0 if 2 * at < piece.rows else piece.rows
    return number, at


def _equal(n: int, step: int, count: int) -> list[slice]:
    """``n`` in at most ``count`` parts of nearly equal size that are multiples of ``step``, and what is left over."""
    units = n // step
    count = max(1, min(count, units))
    bounds = [*(units * number // count * step for number in range(count)), n]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


class Lanes:
    """At most ``count`` parts at once; the caller's own thread does the first of them. With ``count`` 1 no thread is started.

    ``may_leave``: whether lanes are left where other processes hold them up, and ``left`` how many are. ``held_up``: the share
    of its time in which the slowest lane did not run, lately.
    """

    def __init__(self, count: int = 1, *, may_leave: bool = False) -> None:
        self.count, self._may_leave = count, may_leave
        self.held_up = 0.0
        self.left = 0
        self._runs_so = 0
        self._cores = torch.get_num_threads()
        self._others = ThreadPoolExecutor(count - 1, "lane") if count > 1 else None

    def parts(self, n_rows: int, step: int) -> list[slice]:
        """``n_rows`` in parts of nearly equal size that are multiples of ``step`` and worth a lane; what is left over goes to the
        last of them; fewer than ``count`` where other processes hold lanes up."""
        return _equal(n_rows, step, min(self.count - self.left, n_rows // ROWS_PER_LANE))

    def parts_of_layers(self, n_layers: int) -> list[slice]:
        """So many layers in as many parts as there are lanes."""
        return _equal(n_layers, 1, self.count - self.left)

    def shares(self, pieces: Sequence[Piece]) -> list[list[tuple[int, slice]]]:
        """Pieces of work in shares of nearly equal cost, one for each lane that is worth one: of each piece its number and which
        of its rows. A share ends within a piece only where both parts of that are worth a lane."""
        behind = [0.0, *accumulate(piece.work for piece in pieces)]
        worth = int(behind[-1] / (1.5 * ROWS_PER_LANE * max(piece.cost for piece in pieces)))
        count = max(1, min(self.count - self.left, worth))
        cuts = [(0, 0), *(_cut(pieces, behind, behind[-1] * number / count) for number in range(1, count)), (len(pieces), 0)]
        shares = [
            [
                (number, slice(start if number == first else 0, end if number == last else pieces[number].rows))
                for number in range(first, min(last + 1, len(pieces)))
            ]
            for (first, start), (last, end) in pairwise(cuts)
        ]
        kept = ([(number, rows) for number, rows in share if rows.start < rows.stop] for share in shares)
        return [share for share in kept if share]

    def run(self, work: Sequence[Callable[[], None]]) -> None:
        """Do all of ``work``, at most ``count`` pieces; the first error is raised when all have ended."""
        self._look_again()
        if self._others is None or len(work) == 1:
            with _threads(self._cores - self.left, self._cores) if self.left else nullcontext():
                for piece in work:
                    piece()
            return
        share = max(1, (self._cores - self.left) // len(work))
        with _threads(share, self._cores):
            started = [self._others.submit(_on_share, share, piece) for piece in work[1:]]
            try:
                first = _clocked(work[0])
            finally:
                wait(started)
            slowest = max(first, *(one.result() for one in started))
        if self._may_leave and share == 1:  # else a lane's thread also waits for its own helpers
            self._note(slowest)

    def _note(self, held_up: float) -> None:
        """What the slowest lane of a run lost."""
        self.held_up += NEWEST * (held_up - self.held_up)
        if self.held_up > HELD_UP and self.left < self.count - 1:
            self.held_up, self.left, self._runs_so = HELD_UP, self.left + 1, 0

    def _look_again(self) -> None:
        """One lane more after ``LOOK_AGAIN`` runs without it."""
        self._runs_so += 1
        if self.left and self._runs_so >= LOOK_AGAIN:
            self.left, self._runs_so = self.left - 1, 0


def lanes_for(packing: Packing, *, may_leave: bool = True) -> Lanes:
    """A lane per core where that changes no bit: all products are packed, and give the same on one thread as on all.
    ``may_leave``: not where a row's bits depend on the rows of its forward, as these then follow from what else runs here."""
    cores = torch.get_num_threads()
    alike = cores > 1 and packing.complete and _alike_on_one_thread(packing, cores)
    return Lanes(cores if alike else 1, may_leave=may_leave)


@torch.inference_mode()
def _alike_on_one_thread(packing: Packing, cores: int) -> bool:
    products = {(product.width, product.out): product for product in packing.products.values()}.values()
    everywhere = [_probe(product) for product in products]
    with _threads(1, cores):
        return all(torch.equal(_probe(product), before) for product, before in zip(products, everywhere, strict=True))


def _probe(product: PackedLinear) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return product(torch.randn(PROBE_ROWS[-1], product.width, generator=generator).to(product.dtype))


@contextmanager
def _threads(inside: int, after: int) -> Iterator[None]:
    """PyTorch's operations use ``inside`` threads in the ``with`` block. MKL has one number for the whole process, so it is the
    caller who sets it for all lanes."""
    torch.set_num_threads(inside)
    try:
        yield
    finally:
        torch.set_num_threads(after)


@torch.inference_mode()
def _on_share(threads: int, piece: Callable[[], None]) -> float:
    """``piece``, clocked; both settings belong to the thread, not to the process."""
    torch.set_num_threads(threads)
    return _clocked(piece)


def _clocked(piece: Callable[[], None]) -> float:
    """Do ``piece``; the share of its time in which this thread waited for a core (0 where that was too short to tell)."""
    began, waited = perf_counter(), _waited()
    piece()
    took = perf_counter() - began
    return 0.0 if took < SHORTEST else (_waited() - waited) / took


def _waited() -> float:
    """Seconds that this thread was ready to run and had no core, as Linux counts them: not those in which it waited for Python's
    lock or another thread. Where that is not told, 0."""
    try:
        return int(WAITED.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
