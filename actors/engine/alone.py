"""Row by row, through the model's own cache: for blocks that keep more than keys and values (linear attention, state spaces), and
for a model that is spread over several devices.

The state of such blocks runs over every position it is given, padding included, so rows of different lengths share no batch
here. A row's answer depends on nothing but the row; what is lost is speed, not truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from actors.engine.decode import choose
from actors.engine.firing import record_firing
from actors.engine.prefill import Prefilled
from actors.engine.rows import Row
from actors.engine.spread import FollowingTable, gather
from actors.engine.stopwatch import Stopwatch
from actors.steering import SteeringBank, SteeringHooks, SteeringTable, Witness


@dataclass(frozen=True)
class AloneRunner:
    """Generates rows one after the other. ``hooks`` are attached to the model's blocks (``actors.steering.steered``)."""

    model: Any
    bank: SteeringBank
    hooks: SteeringHooks
    device: torch.device
    stop_tokens: frozenset[int]

    def run(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Yield each row when it has ended."""
        stopwatch = Stopwatch()
        for row in rows:
            self._answer(row)
            stopwatch.charge([row])
            yield from stopwatch.pausing(iter([row]))

    def last_token(self, row: Row) -> tuple[Tensor, Witness]:
        """Logits ``[1, vocabulary]`` after the prompt, and what every block put out and passed on at its last token."""
        logits, _, witness = self._prompt(row)
        return logits, witness

    def _answer(self, row: Row) -> None:
        logits, cache, witness = self._prompt(row)
        record_firing(Prefilled([row], logits, (), witness), self.bank)
        while True:
            tokens, finite = choose(logits)
            if not bool(finite):
                row.finite, row.finish = False, "stop"
            if row.finish is not None or row.accept(int(tokens), self.stop_tokens):
                return
            logits, cache = self._forward(tokens[:, None], cache, self._table(row))

    def _prompt(self, row: Row) -> tuple[Tensor, Any, Witness]:
        witness = self.hooks.witness = Witness()
        try:
            prompt = torch.tensor([row.rendered.token_ids], device=self.device)
            logits, cache = self._forward(prompt, None, self._table(row))
            return logits, cache, gather(witness, self.device)
        finally:
            self.hooks.witness = None

    def _table(self, row: Row) -> SteeringTable:
        return FollowingTable.of(self.bank.rows(torch.tensor([row.steering], device=self.device)))

    def _forward(self, token_ids: Tensor, cache: Any, table: SteeringTable) -> tuple[Tensor, Any]:
        """Logits after the last of ``token_ids`` ``[1, T]``, and the model's cache for the next ones."""
        self.hooks.table = table
        try:
            output = self.model(input_ids=token_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        finally:
            self.hooks.table = SteeringTable()
        return output.logits[:, -1].to(self.device), output.past_key_values
