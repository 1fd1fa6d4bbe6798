"""``driver.json``: what a driver says of itself every few seconds, and what a reader elsewhere may conclude from it.

Only the driver writes it, whole, so a reader sees one beat or another, never half of one.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeVar

from actors.use import Use
from orchestrator.duration import duration
from orchestrator.storage import Readable, UnreadableFileError

BEAT_SECONDS = 2.0
SILENT_SECONDS = 60.0
"""After so long without a beat a driver on another machine is told to be silent: network filesystems show files late."""

VERSION = 1

DriverState = Literal[
    "starting",
    "running",
    "pausing",
    "paused",
    "finished",
    "interrupted",
    "too many failures",
    "cluster lost",
    "damaged",
    "refused",
    "stopped",
    "crashed",
]
"""What the driver said last. ``pausing``: asked to pause, workers are finishing what they have. ``damaged``: the results on the
disk are not what it wrote there. ``refused``: what was asked for cannot be run. ``stopped``: the machine did not let it go on.
``crashed``: an error that nobody foresaw."""

UNABLE: tuple[str, ...] = ("refused", "stopped", "crashed")
"""How a driver ends that an error has ended."""

ENDED: tuple[str, ...] = ("finished", "interrupted", "too many failures", "cluster lost", "damaged", *UNABLE)

Condition = Literal["no driver", "running", "silent", "dead", "ended"]
"""What a reader makes of it. ``dead``: its process is gone without a word; ``silent``: nobody knows, its beats have stopped."""


_Kind = TypeVar("_Kind", "Beat", "WorkerNow", Use)


@dataclass(frozen=True)
class WorkerNow:
    """What a worker does: ``does`` is ``load``, ``extract``, ``generate`` or ``idle``, for ``seconds``; ``items`` are left of its
    piece, ``item`` is the next of them; ``model`` by its id; ``host`` is its machine; ``use``: what its process uses (None: not
    said yet)."""

    worker: str
    does: str
    model: str
    items: int
    item: str
    seconds: float
    host: str = ""
    use: Use | None = None


@dataclass(frozen=True)
class Rate:
    """How fast one model variant goes; None before its first cell."""

    variant: str
    tokens_per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Beat:
    """One beat. Times are seconds since the epoch by the driver's clock; ``heard``: when a worker last gave something.

    ``retries``: items handed out again after a failed attempt, in this run. ``seconds_left``: of the whole sweep, once
    some cell was measured. ``memory``: resident bytes of the driver's process.
    """

    pid: int
    host: str
    started: float
    time: float
    state: DriverState
    sweep: str
    message: str = ""
    heard: float | None = None
    retries: int = 0
    seconds_left: float | None = None
    rates: tuple[Rate, ...] = ()
    workers: tuple[WorkerNow, ...] = ()
    process_started: float = 0.0
    memory: int | None = None

    @property
    def who(self) -> str:
        """Its process, for people."""
        return f"process {self.pid} on {self.host}"

    @property
    def ended(self) -> bool:
        """Whether it said that it has ended."""
        return self.state in ENDED


def encode_beat(beat: Beat) -> bytes:
    """The bytes of ``driver.json``."""
    return (json.dumps({"version": VERSION, **asdict(beat)}, indent=1) + "\n").encode()


def read_beat(path: Readable) -> Beat | None:
    """The last beat; None when there is none that this version can read."""
    try:
        content = json.loads(path.read_bytes())
        if content.pop("version") != VERSION:
            return None
        rates = tuple(Rate(**one) for one in content.pop("rates"))
        workers = tuple(_worker(one) for one in content.pop("workers"))
        return Beat(**_known(Beat, content), rates=rates, workers=workers)
    except (OSError, UnreadableFileError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def condition(beat: Beat | None, now: float | None = None) -> Condition:
    """How the driver is, as far as it can be told from here (``now``: seconds since the epoch)."""
    if beat is None:
        return "no driver"
    if beat.ended:
        return "ended"
    if beat.host == socket.gethostname() and not runs_here(beat):
        return "dead"
    return "silent" if age(beat, now) > SILENT_SECONDS else "running"


def is_live(beat: Beat | None) -> bool:
    """Whether the driver runs, as far as is known."""
    return condition(beat) == "running"


def runs_here(beat: Beat) -> bool:
    """Whether its process runs on this machine; False for a driver elsewhere, of which that is not known."""
    return beat.host == socket.gethostname() and _is_alive(beat)


def age(beat: Beat, now: float | None = None) -> float:
    """Seconds since the beat; never negative, whatever the clocks of two machines say."""
    return max(0.0, (time.time() if now is None else now) - beat.time)


def told(beat: Beat | None, now: float | None = None) -> str:
    """How the driver is, in a sentence."""
    found = condition(beat, now)
    if beat is None:
        return "no driver has run here"
    since = f"since {time.strftime('%Y-%m-%d %H:%M', time.localtime(beat.started))}"
    heard = f"heard of {duration(age(beat, now))} ago"
    match found:
        case "ended":
            why = f" ({beat.message})" if beat.message else ""
            return f"{beat.state}{why}: no driver is running; the last one ended {duration(age(beat, now))} ago"
        case "dead":
            return f"dead: {beat.who} has ended without a word, {heard}; the same `run` continues the sweep"
        case "silent":
            return f"silent: {beat.who} was {beat.state}, {heard}; it may be dead, or cut off from this folder"
        case _:
            return f"{beat.state}: {beat.who}, {since}, {heard}" + (f"; {beat.message}" if beat.message else "")


def process_start(pid: int) -> float:
    """When a process of this machine began (seconds since the epoch); 0 when there is none."""
    import psutil

    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0


def process_memory() -> int:
    """Resident bytes of this process."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def _is_alive(beat: Beat) -> bool:
    try:
        os.kill(beat.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    started = process_start(beat.pid)
    return bool(started) and (not beat.process_started or abs(started - beat.process_started) < 2.0)


def _worker(content: Mapping[str, Any]) -> WorkerNow:
    use = content.get("use")
    return WorkerNow(**_known(WorkerNow, content) | {"use": None if use is None else Use(**_known(Use, use))})


def _known(kind: type[_Kind], content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a later version may have added."""
    return {field.name: content[field.name] for field in fields(kind) if field.name in content}
