"""What a steering does beside its effect: how far it moves the model on neutral prompts, and how the unsteered model finds its
answers.

Both are teacher-forced: the first on the model's own unsteered greedy answers, which are made once while a model is held, the
second on the answers of a cell. Many steerings share a batch (``actors.engine.forced``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from actors.boundary import Answered, as_failure
from actors.engine.engine import Engine
from actors.engine.forced import ForcedRow
from actors.engine.rows import Row
from actors.engine.site_places import width_at
from actors.errors import NonFiniteActivationError
from actors.loading import LoadedModel
from actors.steering import check_steering
from actors.types import DamageJob, Failure, FloatArray, Prompt, Steering

WORTH_A_FORWARD = 64
"""Answer tokens to one prompt from which on that prompt runs once for all of them; fewer are not worth a forward of their own."""

WINDOW = 12
"""Answer tokens in a row of which the worst count: a mean over the whole hides where an answer breaks."""

SPAN, MOST_OF_A_TOKEN = 24, 8.0
"""As many tokens in a row of which none counts for more than so many nats: a single rare name is no breakdown."""

Tokens = tuple[int, ...]


class DamageMeter:
    """Measures damage on a loaded model, whose unsteered answers to neutral prompts it keeps."""

    def __init__(self, loaded: LoadedModel, engine: Engine) -> None:
        self._loaded, self._engine = loaded, engine
        self._neutral: dict[tuple[tuple[Prompt, ...], int], list[ForcedRow]] = {}

    def measure(self, jobs: Sequence[DamageJob]) -> Iterator[Answered | Failure]:
        """For each job ``{"kl": [...], "losses": [...], "windows": [...], "spans": [...]}`` as JSON, in nats: of every neutral
        prompt KL(unsteered || steered), the mean over its answer's first tokens; of every answer the mean negative log-likelihood
        per token under the unsteered model, the largest such mean over ``WINDOW`` tokens in a row (over all where there are
        fewer; null: there are none), and over ``SPAN``, of each of which at most ``MOST_OF_A_TOKEN`` counts. The token that ends
        an answer is not among its tokens."""
        steerings: list[Steering] = []
        rows: list[ForcedRow] = []
        for job in jobs:
            if job.steering is not None:
                loaded = self._loaded
                widths = width_at(loaded.model, loaded.decoder, loaded.d_model)
                check_steering(job.steering, loaded.decoder.n_layers, loaded.d_model, widths)
                steerings.append(job.steering)
            number = 0 if job.steering is None else len(steerings)
            rows += [replace(row, steering=number) for row in self._answered(job.neutral, job.tokens)]
        moved = iter([float(one.mean()) for one in self._engine.divergences(rows, steerings)])
        losses = self._losses({answer for job in jobs for answer in job.answers if answer[1]})
        for job in jobs:
            of_answers = [losses.get(answer, (None, None, None)) for answer in job.answers]
            found: dict[str, Sequence[float | None]] = {
                "kl": [next(moved) for _ in job.neutral],
                "losses": [mean for mean, _, _ in of_answers],
                "windows": [worst for _, worst, _ in of_answers],
                "spans": [worst for _, _, worst in of_answers],
            }
            if all(np.isfinite(one) for part in found.values() for one in part if one is not None):
                yield Answered(job.item_id, json.dumps(found, allow_nan=False).encode())
            else:
                message = "the distributions of the next token, or the losses of its answers, are not finite"
                yield as_failure(job.item_id, NonFiniteActivationError(message))

    def _answered(self, prompts: tuple[Prompt, ...], tokens: int) -> list[ForcedRow]:
        """The unsteered model's greedy answers to ``prompts``, of ``tokens`` at most; where one ends before, its end is one."""
        if (prompts, tokens) not in self._neutral:
            rows = [Row(number, self._loaded.renderer.render(one), 0, None, tokens) for number, one in enumerate(prompts)]
            for row in self._engine.run(rows, []):
                if not row.finite:
                    raise NonFiniteActivationError(f"logits are not finite for the neutral prompt {row.rendered.prompt.id}")
            end = min(self._loaded.stop_tokens, default=0)  # whichever it was: what is read is the distribution before it
            self._neutral[prompts, tokens] = [
                ForcedRow(row.rendered.token_ids, row.rendered.prefix, (*row.tokens, end)[:tokens], suffix=row.rendered.suffix)
                for row in rows
            ]
        return self._neutral[prompts, tokens]

    def _losses(self, answers: set[tuple[Prompt, Tokens]]) -> dict[tuple[Prompt, Tokens], tuple[float, float, float]]:
        """Of each of ``answers``, every one once however many cells gave it: the mean of all its tokens, and of the worst of a
        window and of a span."""
        ordered = sorted(answers, key=lambda answer: (answer[0].id, answer[0].text, answer[1]))
        held = Counter[Prompt]()
        for prompt, tokens in ordered:
            held[prompt] += len(tokens)
        rows = []
        for prompt, tokens in ordered:
            rendered = self._loaded.renderer.render(prompt)
            whole = held[prompt] >= WORTH_A_FORWARD and held[prompt] > len(tokens)
            rows.append(ForcedRow(rendered.token_ids, len(rendered.token_ids) - 1 if whole else rendered.prefix, tokens))
        found = self._engine.losses(rows)
        return {answer: _mean_and_worst(one) for answer, one in zip(ordered, found, strict=True)}


def _mean_and_worst(losses: FloatArray) -> tuple[float, float, float]:
    capped = np.minimum(losses, MOST_OF_A_TOKEN)
    return float(losses.mean(dtype=np.float64)), _worst(losses, WINDOW), _worst(capped, SPAN)


def _worst(losses: FloatArray, tokens: int) -> float:
    """The largest mean over so many in a row."""
    return float(sliding_window_view(losses, min(tokens, len(losses))).mean(1, dtype=np.float64).max())
