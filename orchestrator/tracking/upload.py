"""Sends a run's file to the W&B server while it grows, from a process of its own: a bad network costs the sweep nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

PROBE_SECONDS = 2.0
POLL_SECONDS = 0.5
UPLOAD_SECONDS = 120.0
"""How long the end of a run waits for what is not yet sent, as long as the server answers."""

QUIET_SECONDS = 2.0
"""How long it waits for a server that has stopped answering; one more probe comes on top."""

_CHILD = Path(__file__).with_name("upload_process.py")
_log = logging.getLogger(__name__)


class Upload:
    """The upload of a run's fragments, oldest first; the last one is still being written."""

    def __init__(self, fragments: Sequence[Path], server: str) -> None:
        self._fragments, self._server = fragments, server
        self._log_file = fragments[-1].parent / "upload.log"
        self._process = self._start()

    def finish(self) -> bool:
        """The last fragment is complete. Wait while the server takes it; whether it has all of it."""
        try:
            return self._wait(UPLOAD_SECONDS)
        finally:
            self.stop()

    def stop(self) -> None:
        """End the upload and all its processes; what was not sent stays on disk."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait(self, seconds: float) -> bool:
        """Poll the process; give up when the time is over or the server has been silent for ``QUIET_SECONDS``."""
        now = time.monotonic()
        end, answered = now + seconds, now
        restarted = False
        while time.monotonic() < end:
            try:
                if self._process.wait(POLL_SECONDS) == 0:
                    return True
                if restarted or not answers(self._server):
                    return False
                self._process, restarted = self._start(), True
            except subprocess.TimeoutExpired:
                if answers(self._server):
                    answered = time.monotonic()
                elif time.monotonic() - answered > QUIET_SECONDS:
                    return False
        return False

    def _start(self) -> subprocess.Popen[bytes]:
        # W&B's commands would otherwise use the service process of this one, and take it with them when it fails
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        with self._log_file.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, str(_CHILD), str(os.getpid()), *(str(path) for path in self._fragments)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**environment, "WANDB_MODE": "online"},
                start_new_session=True,
            )


def fragments_of(wandb_folder: Path, run_id: str) -> list[Path]:
    """The fragments of a run that have not been sent, oldest first; the names begin with their time.

    Of two fragments of one second, W&B names the later one with a number at its end.
    """
    found = sorted(wandb_folder.glob(f"offline-run-*-{run_id}*"))
    return [path for path in found if not (path / f"run-{run_id}.wandb.synced").exists()]


def answers(server: str) -> bool:
    """Whether ``server`` says anything over HTTP within ``PROBE_SECONDS``; name look-up and proxies included."""
    heard = threading.Event()

    def ask() -> None:
        try:
            urllib.request.urlopen(server, timeout=PROBE_SECONDS).close()
        except urllib.error.HTTPError:
            pass  # an error page is an answer
        except (OSError, ValueError) as error:
            _log.debug("%s: %s", server, error)
            return
        heard.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    return heard.is_set()
