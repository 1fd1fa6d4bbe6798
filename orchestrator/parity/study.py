"""What a parity study is asked for, and the items that it takes: each a job of a worker, whose file is named by its content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from math import floor
from pathlib import Path
from typing import ClassVar

from actors.parity.grouping import MOST
from actors.parity.jobs import (
    Classes,
    MistakesJob,
    ParityJob,
    RatesJob,
    ReadJob,
    Setting,
    SitesJob,
    SteeringMistakesJob,
    SteeringPlace,
    SteerJob,
)
from actors.parity.tools import TOOLS
from actors.types import DType, ModelSpec, Prompt
from orchestrator.behaviors import NEUTRAL, load_prompts
from orchestrator.cells import content_id, model_identity, variant_id
from orchestrator.parity.effort import Effort, effort_of
from orchestrator.parity.planned import OTHER_DTYPE, PlannedParity

PROTOCOL = 1
"""Raise it when a file of a study would hold something else."""
REFERENCE = "hooks"
"""The tool that every reading is compared with: plain hooks, one prompt at a time."""
REPEATS = 3
"""How often every tool reads the same."""
SITES_PROMPTS = 4
"""Prompts at which the candidate sites are read, half of each class."""
BATCHES = (2, 3, 4, 5, 6, 7, 8, 16, 32, 64)
"""Prompts per forward that a mistake is planted with, where it depends on them."""
RATED_PROMPTS, RATED_TOKENS, RATED_NEUTRAL = 10, 48, 8
"""Test prompts that are answered with the direction of every planted mistake, tokens of an answer at most, neutral prompts."""
STEERED_PROMPTS = 4
"""Test prompts that are answered to see whether tools steer alike."""
STEERED_DEPTH = 0.6
"""Where the direction is added, as a share of the blocks: the paper's depth."""
STRENGTH = 2.0
"""How many times as long as the direction is."""
ATTENTIONS = ("eager", "sdpa")
DTYPES: tuple[DType, ...] = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class ParityItem:
    """One job on one form of the model, and what it is of, in words: a work item too."""

    title: str
    spec: ModelSpec
    job: ParityJob
    kind: ClassVar[str] = "parity"
    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def id(self) -> str:
        """Names its file."""
        return self.job.item_id

    @property
    def variant(self) -> str:
        """The model that is read."""
        return variant_id(self.spec)

    @cached_property
    def effort(self) -> Effort:
        """About how much it is."""
        return effort_of(self.job)

    @property
    def rows(self) -> int:
        """Prompts that are run, about."""
        return self.effort.rows

    @property
    def budget(self) -> int:
        """Tokens that are read and written, about."""
        return self.effort.read + self.effort.written


@dataclass(frozen=True)
class ParityStudy:
    """The model, the contrast prompts of a behavior, the tools by name, and the user's ``own`` commands by theirs.

    ``faults``: plant the known mistakes, of reading and of steering, with ``pairs`` also by two.
    ``dtypes``: in which the model is read beside its own.
    ``rated``: what is answered with the direction of every planted mistake (None: nothing).
    ``place``: where the direction is added, to see whether the tools steer alike (None: they are not asked to).
    """

    spec: ModelSpec
    behavior: str
    classes: Classes
    tools: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faults: bool = True
    pairs: bool = True
    dtypes: tuple[DType, ...] = DTYPES
    place: SteeringPlace | None = None
    rated: RatesJob | None = None

    @cached_property
    def reference(self) -> ParityItem:
        """The reading that all others are compared with."""
        return self._reading(REFERENCE, Setting())

    @cached_property
    def readings(self) -> Mapping[tuple[str, int], ParityItem]:
        """Every tool, reading one prompt at a time and all of a class together, by its name and the batch."""
        found = {}
        for batch in dict.fromkeys((1, self.batch)):
            for tool in self.tools:
                found[tool, batch] = self._reading(tool, Setting(batch))
            for name, command in self.own.items():
                found[name, batch] = self._reading(name, Setting(batch), command)
        return found

    @cached_property
    def settings(self) -> Mapping[str, ParityItem]:
        """The reference tool in every setting that a right reading may have, by what is other than in the reference."""
        found = {
            f"{self.batch} prompts per forward, padded on the left": self._reading(REFERENCE, Setting(self.batch)),
            f"{self.batch} prompts per forward, padded on the right": self._reading(REFERENCE, Setting(self.batch, "right")),
        }
        for attention in ATTENTIONS:
            found[f"attention {attention}"] = self._reading(REFERENCE, Setting(attention=attention))
        for dtype in self.dtypes:
            if dtype != self.spec.dtype and self.spec.quantization == "none":
                found[OTHER_DTYPE + dtype] = self._reading(REFERENCE, Setting(), spec=replace(self.spec, dtype=dtype))
        return found

    @cached_property
    def sites(self) -> ParityItem:
        """The candidate sites."""
        half = SITES_PROMPTS // 2
        prompts = (*self.classes.positive[:half], *self.classes.negative[:half])
        job = SitesJob("", prompts)
        return self._named("candidate sites", self.spec, job, {"prompts": [one.content for one in prompts]})

    @property
    def sites_rows(self) -> list[int]:
        """Which prompts of a reading those of the sites are."""
        half, positive = SITES_PROMPTS // 2, len(self.classes.positive)
        return [*range(min(half, positive)), *range(positive, positive + min(half, len(self.classes.negative)))]

    @cached_property
    def mistakes(self) -> ParityItem | None:
        """The planted mistakes."""
        if not self.faults:
            return None
        batches = tuple(sorted({size for size in (*BATCHES, self.batch) if 1 < size <= self.batch}))
        job = MistakesJob("", self.classes, batches, self.pairs)
        content = {**self.classes.content, "batches": list(batches), "pairs": self.pairs, "parts": MOST}
        return self._named("planted mistakes", self.spec, job, content)

    @cached_property
    def steered(self) -> Mapping[str, ParityItem]:
        """Every tool that adds a direction, by its name."""
        if self.place is None:
            return {}
        names = [tool for tool in self.tools if TOOLS[tool].steers or TOOLS[tool].steering_script]
        found = {tool: self._steering(tool, self.place) for tool in names}
        return found | {name: self._steering(name, self.place, command) for name, command in self.own.items()}

    @cached_property
    def steering_mistakes(self) -> ParityItem | None:
        """Steering right, and with ``faults`` with every known mistake."""
        if self.place is None:
            return None
        title = "steering, right and with planted mistakes" if self.faults else "steering right"
        content = {**self.place.content, **({} if self.faults else {"mistakes": False})}
        return self._named(title, self.spec, SteeringMistakesJob("", self.place, self.faults), content)

    @cached_property
    def rates(self) -> ParityItem | None:
        """What the model answers with the direction of every planted mistake."""
        job = self.rated
        if job is None:
            return None
        content = {
            **job.classes.content,
            "prompts": [one.content for one in job.prompts],
            "neutral": [one.content for one in job.neutral],
            "rates": [job.layer, job.multiplier, job.tokens, job.neutral_tokens],
        }
        return self._named("answers with the directions of planted mistakes", self.spec, job, content)

    @property
    def batch(self) -> int:
        """All prompts of the larger class."""
        return max(len(self.classes.positive), len(self.classes.negative))

    def planned(self, model: str) -> PlannedParity:
        """Where its files lie; ``model``: its name."""
        place = self.place
        return PlannedParity(
            model=model,
            behavior=self.behavior,
            dtype=self.spec.dtype,
            prompts=(len(self.classes.positive), len(self.classes.negative)),
            reference=self.reference.id,
            sites=self.sites.id,
            sites_rows=tuple(self.sites_rows),
            readings={
                name: (item.id, self.readings[name, self.batch].id) for (name, batch), item in self.readings.items() if batch == 1
            },
            settings={title: item.id for title, item in self.settings.items()},
            mistakes=self.mistakes.id if self.mistakes is not None else "",
            steered={name: item.id for name, item in self.steered.items()},
            steering_mistakes=self.steering_mistakes.id if self.steering_mistakes is not None else "",
            layer=0 if place is None else place.layer,
            strength=0.0 if place is None else place.strength,
            rates=self.rates.id if self.rates is not None else "",
            multiplier=0.0 if self.rated is None else self.rated.multiplier,
            rated_layer=0 if self.rated is None else self.rated.layer,
        )

    @property
    def items(self) -> Sequence[ParityItem]:
        """All there is to do, each once, those of one form of the model together."""
        wanted = [self.reference, self.sites, *self.readings.values(), *self.settings.values()]
        wanted += [
            *self.steered.values(),
            *(one for one in (self.mistakes, self.steering_mistakes, self.rates) if one is not None),
        ]
        return list({item.id: item for item in wanted}.values())

    def _reading(self, tool: str, setting: Setting, command: tuple[str, ...] = (), spec: ModelSpec | None = None) -> ParityItem:
        apart = command or TOOLS[tool].script
        repeats = (2 if apart else REPEATS) if setting == Setting() else 1
        job = ReadJob("", self.classes, tool, command, setting, repeats)
        content = {
            **self.classes.content,
            "tool": "command" if command else tool,
            "command": list(_command_content(command)),
            "script": [] if command else TOOLS[tool].content(TOOLS[tool].script),
            "setting": [setting.batch, setting.padding, setting.attention],
            "repeats": repeats,
        }
        return self._named(f"{tool}, {setting.words}", self.spec if spec is None else spec, job, content)

    def _steering(self, tool: str, place: SteeringPlace, command: tuple[str, ...] = ()) -> ParityItem:
        content = {
            **place.content,
            "tool": "command" if command else tool,
            "command": list(_command_content(command)),
            "script": [] if command else TOOLS[tool].content(TOOLS[tool].steering_script),
        }
        return self._named(f"{tool}, steering", self.spec, SteerJob("", place, tool, command), content)

    def _named(self, title: str, spec: ModelSpec, job: ParityJob, content: Mapping[str, object]) -> ParityItem:
        identity = {
            "protocol": PROTOCOL,
            "job": type(job).__name__,
            "model": model_identity(spec),
            "libraries": {package: version(package) for package in ("torch", "transformers", "nnsight")},
            **content,
        }
        return ParityItem(title, spec, replace(job, item_id=content_id("parity", identity)))


def steering_place(classes: Classes, tests: Sequence[Prompt], n_layers: int) -> SteeringPlace | None:
    """Where a study adds the direction of ``classes``; None without prompts to answer."""
    if not tests:
        return None
    return SteeringPlace(classes, tuple(tests[:STEERED_PROMPTS]), floor(STEERED_DEPTH * n_layers), STRENGTH)


def rated_answers(classes: Classes, tests: Sequence[Prompt], n_layers: int, multiplier: float) -> RatesJob:
    """What is answered at the usual depth with the direction of every planted mistake."""
    neutral = tuple(load_prompts(NEUTRAL)[:RATED_NEUTRAL])
    layer = floor(STEERED_DEPTH * n_layers)
    return RatesJob("", classes, tuple(tests[:RATED_PROMPTS]), layer, multiplier, RATED_TOKENS, neutral)


def _command_content(command: Sequence[str]) -> Iterator[str]:
    """The words of a command; of one that is a file also a digest of what it holds, so that a changed script runs anew."""
    for word in command:
        yield word
        if (path := Path(word)).is_file() and path.suffix:
            yield hashlib.sha256(path.read_bytes()).hexdigest()
