"""Parts of a batch side by side, each on its share of the cores.

A decoding step is some hundred small operations. Split over threads one by one, each of them ends with its slowest thread;
threads that each take rows of their own through the whole step meet once per step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise

import torch

from actors.engine.packing import PROBE_ROWS, PackedLinear, Packing

ROWS_PER_LANE = 32
"""Fewer rows of the products are not worth a lane of their own: every lane reads all weights."""


class Lanes:
    """At most ``count`` parts at once; the caller's own thread does the first of them. With ``count`` 1 no thread is started."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._cores = torch.get_num_threads()
        self._others = ThreadPoolExecutor(count - 1, "lane") if count > 1 else None

    def parts(self, n_rows: int, step: int, of_each: int = 1) -> list[slice]:
        """``n_rows`` in parts of nearly equal size that are multiples of ``step`` and worth a lane; what is left over goes to the
        last of them.

        ``of_each``: rows of the products, that is tokens, that come from each row.
        """
        units = n_rows // step
        count = max(1, min(self.count, n_rows * of_each // ROWS_PER_LANE, units))
        bounds = [*(units * number // count * step for number in range(count)), n_rows]
        return [slice(start, stop) for start, stop in pairwise(bounds)]

    def run(self, work: Sequence[Callable[[], None]]) -> None:
        """Do all of ``work``, at most ``count`` pieces; the first error is raised when all have ended."""
        if self._others is None or len(work) == 1:
            for piece in work:
                piece()
            return
        share = max(1, self._cores // len(work))
        with _threads(share, self._cores):
            started = [self._others.submit(_on_share, share, piece) for piece in work[1:]]
            try:
                work[0]()
            finally:
                wait(started)
            for one in started:
                one.result()


def lanes_for(packing: Packing) -> Lanes:
    """A lane per core where that changes no bit: all products are packed, and give the same on one thread as on all."""
    cores = torch.get_num_threads()
    alike = cores > 1 and packing.complete and _alike_on_one_thread(packing, cores)
    return Lanes(cores if alike else 1)


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
def _on_share(threads: int, piece: Callable[[], None]) -> None:
    """Both settings belong to the thread, not to the process."""
    torch.set_num_threads(threads)
    piece()
