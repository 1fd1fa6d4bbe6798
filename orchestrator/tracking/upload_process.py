"""Run as a program: ``upload_process.py DRIVER_PID FRAGMENT...`` sends the fragments of a run, the last one while it grows.

It ends with the driver: W&B would wait forever for the rest of a file whose writer was killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

POLL_SECONDS = 0.5


def main(arguments: Sequence[str]) -> int:
    """The exit code of W&B's own command, 0 when all is sent."""
    driver, *older, newest = arguments
    if older and (code := sync(int(driver), older)):
        return code
    return sync(int(driver), ["--live", newest])


def sync(driver: int, arguments: Sequence[str]) -> int:
    """Run ``wandb beta sync`` as long as the driver lives."""
    command = subprocess.Popen([sys.executable, "-m", "wandb", "beta", "sync", "--yes", *arguments])
    while True:
        try:
            return command.wait(POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if os.getppid() != driver:
                os.killpg(os.getpid(), signal.SIGKILL)  # the leader of its group: W&B's processes end too


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
