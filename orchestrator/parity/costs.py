"""What each planted mistake costs: how often steering with its direction succeeds, and what it does beside, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.types import Response
from orchestrator.statistics import Interval, Mean, mean_of, wilson

Succeeds = Callable[[Sequence[Response]], Sequence[bool]]
"""Which responses show the behavior."""


@dataclass(frozen=True)
class MistakeCost:
    """Of a direction by the ``names`` of its mistakes (none: clean; None: unsteered): ``successes`` of ``n`` answers with the
    Wilson interval of the rate, and the mean KL(unsteered || steered) on neutral prompts, in nats, with its interval."""

    names: tuple[str, ...] | None
    successes: int
    n: int
    rate: Interval
    kl: Mean

    @property
    def title(self) -> str:
        """In words."""
        return "unsteered" if self.names is None else " + ".join(self.names) or "clean"


def read_costs(found: Mapping[str, npt.NDArray[Any]], succeeds: Succeeds) -> list[MistakeCost]:
    """Of a file of answers, in its order: unsteered, clean, then every mistake."""
    told = []
    for label, answers, moved in zip(found["labels"], found["responses"], found["kl"], strict=True):
        named = json.loads(str(label))
        responses = [Response(**{**one, "token_ids": tuple(one["token_ids"])}) for one in json.loads(str(answers))]
        successes = sum(succeeds(responses))
        kl = np.asarray(moved, np.float64).tolist()
        told.append(
            MistakeCost(
                None if named is None else tuple(named[:-1]),
                successes,
                len(responses),
                wilson(successes, len(responses)),
                mean_of(kl, [str(number) for number in range(len(kl))], within=(0.0, None)),
            )
        )
    return told
