"""Run as a program: does writes in forked children, whose process ids it tells before they begin.

Each line of the input is ``WRITE URL``; the answers are the child's process id, then, after a line ``go``, its wait status.
"""

from __future__ import annotations

import os
import sys

from orchestrator.results.store import Store
from orchestrator.storage import place_of
from tests.orchestrator.storage.writes import BY_NAME


def main() -> None:
    """Until the end of the input."""
    for line in sys.stdin:
        name, url = line.split()
        begin, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.read(begin, 1)
            BY_NAME[name](Store(place_of(url)))
            os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        os.write(told, b"1")
        print(os.waitpid(child, 0)[1], flush=True)
        os.close(begin)
        os.close(told)


if __name__ == "__main__":
    main()
