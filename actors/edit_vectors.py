"""The distinct vectors of many steerings' edits, held once on the device and gathered row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.types import FloatArray

NO_WIDTHS: Mapping[int, int] = {}


class EditVectors:
    """Distinct edit vectors of one kind, and which of them each steering uses at each layer (0: none). ``widths``: of
    layers whose vectors have fewer than ``d_model`` numbers."""

    def __init__(self, n_steerings: int, n_layers: int, d_model: int, widths: Mapping[int, int] = NO_WIDTHS) -> None:
        self._vectors: list[FloatArray] = [np.zeros(d_model, np.float32)]
        self._known: dict[bytes, int] = {}
        self._index = np.zeros((n_steerings + 1, n_layers, 1), np.int64)
        self._d_model, self._widths = d_model, widths

    def use(self, steering: int, layer: int, vectors: FloatArray) -> None:
        """``vectors`` ``[K, d]``."""
        if (more := len(vectors) - self._index.shape[2]) > 0:
            self._index = np.pad(self._index, ((0, 0), (0, 0), (0, more)))
        if vectors.shape[1] < self._d_model:
            vectors = np.pad(vectors, ((0, 0), (0, self._d_model - vectors.shape[1])))
        for place, vector in enumerate(vectors):
            number = self._known.setdefault(vector.tobytes(), len(self._vectors))
            if number == len(self._vectors):
                self._vectors.append(vector)
            self._index[steering, layer, place] = number

    @property
    def used(self) -> NDArray[np.bool_]:
        """Whether each steering uses any at each layer, ``[steerings + 1, L]``."""
        found: NDArray[np.bool_] = (self._index != 0).any(axis=2)
        return found

    def gather(self, dtype: torch.dtype, device: torch.device) -> GatheredVectors:
        """All of them, on the device."""
        bank = torch.from_numpy(np.stack(self._vectors)).to(device, dtype)
        counts = (self._index != 0).any(axis=0).sum(axis=1)
        used = {int(layer): int(counts[layer]) for layer in np.flatnonzero(counts)}
        return GatheredVectors(bank, torch.from_numpy(self._index).to(device), used, self._widths)


@dataclass(frozen=True)
class GatheredVectors:
    """The vectors ``[E + 1, d]``, the index ``[steerings + 1, L, K]``, and of every layer that any steering edits how many of the
    K are used there at most. ``widths``: how many numbers of a vector count, of layers where it is not all of them."""

    bank: Tensor
    index: Tensor
    used: Mapping[int, int]
    widths: Mapping[int, int]

    def at(self, layer: int, numbers: Tensor) -> Tensor:
        """Those of the steerings ``numbers`` ``[rows]``, ``[rows, K, d]``; one zero vector at a layer without any."""
        found = self.bank[self.index[numbers, layer, : self.used.get(layer, 1)]]
        return found[..., : self.widths[layer]] if layer in self.widths else found
