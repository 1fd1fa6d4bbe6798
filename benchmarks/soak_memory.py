"""Memory of a run's processes over its cells: read from the system once a second, and what follows from the readings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil
from scipy.stats import t

MEBIBYTE = 2**20
BLOCKS = 10
"""The second half is cut into so many parts of equal length; the slope is fitted to their means, which depend on each other less
than single readings do."""

NEAR = 0.02
"""Memory at a share of the cells is the median over the readings within this share of it."""

MOST_SLOPE = 1.0
MOST_GROWTH = 0.05
"""Flat: below so many MiB per 1,000 cells over the second half (the upper end of the interval), and grown by less than this share
from 25 % to 100 % of the cells."""

REST = "Ray's own processes"
TRACKING = "W&B's process"


@dataclass(frozen=True)
class Use:
    """Bytes of a process, or of several together: ``resident`` counts what it shares with others, ``own`` does not."""

    resident: int
    own: int

    def __add__(self, other: Use) -> Use:
        return Use(self.resident + other.resident, self.own + other.own)


@dataclass(frozen=True)
class Reading:
    """What every process used when ``cells`` cells were stored, ``seconds`` after the start."""

    seconds: float
    cells: int
    uses: Mapping[str, Use]


@dataclass(frozen=True)
class Slope:
    """MiB per 1,000 cells, with half the width of its 95 % interval."""

    per_thousand: float
    plus_minus: float

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.per_thousand + self.plus_minus


@dataclass(frozen=True)
class Series:
    """One process (or group) over the run: MiB of its own memory and resident, by cells stored, ascending."""

    name: str
    cells: tuple[int, ...]
    own: tuple[float, ...]
    resident: tuple[float, ...]

    @property
    def total(self) -> int:
        """Cells at its last reading."""
        return self.cells[-1]

    def at(self, share: float, resident: bool = False) -> float:
        """MiB at ``share`` of the cells."""
        wanted, values = share * self.total, self.resident if resident else self.own
        near = [value for cells, value in zip(self.cells, values, strict=True) if abs(cells - wanted) <= NEAR * self.total]
        return statistics.median(near or [values[min(range(len(values)), key=lambda n: abs(self.cells[n] - wanted))]])

    @property
    def growth(self) -> float:
        """By what share its own memory grew from 25 % to 100 % of the cells."""
        return self.at(1.0) / self.at(0.25) - 1

    @property
    def slope(self) -> Slope:
        """Over the second half of the cells."""
        return slope([(cells, own) for cells, own in zip(self.cells, self.own, strict=True) if 2 * cells >= self.total])

    @property
    def verdict(self) -> str:
        """``flat`` or ``not flat``."""
        return "flat" if self.slope.high < MOST_SLOPE and self.growth < MOST_GROWTH else "not flat"


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Of (cells, MiB), by least squares over the means of ``BLOCKS`` parts; infinitely uncertain for fewer than three parts."""
    first, last = points[0][0], points[-1][0]
    width = (last - first) / BLOCKS or 1.0
    parts: dict[int, list[tuple[float, float]]] = {}
    for point in points:
        parts.setdefault(min(BLOCKS - 1, int((point[0] - first) / width)), []).append(point)
    if len(parts) < 3:
        return Slope(0.0, math.inf)
    means = [(statistics.fmean(x for x, _ in part), statistics.fmean(y for _, y in part)) for part in parts.values()]
    return _fitted(means)


def _fitted(points: Sequence[tuple[float, float]]) -> Slope:
    """Least squares, with Student's interval of the slope; exact for points on a line, a level one included."""
    n, x_mean, y_mean = len(points), statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    found = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    left = sum((y - y_mean - found * (x - x_mean)) ** 2 for x, y in points)
    error = math.sqrt(left / (n - 2) / spread)
    return Slope(1000 * found, 1000 * error * float(t.ppf(0.975, n - 2)))


def series_of(readings: Sequence[Reading], least: float = 0.5) -> list[Series]:
    """One for each process that was there for at least this share of the readings. Readings before the first cell and after
    the last one count for nobody: what starts and what ends a run is no part of its steady state."""
    steady = [one for n, one in enumerate(readings) if one.cells and (not n or readings[n - 1].cells < readings[-1].cells)]
    names = dict.fromkeys(name for one in steady for name in one.uses)
    there = {name: [one for one in steady if name in one.uses] for name in names}
    return [
        Series(
            name,
            tuple(one.cells for one in seen),
            tuple(one.uses[name].own / MEBIBYTE for one in seen),
            tuple(one.uses[name].resident / MEBIBYTE for one in seen),
        )
        for name, seen in there.items()
        if len(seen) >= least * len(steady)
    ]


def uses_of(driver: psutil.Process) -> dict[str, Use]:
    """What the driver, each of its workers, and the other processes below it use now."""
    found: dict[str, Use] = {}
    for process in (driver, *_below(driver)):
        try:
            name = "driver" if process == driver else _role(process)
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        use = Use(memory.rss, memory.uss)
        found[name] = found[name] + use if name in found else use
    return found


def _below(process: psutil.Process) -> Iterator[psutil.Process]:
    try:
        yield from process.children(recursive=True)
    except psutil.NoSuchProcess:
        return


def _role(process: psutil.Process) -> str:
    title = " ".join(process.cmdline()[:1])
    if title.startswith("ray::RemoteWorker"):
        return f"worker {process.pid}"
    return TRACKING if "wandb" in title else REST
