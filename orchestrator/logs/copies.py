"""Where results lie in object storage, the logs of a driver lie on its machine: they are copied beside the results as it runs.

So a live run is seen from other machines, up to ``EVERY_SECONDS`` late. A network that is away costs copies, never a sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from types import TracebackType

from orchestrator.logs.entries import log_files
from orchestrator.results.folder import Folder
from orchestrator.results.folder_files import LOGS

EVERY_SECONDS = 30.0
BYTES_PER_SECOND = 2**18
"""Of network at most, on average: the file that is being written goes up as a whole each time."""

_LOG = logging.getLogger(__name__)


class LogCopies:
    """While entered, copies what changed in ``folder``'s logs to where its results lie; nothing where they lie there already.

    ``fresh``: whether a driver must begin a new file, since the newest one is another machine's.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._needed = folder.place != folder.local
        self._copied: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log copies", daemon=True)
        self.fresh = False

    def __enter__(self) -> LogCopies:
        if self._needed:
            self.fresh = self._fetch_others()
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._needed:
            return
        self._over.set()
        self._thread.join()
        try:
            self.copy()
        except OSError as refused:
            _LOG.warning("the logs stay in %s: %s", self._folder.logs, refused)

    def copy(self) -> int:
        """Copy what changed since the last time, and remove what has been dropped here; how many bytes went up."""
        files, sent = self._folder.files, 0
        before = set(self._copied)
        for path in sorted(self._folder.logs.glob("*")):
            found = path.stat()
            state = (found.st_size, found.st_mtime_ns)
            if self._copied.get(path.name) != state:
                content = path.read_bytes()
                files.write(f"{LOGS}/{path.name}", content)
                self._copied[path.name], sent = state, sent + len(content)
        if set(self._copied) != before:
            self._remove_dropped()
        return sent

    def _run(self) -> None:
        pause = EVERY_SECONDS
        while not self._over.wait(pause):
            begun, sent = time.monotonic(), 0
            try:
                sent = self.copy()
            except OSError as error:  # away, or a file that was dropped meanwhile: the next time
                _LOG.debug("the logs were not copied: %s", error)
            pause = max(EVERY_SECONDS, sent / BYTES_PER_SECOND, time.monotonic() - begun)

    def _fetch_others(self) -> bool:
        try:
            there = {name: one.size for name, one in self._folder.files.states(LOGS).items() if name.startswith("events-")}
            newest = self._folder.logs / max(there, default="")
            own = not there or _size(newest) >= there[newest.name]
            self._folder.fetched_logs()
        except OSError as error:
            _LOG.warning("logs of drivers on other machines are not known here: %s", error)
            return True
        return not own

    def _remove_dropped(self) -> None:
        """The journal keeps the last files only, and so does the copy."""
        kept = [path.name for path in log_files(self._folder.logs)]
        for name in self._folder.files.names(LOGS):
            if kept and name.startswith("events-") and name < kept[0]:
                self._folder.files.delete(f"{LOGS}/{name}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
