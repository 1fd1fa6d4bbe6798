"""Ablation at every place where the residual stream is read, not only at the outputs of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor

from actors.engine.engine_model import EngineModel
from actors.engine.residual import Edit, Places, TensorSite, places_of
from actors.errors import JobError, UnsupportedModelError
from actors.methods.contrast import Trial
from actors.prompts import Rendered
from actors.steering import SteeringHooks, SteeringTable
from actors.types import Prompt

TOKENS = 8
"""Length of the prompt that shows where the places are."""


class Everywhere:
    """The places of a loaded model, found when the first trial needs them."""

    def __init__(self, loaded: EngineModel) -> None:
        self._loaded = loaded
        self._places: Places | None = None

    def find(self, trials: Sequence[Trial], render: Callable[[Prompt], Rendered]) -> None:
        """Find the places if any of ``trials`` edits everywhere. ``JobError`` where they cannot be told in this model."""
        prompts = [prompt for trial in trials if trial.everywhere for prompt in (*trial.read, *trial.compare)]
        if self._places is not None or not prompts:
            return
        loaded = self._loaded
        try:
            self._places = places_of(loaded.model, loaded.decoder, render(prompts[0]).token_ids[-TOKENS:])
        except UnsupportedModelError as error:
            kind = loaded.model.config.model_type
            message = f"model_type {kind!r}: what its blocks add to the residual stream is not known ({error})"
            raise JobError(f"{message}: no ablation everywhere; affine ablation needs none") from error

    @contextmanager
    def edited(self, hooks: SteeringHooks) -> Iterator[None]:
        """For the duration of the ``with`` block the table's edits, which must be whole ablations, also act on the embeddings
        and on what every block adds to the stream, so that no state of it between two blocks escapes them."""
        assert self._places is not None
        embeddings = TensorSite(self._loaded.decoder.blocks[0], reads=True)
        with ExitStack() as handles:
            for layer, places in enumerate(((embeddings, *self._places[0]), *self._places[1:])):
                for place in places:
                    handles.callback(place.attach(_editing(hooks, layer)).remove)
            yield


def _editing(hooks: SteeringHooks, layer: int) -> Edit:
    def edit(value: Tensor) -> Tensor:
        assert isinstance(hooks.table, SteeringTable)  # a trial's steering has one part
        axis = hooks.table.axes.get(layer)
        if axis is None:
            return value
        rows = value.reshape(len(axis), -1, axis.shape[-1])  # some MLPs see all tokens of all rows in one line
        return hooks.table.apply(layer, rows).reshape(value.shape)

    return edit
