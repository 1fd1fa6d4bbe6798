"""Which probe tries a trial's steerings on a model: many prompts together, or each alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from actors.engine.alone_probe import AloneProbe
from actors.engine.engine_model import EngineModel
from actors.engine.outliers import outlier_threshold
from actors.engine.probe import EngineProbe
from actors.engine.rotary import Rotary
from actors.methods.contrast import Probe, Reading, Trial
from actors.prompts import Rendered
from actors.types import Prompt


def probe_of(loaded: EngineModel, render: Callable[[Prompt], Rendered]) -> Probe:
    """The probe for a model; ``render`` gives a prompt's tokens."""
    alone = AloneProbe(loaded, render)
    if loaded.decoder.runs_alone or loaded.decoder.borrows or outlier_threshold(loaded.model) > 0:
        return alone
    rotary = Rotary.of(loaded.model)
    together = EngineProbe(loaded, render)
    return together if rotary.limit is None else _ByLength(rotary, together, alone, render)


class _ByLength:
    """Prompts together, but alone as soon as one of them is so long that it changes the rotary frequencies of the others."""

    def __init__(self, rotary: Rotary, together: Probe, alone: Probe, render: Callable[[Prompt], Rendered]) -> None:
        self._rotary, self._together, self._alone, self._render = rotary, together, alone, render

    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """One reading per trial, in order."""
        prompts = dict.fromkeys(prompt for trial in trials for prompt in (*trial.read, *trial.compare))
        short = all(self._rotary.shares(len(self._render(prompt).token_ids)) for prompt in prompts)
        self._rotary.restore()
        return (self._together if short else self._alone).run(trials)
