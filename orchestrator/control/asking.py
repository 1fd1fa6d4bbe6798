"""``pause``, ``resume`` and ``cancel``: ask the driver, wait until it says that it has heard, and tell what happened."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.control.heartbeat import Beat, Condition, condition, read_beat, runs_here, told
from orchestrator.control.requests import Requests
from orchestrator.counting import counted
from orchestrator.errors import InputError
from orchestrator.results.folder import Folder
from orchestrator.storage import Place

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class DriverReply:
    """What came of it: the driver's state now, as far as known, and that in words. ``asked``: whether a request was made."""

    asked: bool
    state: str
    message: str

    def as_json(self, root: Place) -> dict[str, object]:
        """For programs."""
        return {"results": str(root), "asked": self.asked, "state": self.state, "message": self.message}


def pause(root: Place, wait: float) -> DriverReply:
    """Ask the driver in ``root`` to hand out nothing new; waits up to ``wait`` seconds until it has heard."""
    folder = _results_folder(root)
    nobody = _nobody(folder, "pause")
    if nobody is not None:
        return nobody
    requests = Requests(folder.requests)
    before = requests.asked("pause")
    request = requests.ask("pause")
    beat = _until(folder, lambda one: one.state in ("pausing", "paused") or one.ended, wait)
    go_on = f"to go on: python -m orchestrator resume {root}"
    if before is not None and beat.state == "paused":
        return DriverReply(False, beat.state, f"it is paused already ({request}); {go_on}")
    match beat.state:
        case "paused":
            return DriverReply(True, beat.state, f"paused: nothing runs, the models stay loaded; {go_on}")
        case "pausing":
            busy = [one for one in beat.workers if one.does != "idle"]
            items = sum(one.items for one in busy)
            finish = "finishes what it has" if len(busy) == 1 else "finish what they have"
            text = f"pausing: {counted(len(busy), 'worker')} {finish} ({counted(items, 'item')}), the models stay loaded; {go_on}"
            return DriverReply(True, beat.state, text)
        case _:
            return _unheard(beat, "pause")


def resume(root: Place, wait: float) -> DriverReply:
    """Lift a pause; waits up to ``wait`` seconds until the driver goes on."""
    folder = _results_folder(root)
    was_paused = Requests(folder.requests).withdraw("pause")
    beat = read_beat(folder.driver)
    if beat is None or condition(beat) not in ("running", "silent"):
        lifted = "the pause that was left there is lifted; " if was_paused else ""
        return DriverReply(was_paused, _state(beat), f"{lifted}{told(beat)}; to run the sweep: python -m orchestrator run SWEEP")
    if not was_paused and beat.state not in ("pausing", "paused"):
        return DriverReply(False, beat.state, f"it is not paused; {told(beat)}")
    beat = _until(folder, lambda one: one.state not in ("pausing", "paused"), wait)
    return (
        _unheard(beat, "resume")
        if beat.state in ("pausing", "paused")
        else DriverReply(True, beat.state, f"resumed; {told(beat)}")
    )


def cancel(root: Place, wait: float) -> DriverReply:
    """Ask the driver in ``root`` to stop as Ctrl-C does; waits up to ``wait`` seconds until it has ended."""
    folder = _results_folder(root)
    nobody = _nobody(folder, "cancel")
    if nobody is not None:
        return nobody
    Requests(folder.requests).ask("cancel")
    beat = _until(folder, lambda one: one.ended and not runs_here(one), wait)
    if beat.ended:
        kept = "every finished cell is kept" + ("" if beat.state == "finished" else "; the same `run` continues the sweep")
        return DriverReply(True, beat.state, f"the driver has ended ({beat.state}); {kept}")
    return _unheard(beat, "cancel")


def _results_folder(root: Place) -> Folder:
    folder = Folder(root)
    if not folder.plan.exists() and not folder.driver.exists():
        raise InputError.because(f"{root} is not the results folder of a sweep: it holds no plan.json", "results")
    return folder


def _nobody(folder: Folder, what: str) -> DriverReply | None:
    """The answer when no driver can hear; None when one may."""
    beat = read_beat(folder.driver)
    known: Condition = condition(beat)
    if known in ("running", "silent"):
        return None
    return DriverReply(False, _state(beat), f"there is nothing to {what}: {told(beat)}")


def _state(beat: Beat | None) -> str:
    found = condition(beat)
    return beat.state if beat is not None and found in ("running", "ended") else found


def _until(folder: Folder, reached: Callable[[Beat], bool], wait: float) -> Beat:
    """The first beat that has ``reached`` it, or the last one there is after ``wait`` seconds or the driver's death."""
    deadline = time.monotonic() + wait
    while True:
        beat = read_beat(folder.driver)
        if beat is None:
            raise InputError.because(f"{folder.driver} is gone or cannot be read", "results")
        if reached(beat) or condition(beat) == "dead" or time.monotonic() >= deadline:
            return beat
        time.sleep(LOOK_SECONDS)


def _unheard(beat: Beat, what: str) -> DriverReply:
    """The driver did not get to it while we waited."""
    if condition(beat) in ("dead", "ended"):
        return DriverReply(True, _state(beat), told(beat))
    return DriverReply(True, _state(beat), f"{what} is asked, and stays asked until the driver gets to it; {told(beat)}")
