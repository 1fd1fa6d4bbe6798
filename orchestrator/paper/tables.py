"""The paper's tables as data: what it prints, and every rate in it as a measurement with its condition and its counts.

Source: Mohammad & Mohammad, "Inverse Scaling in Activation Steering", February 20, 2026. The data are in ``tables.yaml``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from orchestrator.errors import InputError, Problem, nearest_name


@dataclass(frozen=True)
class PaperModel:
    """A model of the paper's Table 1: its name in the tables, its hub repository, and how many blocks it has."""

    name: str
    repo: str
    n_layers: int


MODELS = {
    "qwen-3b": PaperModel("Qwen 3B", "Qwen/Qwen2.5-3B-Instruct", 36),
    "qwen-7b": PaperModel("Qwen 7B", "Qwen/Qwen2.5-7B-Instruct", 28),
    "qwen-14b": PaperModel("Qwen 14B", "Qwen/Qwen2.5-14B-Instruct", 48),
    "qwen-32b": PaperModel("Qwen 32B", "Qwen/Qwen2.5-32B-Instruct", 64),
    "gemma-2b": PaperModel("Gemma 2B", "google/gemma-2-2b-it", 26),
    "gemma-9b": PaperModel("Gemma 9B", "google/gemma-2-9b-it", 42),
    "gemma-27b": PaperModel("Gemma 27B", "google/gemma-2-27b-it", 46),
    "mistral-7b": PaperModel("Mistral 7B", "mistralai/Mistral-7B-Instruct-v0.3", 32),
}


@dataclass(frozen=True)
class Span:
    """An interval as printed: its ends, and how many decimals they are given with."""

    low: float
    high: float
    decimals: int

    @classmethod
    def of(cls, text: str) -> Span:
        """From ``a to b``."""
        low, high = text.split(" to ")
        return cls(float(low), float(high), max(decimals_of(low), decimals_of(high)))

    def __str__(self) -> str:
        return f"[{self.low:.{self.decimals}f}, {self.high:.{self.decimals}f}]"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One rate of a table with its condition. Rates are in percent as printed; None is what the paper does not say.

    ``model`` and ``origin`` (where the direction comes from, if from another model) are keys of ``MODELS``. ``layer`` is
    0-based, ``depth`` in percent; ``selected``: the method chose the layer. ``quantization`` is ``none`` for FP16 and BF16.
    ``n_from`` says where n is from when the table does not print it. ``control``: the rate under TE's fraction bar.
    ``norm``: of the raw direction; ``cosine``: with DIM's direction (Table 7) or with FP16's (Table 8).
    """

    table: str
    model: str
    origin: str | None = None
    steered: bool = True
    method: str = "dim"
    selected: bool = False
    layer: int | None
    depth: int | None = None
    multiplier: float | None = None
    quantization: str = "none"
    extractor: str | None = None
    n: int | None = None
    n_from: str | None = None
    coherent: float
    garbled: float | None = None
    normal: float | None = None
    interval: Span | None = None
    te: str | None = None
    te_interval: Span | None = None
    control: float | None = None
    norm: float | None = None
    cosine: float | None = None
    cross_cosine: float | None = None

    def count(self, label: str) -> int | None:
        """Responses with ``label``: n times the printed rate; None where either is not known."""
        rates = {"coherent_refusal": self.coherent, "garbled": self.garbled, "normal": self.normal}
        rate = rates[label]
        return None if rate is None or self.n is None else round(rate * self.n / 100)

    @property
    def counts(self) -> tuple[int, int] | None:
        """Coherent refusals and n; None where the paper gives no n."""
        k = self.count("coherent_refusal")
        return None if k is None or self.n is None else (k, self.n)

    @property
    def condition(self) -> str:
        """The condition in words: ``Qwen 32B int8 L32 x 15``."""
        words = [MODELS[self.model].name]
        if self.origin is not None:
            words = [f"{MODELS[self.origin].name} -> {words[0]}"]
        if not self.steered:
            return f"{words[0]} unsteered"
        words += [] if self.method == "dim" else [self.method.upper()]
        words += [] if self.quantization == "none" else [self.quantization]
        words += [] if self.extractor is None else [f"read by {self.extractor}"]
        words.append(f"~{self.depth} %" if self.layer is None else f"L{self.layer}")
        return " ".join(words) + ("" if self.multiplier is None else f" x {self.multiplier:g}")


@dataclass(frozen=True)
class PaperRow:
    """A printed row, cell by cell, and what it measured."""

    printed: tuple[str, ...]
    measured: tuple[Measurement, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table: ``table`` is its number, or a word for the few things that stand in the text or in a table without number."""

    table: str
    section: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]

    @property
    def title(self) -> str:
        """``Table 8``, or the word; and its section."""
        return f"{table_name(self.table)} (section {self.section})"

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """Every measurement of the table, in the order of its rows."""
        return tuple(one for row in self.rows for one in row.measured)


@lru_cache(maxsize=1)
def paper_tables() -> tuple[PaperTable, ...]:
    """Tables 1-17, then those without a number."""
    content: list[dict[str, Any]] = yaml.safe_load(data_text("tables.yaml"))
    return tuple(_table(one) for one in content)


def chosen_tables(names: Sequence[str]) -> tuple[PaperTable, ...]:
    """The tables of ``names`` (``8``, ``table 8``, ``mistral``), all for none. InputError for a name that there is not."""
    tables = {one.table: one for one in paper_tables()}
    wanted = [name.casefold().removeprefix("table").strip() for name in names]
    unknown = [
        Problem("--paper", name, "the paper has no such table", ", ".join(tables), nearest_name(name, tables))
        for name in wanted
        if name not in tables
    ]
    if unknown:
        raise InputError(*unknown)
    return tuple(tables[name] for name in wanted) or tuple(tables.values())


def table_name(table: str) -> str:
    """``Table 8``, or the word for what has no number."""
    return f"Table {table}" if table.isdigit() else table


def data_text(name: str) -> str:
    """A data file of this package."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def decimals_of(number: str) -> int:
    """Digits after the point."""
    return len(number.partition(".")[2])


def _table(content: dict[str, Any]) -> PaperTable:
    shared: dict[str, Any] = {"table": content["table"], **content.get("shared", {})}
    rows = tuple(
        PaperRow(tuple(row["printed"]), tuple(_measurement({**shared, **one}) for one in row.get("measured", [])))
        for row in content["rows"]
    )
    return PaperTable(content["table"], content["section"], content["caption"], tuple(content["columns"]), rows)


def _measurement(content: dict[str, Any]) -> Measurement:
    spans: dict[str, Any] = {key: Span.of(content[key]) for key in ("interval", "te_interval") if key in content}
    return Measurement(**{**content, **spans})
