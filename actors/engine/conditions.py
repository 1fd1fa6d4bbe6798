"""Whether the conditions of rows hold: decided before a row begins, from an unsteered run of its prompt.

Prompts run as prefill runs them, each once, however many cells ask it. What was found is kept while a model is held. A condition
so costs a prefill of the distinct prompts, and nothing while answers are decoded: a row whose condition fails is a row of which
that part does not act.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor

from actors.engine.alone import AloneRunner
from actors.engine.attention import slot_attention_in
from actors.engine.engine_model import EngineModel
from actors.engine.lanes import Lanes
from actors.engine.memory import SHARED_PREFIX_SHARE, free_bytes
from actors.engine.prefill import Prefiller, conditions_of, cosines_of
from actors.engine.rotary import Rotary
from actors.engine.rows import Row
from actors.engine.segments import Forwards, SegmentRunner
from actors.errors import OutOfMemoryError
from actors.faults import is_out_of_memory
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import steered
from actors.types import Condition, Prompt

Tokens = tuple[int, ...]
Vector = tuple[int, bytes]
Known = tuple[Tokens, int, bytes]
"""A prompt, and the layer and the vector of a condition."""


class ConditionReader:
    """Decides the conditions of rows; ``lanes`` and ``rotary`` as the engine has them."""

    def __init__(self, loaded: EngineModel, lanes: Lanes, rotary: Rotary) -> None:
        self._loaded, self._lanes, self._rotary = loaded, lanes, rotary
        self._known: dict[Known, float] = {}

    @torch.inference_mode()
    def decide(self, rows: Iterable[Row]) -> None:
        """Let every conditional row know the cosines that its conditions are decided by."""
        conditional = [row for row in rows if row.conditional]
        named: dict[int, Vector] = {}
        for row in conditional:
            for condition in conditions_of(row):
                named.setdefault(id(condition), (condition.layer, np.asarray(condition.vector).tobytes()))
        asked = {
            (_prompt(row), *named[id(condition)]): (row, condition) for row in conditional for condition in conditions_of(row)
        }
        missing = {key: both for key, both in asked.items() if key not in self._known}
        for alone in (False, True):
            some = {key: both for key, both in missing.items() if self._alone(both[0]) is alone}
            if some:
                states = self._states_alone([*some.values()]) if alone else self._states([*some.values()])
                self._known |= dict(zip(some, cosines_of(states, [condition for _, condition in some.values()]), strict=True))
        for row in conditional:
            prompt, conditions = _prompt(row), [act.condition for act in row.acts]
            row.decide([None if one is None else self._known[prompt, *named[id(one)]] for one in conditions])

    def _alone(self, row: Row) -> bool:
        return self._loaded.decoder.runs_alone or not self._rotary.shares(row.needed)

    def _states(self, asked: Sequence[tuple[Row, Condition]]) -> Tensor:
        """The unsteered residual stream at the last token of each prompt, at its condition's layer, ``[n, d]``."""
        loaded = self._loaded
        rows = [_unsteered(number, *both) for number, both in enumerate(asked)]
        bank = StackBank([], (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        found: dict[int, Tensor] = {}
        with ExitStack() as inside:
            inside.enter_context(slot_attention_in(loaded.model))
            inside.enter_context(self._rotary.held())
            inside.enter_context(loaded.packing.applied())
            hooks = inside.enter_context(steered(loaded.decoder))
            forwards = Forwards(loaded.batch_dependence is not None, self._lanes)
            runner = SegmentRunner(loaded.model, loaded.decoder, hooks, loaded.device, forwards)
            limit = int(free_bytes(loaded.device) * SHARED_PREFIX_SHARE)
            prefiller = Prefiller(runner, bank, rows, loaded.grain, limit)
            at_once = len(rows)
            while left := [row for row in rows if row.job not in found]:
                try:
                    for prefilled in prefiller.run(left[:at_once]):
                        for place, row in enumerate(prefilled.rows):
                            found[row.job] = prefilled.witness.raw[asked[row.job][1].layer][place].clone()
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    at_once = min(at_once, len(left))
                    if at_once == 1:
                        raise OutOfMemoryError(f"out of memory with a single prompt: {error}") from error
                    at_once //= 2
        return torch.stack([found[number] for number in range(len(rows))])

    def _states_alone(self, asked: Sequence[tuple[Row, Condition]]) -> Tensor:
        """The same, of a model or of prompts whose rows share no batch."""
        loaded = self._loaded
        bank = StackBank([], (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        found = []
        with loaded.packing.applied(), steered(loaded.decoder) as hooks:
            runner = AloneRunner(loaded.model, bank, hooks, loaded.device, loaded.stop_tokens)
            for number, both in enumerate(asked):
                _, witness = runner.last_token(_unsteered(number, *both))
                found.append(witness.raw[both[1].layer][0])
        return torch.stack(found)


def _prompt(row: Row) -> Tokens:
    """Its tokens up to where its answer begins."""
    return row.rendered.token_ids[: row.rendered.prompt_tokens]


def _unsteered(number: int, row: Row, condition: Condition) -> Row:
    """The row's prompt, of which the output of the condition's layer is kept."""
    tokens = _prompt(row)
    prefix = min(row.rendered.prefix, len(tokens) - 1)
    return Row(number, Rendered(Prompt("", ""), "", tokens, prefix), 0, condition.layer, 1, acts=())
