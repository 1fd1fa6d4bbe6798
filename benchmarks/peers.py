"""The ways that users would otherwise go, in this process and on the very same weights: ``transformers.generate`` with hooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import Tensor

from actors.types import Prompt, Steering
from benchmarks.timing import Key, Work
from benchmarks.workload import Bench, BenchmarkCell, Workload


@dataclass(frozen=True)
class PerPrompt:
    """(a) The first script everyone writes: one prompt at a time, a batch of one."""

    bench: Bench
    workload: Workload
    fraction: float = 1.0
    name: str = "per prompt"

    def run(self, round_number: int) -> Work:
        """Every n-th row (n = 1 / ``fraction``), another start in each round, diagonally through cells and prompts."""
        tokens: dict[Key, tuple[int, ...]] = {}
        for cell, prompt in diagonal(self.workload, self.fraction, round_number):
            tokens.update(_generate(self.bench, cell, (prompt,), self.workload.new_tokens))
        return _work(tokens)


@dataclass(frozen=True)
class PerCell:
    """(b) What steering-vectors and AISteer360 do: one cell at a time, its prompts padded into one ``generate``."""

    bench: Bench
    workload: Workload
    fraction: float = 1.0
    name: str = "per cell"

    def run(self, round_number: int) -> Work:
        """Every n-th cell (n = 1 / ``fraction``), another start in each round."""
        tokens: dict[Key, tuple[int, ...]] = {}
        for cell in some_cells(self.workload, self.fraction, round_number):
            tokens.update(_generate(self.bench, cell, self.workload.prompts, self.workload.new_tokens))
        return _work(tokens)


def some_cells(workload: Workload, fraction: float, round_number: int) -> tuple[BenchmarkCell, ...]:
    """Every n-th cell from a start that moves on with the round: n rounds see every cell once."""
    stride = max(1, round(1 / fraction))
    return workload.cells[round_number % stride :: stride]


def diagonal(workload: Workload, fraction: float, round_number: int) -> list[tuple[BenchmarkCell, Prompt]]:
    """Every n-th (cell, prompt); n has no factor in common with the number of prompts, else it would meet the same ones again."""
    rows = [(cell, prompt) for cell in workload.cells for prompt in workload.prompts]
    stride = max(1, round(1 / fraction))
    while gcd(stride, len(workload.prompts)) > 1 and stride > 1:
        stride += 1
    return rows[round_number % stride :: stride]


@contextmanager
def hooked(blocks: Sequence[Any], steering: Steering | None) -> Iterator[None]:
    """Plain forward hooks that add multiplier x direction at every steered block."""
    handles = []
    if steering is not None:
        for layer, vector in zip(steering.layers, steering.vectors, strict=True):
            shift = torch.from_numpy(vector.copy()) * steering.multiplier

            def add(_module: object, _args: object, output: Tensor, shift: Tensor = shift) -> Tensor:
                return output + shift.to(output)

            handles.append(blocks[layer].register_forward_hook(add))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def _generate(bench: Bench, cell: BenchmarkCell, prompts: Sequence[Prompt], n: int) -> dict[Key, tuple[int, ...]]:
    """Greedy tokens of ``prompts`` in one left-padded batch."""
    rendered = [bench.token_ids(prompt) for prompt in prompts]
    ids, mask = left_padded(rendered, bench.pad_token)
    device = bench.model.device
    with hooked(bench.blocks, cell.steering):
        output = bench.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=n,
            do_sample=False,
            pad_token_id=bench.pad_token,
        )
    new = output[:, ids.shape[1] :].tolist()
    return {(cell.name, prompt.id): tuple(row) for prompt, row in zip(prompts, new, strict=True)}


def left_padded(rows: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask ``[rows, longest]``."""
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[pad] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def _work(tokens: dict[Key, tuple[int, ...]]) -> Work:
    return Work(len(tokens), sum(len(ids) for ids in tokens.values()), tokens=tokens)
