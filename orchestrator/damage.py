"""What a steering does beside its effect, as work: measured with the model that a cell ran with, once the cell is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

from actors.types import Prompt
from orchestrator.cells import Cell, content_id
from orchestrator.json_text import parse_json

VERSION = 2
"""Raise it when the same cell and settings would be measured otherwise."""


@dataclass(frozen=True)
class DamageSettings:
    """How damage is measured: neutral ``prompts``, at the first ``tokens`` answer tokens of each; ``answers``: the loss of so
    many first tokens of each of the cell's answers (None: of all; 0: of no answer)."""

    prompts: tuple[Prompt, ...]
    tokens: int
    answers: int | None

    @cached_property
    def content(self) -> dict[str, object]:
        """What it contributes to an identity: texts, not ids."""
        return {"prompts": [one.text for one in self.prompts], "tokens": self.tokens, "answers": self.answers, "damage": VERSION}


@dataclass(frozen=True)
class DamageItem:
    """The damage of one cell."""

    cell: Cell
    settings: DamageSettings
    kind: ClassVar[str] = "damage"

    @cached_property
    def id(self) -> str:
        """Content id; names ``analyses/damage/<id>``."""
        return content_id("damage", {"cell": self.cell.id, **self.settings.content})

    @property
    def variant(self) -> str:
        """The model that was steered."""
        return self.cell.variant

    @property
    def needs(self) -> tuple[str, ...]:
        """The answers, and the direction."""
        return (self.cell.id, *self.cell.needs)

    @property
    def rows(self) -> int:
        """Texts to read."""
        return len(self.settings.prompts) + (self.cell.rows if self.settings.answers != 0 else 0)

    @property
    def budget(self) -> int:
        """Answer tokens to read, at most."""
        most = self.cell.decoding.max_new_tokens
        limit = most if self.settings.answers is None else min(most, self.settings.answers)
        return len(self.settings.prompts) * self.settings.tokens + self.cell.rows * limit


def damage_items(cells: Iterable[Cell], settings: DamageSettings | None) -> tuple[DamageItem, ...]:
    """The damage of every cell; none where the sweep does not ask for it."""
    return () if settings is None else tuple(DamageItem(cell, settings) for cell in cells)


@dataclass(frozen=True)
class MeasuredDamage:
    """What was measured, in nats. ``kl``: of every neutral prompt KL(unsteered || steered) of the next token, the mean over its
    answer's first tokens. ``losses``: of every answer the mean negative log-likelihood per token under the unsteered model (None:
    it has no token); empty where no answer's is wanted. ``windows``: the same of the worst tokens in a row; ``spans``: of more
    of them, with bounded losses, and empty as earlier versions measured it (``actors.damage``)."""

    kl: tuple[float, ...]
    losses: tuple[float | None, ...] = ()
    windows: tuple[float | None, ...] = ()
    spans: tuple[float | None, ...] = ()

    @classmethod
    def decode(cls, content: bytes) -> MeasuredDamage:
        """What a worker gave, or a file holds; ValueError where that cannot be right."""
        found: Any = parse_json(content)
        if not isinstance(found, Mapping):
            raise ValueError("it holds no measured damage")
        parts = [found.get("kl"), found.get("losses"), found.get("windows"), found.get("spans", [])]
        if not all(isinstance(one, list) for one in parts):
            raise ValueError("it holds no measured damage")
        measured = cls(*map(tuple, parts))
        without = [one is None for one in measured.losses]
        if any([one is None for one in worst] != without for worst in (measured.windows, measured.spans or measured.windows)):
            raise ValueError("its losses and those of the worst tokens are not of the same answers")
        of_answers = (*measured.losses, *measured.windows, *measured.spans)
        for one in (*measured.kl, *(loss for loss in of_answers if loss is not None)):
            if not isinstance(one, float) or not math.isfinite(one) or one < 0:
                raise ValueError(f"{one!r} is no divergence or loss")
        return measured

    def encode(self) -> bytes:
        """The bytes of ``analyses/damage/<id>``."""
        return json.dumps(asdict(self), allow_nan=False).encode()
