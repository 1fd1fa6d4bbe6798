"""What a page is made of, whatever it is written as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from orchestrator.report.browser.packing import PackedAnswers
from orchestrator.report.report_table import ReportTable


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: tuple[str, ...]


Row: TypeAlias = Mapping[str, object]
"""A row of tidy data: names and numbers, None for what there is not. Rates and their intervals are from 0 to 1."""


@dataclass(frozen=True)
class Picture:
    """A panel of a figure: its ``path`` relative to the page, the panel, and in words what it shows."""

    path: Path
    svg: str
    about: str


@dataclass(frozen=True)
class Figure:
    """Panels beside each other: in words how to read them, and the ``rows`` of which they are made, which lie in ``data``."""

    about: str
    pictures: tuple[Picture, ...]
    rows: tuple[Row, ...]
    data: Path


@dataclass(frozen=True)
class Quote:
    """Text that a model or a person wrote, of which at most ``limit`` characters are shown."""

    text: str
    limit: int


@dataclass(frozen=True)
class Fold:
    """What a reader opens when interested; ``level`` is its heading's where pages have no folds."""

    level: int
    title: str
    blocks: tuple[Block, ...]


Block: TypeAlias = Heading | Paragraph | Bullets | ReportTable | Figure | Quote | Fold | PackedAnswers
