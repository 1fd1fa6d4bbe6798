"""The probe for models whose rows share no batch (see ``actors.engine.alone``): every prompt of every trial on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from actors.engine.alone import AloneRunner
from actors.engine.engine_model import EngineModel
from actors.engine.everywhere import Everywhere
from actors.engine.forced import divergence
from actors.engine.rows import Row
from actors.methods.contrast import Reading, Trial
from actors.prompts import Rendered
from actors.stacks import StackBank
from actors.steering import Witness, steered
from actors.types import Prompt


class AloneProbe:
    """Runs trials (``actors.methods.contrast``) row by row; ``render`` gives a prompt's tokens."""

    def __init__(self, loaded: EngineModel, render: Callable[[Prompt], Rendered]) -> None:
        self._loaded, self._render = loaded, render
        self._everywhere = Everywhere(loaded)

    @torch.inference_mode()
    def run(self, trials: Sequence[Trial]) -> list[Reading]:
        """One reading per trial, in order. Raises ``JobError`` where edits everywhere cannot be placed in this family."""
        self._everywhere.find(trials, self._render)
        compared = dict.fromkeys(prompt for trial in trials for prompt in trial.compare)
        base = {prompt: self._last_token(prompt, Trial(None))[0] for prompt in compared}
        return [self._reading(trial, base) for trial in trials]

    def _reading(self, trial: Trial, base: dict[Prompt, Tensor]) -> Reading:
        seen = {prompt: self._last_token(prompt, trial) for prompt in dict.fromkeys((*trial.read, *trial.compare))}
        mean = kl = states = kls = None
        if trial.read:
            outputs = [_outputs(seen[prompt][1], trial) for prompt in trial.read]
            read = torch.stack([torch.cat([output[layer] for layer in trial.layers]) for output in outputs])
            mean, states = read.double().mean(dim=(0, 1)).cpu().numpy(), read.float().cpu().numpy()
        if trial.compare:
            kls = np.array([float(divergence(base[prompt], seen[prompt][0])) for prompt in trial.compare])
            kl = float(kls.mean())
        return Reading(mean, kl, states, kls) if trial.each else Reading(mean, kl)

    def _last_token(self, prompt: Prompt, trial: Trial) -> tuple[Tensor, Witness]:
        """Next-token logits ``[1, vocabulary]`` of one prompt under the trial's steering, and what the blocks put out."""
        loaded = self._loaded
        steerings = [] if trial.steering is None else [trial.steering]
        bank = StackBank(steerings, (loaded.decoder.n_layers, loaded.d_model), loaded.dtype, loaded.device)
        row = Row(0, self._render(prompt), len(steerings), None, 1)
        with loaded.packing.applied(), steered(loaded.decoder) as hooks:
            runner = AloneRunner(loaded.model, bank, hooks, loaded.device, loaded.stop_tokens)
            with self._everywhere.edited(hooks) if trial.everywhere else nullcontext():
                return runner.last_token(row)


def _outputs(witness: Witness, trial: Trial) -> dict[int, Tensor]:
    """Block outputs ``[1, d]`` per layer: as the next module reads them where the trial's edits are seen, else unedited."""
    return witness.seen if trial.everywhere or trial.in_place else witness.raw
