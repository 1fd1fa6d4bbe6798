"""The behaviors of a sweep file: which prompts of a file are used, and how they are dealt into splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from actors.types import Prompt
from orchestrator.behaviors import Behavior, BehaviorFile, SetUse, TestPrompt, read_behavior
from orchestrator.behaviors.sets import SETS
from orchestrator.errors import InputError, nearest_entry, why_no_file
from orchestrator.sweep_file.models import absolute
from orchestrator.sweep_file.schema import BehaviorEntry, SetEntry, Splits
from orchestrator.sweep_file.sections import Path as Steps
from orchestrator.sweep_file.sections import Sections

WARNED = 5
"""Near duplicates of one behavior that are named; `behavior check` has them all."""


@dataclass(frozen=True)
class BehaviorPrompts:
    """A behavior whose ``test`` prompts are the selected ones; ``warnings`` name near duplicates of extraction prompts.

    ``key`` is its key in the file; ``behavior.name`` the key and, where a grid takes one split of it, ``/split``.
    """

    behavior: Behavior
    warnings: tuple[str, ...]
    key: str

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """The test prompts as they cross the wire."""
        return tuple(Prompt(prompt.id, prompt.text) for prompt in self.behavior.test)

    @cached_property
    def categories(self) -> dict[str, str]:
        """Of the test prompts that have one, by their ids."""
        return {prompt.id: prompt.category for prompt in self.behavior.test if prompt.category is not None}


class BehaviorFiles:
    """The behaviors of one sweep file; each file is read once."""

    def __init__(self, top: Sections, folder: Path) -> None:
        self._top, self._folder = top, folder
        self._entries = dict(top.entries("behaviors", BehaviorEntry))
        self._whole = {key: found for key, entry in self._entries.items() if (found := self._load(key, entry))}

    @property
    def known(self) -> list[str]:
        """The keys in the file, usable or not."""
        return list(self._top.raw("behaviors"))

    def selected(self, key: str, split: str | None, at: Steps) -> BehaviorPrompts | None:
        """The prompts of a behavior; ``split``: those of that split, as the grid at ``at`` asks. None when it is not usable."""
        behavior = self._whole.get(key)
        if behavior is None:
            return None
        entry = self._entries[key]
        test = self._chosen(key, entry, behavior)
        wanted, where = (split, (*at, "split")) if split is not None else (entry.split, ("behaviors", key, "split"))
        if wanted is not None:
            test = self._of_split(test, wanted, where)
        elif not test:
            self._top.report(("behaviors", key), "the selection leaves no test prompts", allowed="prompts that there are")
        behavior = replace(behavior, name=key if split is None else f"{key}/{split}", test=self._limited(entry, test))
        return BehaviorPrompts(behavior, _near_duplicates(key, behavior), key)

    def contrast(self, key: str) -> Behavior | None:
        """A behavior as its file has it, for its contrast prompts. None when it is not usable."""
        return self._whole.get(key)

    def _load(self, key: str, entry: BehaviorEntry) -> Behavior | None:
        sources = [
            None if entry.file is None else self._file(key, "file", entry.file),
            None if entry.published is None else self._set(key, entry.published),
            None if entry.test is None else self._file(key, "test", entry.test),
        ]
        there = [one for one in sources if one is not None]
        if len(there) < sum(one is not None for one in (entry.file, entry.published, entry.test)):
            return None
        try:
            return read_behavior(key, there[0], there[1] if there[1:] else None, entry.holdout).behavior
        except InputError as error:
            self._tell(key, error)
            return None

    def _set(self, key: str, entry: SetEntry) -> SetUse | None:
        if entry.name in SETS:
            return SetUse(entry.name, tuple(Path(absolute(self._folder, one)) for one in entry.files or ()), entry.sha256)
        self._top.report_unknown(("behaviors", key, "set"), entry.name, "published set", list(SETS))
        return None

    def _tell(self, key: str, error: InputError) -> None:
        """Of a set that cannot be had the place in the sweep file; what is wrong in a file has its own."""
        for one in error.problems:
            if one.file is None:
                self._top.report(("behaviors", key, one.field), one.message, one.value, allowed=one.allowed)
            else:
                self._top.problems.append(one)

    def _file(self, key: str, field: str, written: str) -> BehaviorFile | None:
        path = Path(absolute(self._folder, written))
        if path.is_file():
            return BehaviorFile(path, os.path.normpath(Path(self._top.document.file).parent / written))
        near = nearest_entry(path)
        nearest = near and os.path.join(os.path.dirname(written), near)
        allowed = "a file of prompts: JSONL, JSON, CSV or TSV"
        self._top.report(("behaviors", key, field), why_no_file(path), written, allowed=allowed, nearest=nearest)
        return None

    def _chosen(self, key: str, entry: BehaviorEntry, behavior: Behavior) -> tuple[TestPrompt, ...]:
        """The prompts that the entry lists by id, each with its split."""
        known = [prompt.id for prompt in behavior.test]
        for number, name in enumerate(entry.prompts or ()):
            if name not in known:
                self._top.report_unknown(("behaviors", key, "prompts", number), name, "test prompt", known)
        test = tuple(prompt for prompt in behavior.test if entry.prompts is None or prompt.id in entry.prompts)
        if entry.splits is None:
            return test
        for name, ids in entry.splits.prompts.items():
            for number, prompt_id in enumerate(ids):
                if prompt_id not in known:
                    at = ("behaviors", key, "splits", name, number)
                    self._top.report_unknown(at, prompt_id, "test prompt", known)
        if (
            entry.published is not None and len({prompt.split for prompt in test}) == 1
        ):  # a half that is the whole tells nothing apart
            test = tuple(replace(prompt, split=None) for prompt in test)
        return dealt(test[: entry.limit], entry.splits)

    def _of_split(self, test: tuple[TestPrompt, ...], wanted: str, at: Steps) -> tuple[TestPrompt, ...]:
        chosen = tuple(prompt for prompt in test if prompt.split == wanted)
        if not chosen:
            splits = sorted({prompt.split for prompt in test if prompt.split is not None})
            allowed = ", ".join(splits) or "no split is given in the file: deal prompts with splits: {select: 0.5, report: 0.5}"
            self._top.report(at, "no test prompt is of this split", wanted, allowed=allowed)
            return test
        return chosen

    def _limited(self, entry: BehaviorEntry, test: tuple[TestPrompt, ...]) -> tuple[TestPrompt, ...]:
        return test if entry.splits is not None else test[: entry.limit]


def _near_duplicates(key: str, behavior: Behavior) -> tuple[str, ...]:
    repeated: dict[str, str] = {}
    for one, test in behavior.near_duplicates():
        repeated.setdefault(test, one)
    if not repeated:
        return ()
    named = ", ".join(f"{test} repeats {one}" for test, one in list(repeated.items())[:WARNED])
    told = f"behavior {key}: {len(repeated)} of {len(behavior.test)} test prompts nearly repeat an extraction prompt: {named}"
    return (f"{told}, ..." if len(repeated) > WARNED else told,)


def dealt(test: Sequence[TestPrompt], splits: Splits) -> tuple[TestPrompt, ...]:
    """``test`` with a split for every prompt that a split takes; a split that the file gives is kept.

    By shares: the prompts without a split are put in an order that follows from the seed and their texts alone, and cut:
    ``round`` of the cumulated share times their number. The same file and seed give the same splits on every machine.
    """
    if splits.prompts:
        of = {prompt_id: name for name, ids in splits.prompts.items() for prompt_id in ids}
        return tuple(replace(prompt, split=prompt.split or of.get(prompt.id)) for prompt in test)
    free = sorted((prompt for prompt in test if prompt.split is None), key=lambda prompt: _draw(prompt, splits.seed))
    taken: dict[str, str] = {}
    start, cumulated = 0, 0.0
    for name, share in splits.shares.items():
        cumulated += share
        end = round(cumulated * len(free))
        taken |= {prompt.id: name for prompt in free[start:end]}
        start = end
    return tuple(replace(prompt, split=prompt.split or taken.get(prompt.id)) for prompt in test)


def _draw(prompt: Prompt, seed: int) -> str:
    return hashlib.sha256(f"{seed}\n{prompt.text}".encode()).hexdigest()
