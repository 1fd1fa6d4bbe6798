"""A program that ends with whoever started it, however that ends, and with it all that the program started in its process group.

The starter keeps one end of a pipe and never writes: the kernel closes it when the starter is gone, by SIGKILL too. This file,
run as a script between the two, reads the other end beside the program. Imports no project.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, Any


def start(command: Sequence[str], **options: Any) -> tuple[subprocess.Popen[str], IO[bytes]]:
    """``command`` in a process group of its own, started as ``Popen`` does with ``options``; and what keeps it alive: it is
    killed when that is closed, or nobody holds it any more."""
    read, write = os.pipe()
    kept = os.fdopen(write, "wb")
    try:
        program = [sys.executable, "-I", __file__, str(read), *command]
        process = subprocess.Popen(program, pass_fds=(read,), start_new_session=True, text=True, **options)
    except BaseException:
        kept.close()
        raise
    finally:
        os.close(read)
    return process, kept


def _until_closed(pipe: int) -> None:
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=_until_closed, args=(int(sys.argv[1]),), daemon=True).start()
    code = subprocess.call(sys.argv[2:])
    sys.exit(code if code >= 0 else 128 - code)
