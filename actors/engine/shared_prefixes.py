"""What prefill keeps for rows that are still to come, in bounded memory: how often each will be used is known beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


@dataclass
class _Lot:
    """Results of one forward share its memory, so they go together: ``nbytes``, and how many are still kept."""

    nbytes: int
    left: int


class SharedPrefixes(Generic[Key, Kept]):
    """Results by key, each dropped with its last use; at most ``limit`` bytes (None: any). What finds no room is computed again
    by whoever needs it: rows come cell by cell, so to drop an older result for it would lose every one of them."""

    def __init__(self, uses: Iterable[Key], limit: int | None = None) -> None:
        """``uses``: every use that is to come, one key each."""
        self._uses, self._limit = Counter(uses), limit
        self._kept: dict[Key, tuple[Kept, _Lot]] = {}
        self.nbytes = 0

    def get(self, key: Key) -> Kept | None:
        """What is kept of ``key``."""
        kept = self._kept.get(key)
        return None if kept is None else kept[0]

    def left(self, key: Key) -> int:
        """Uses of ``key`` that are still to come."""
        return self._uses[key]

    def keep(self, results: Mapping[Key, Kept], tensors: Iterable[Tensor]) -> None:
        """Keep the results of one forward that will be used again, all of which hold ``tensors``, if there is room for them."""
        again = {key: result for key, result in results.items() if self._uses[key] > 1}
        nbytes = storage_bytes(tensors)
        if not again or (self._limit is not None and self.nbytes + nbytes > self._limit):
            return
        lot = _Lot(nbytes, len(again))
        self._kept |= {key: (result, lot) for key, result in again.items()}
        self.nbytes += nbytes

    def used(self, keys: Iterable[Key]) -> None:
        """Count one use of each of ``keys``; what has none left is dropped."""
        for key in keys:
            self._uses[key] -= 1
            if self._uses[key] <= 0 and key in self._kept:
                _, lot = self._kept.pop(key)
                lot.left -= 1
                if not lot.left:
                    self.nbytes -= lot.nbytes


def storage_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that ``tensors`` keep in memory: a part keeps the whole that it was cut from."""
    storages = {storage.data_ptr(): storage.nbytes() for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storages.values())
