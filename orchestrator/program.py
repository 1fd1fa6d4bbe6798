"""What every process of the command line does first and last, whatever it does in between: heeds signals, keeps its outlets,
ends in words. Imports next to nothing, so that it is there before what takes seconds to import."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from typing import NoReturn

from actors.library_settings import start_again
from orchestrator.interrupts import EXIT_INTERRUPTED, EXIT_MACHINE, program_interrupts

KEPT = "interrupted; finished cells are kept: to continue run the same command"
FEW_BYTES, FEWEST_BYTES = 8 * 2**30, 256 * 2**20
"""Of address space: with the first there is enough for everything, with less than the second not even for a plan."""

ASKED_TO_RUN = ("run", "retry")

_told = False


def interruption() -> str:
    """What to say when a signal has ended a command that could say no more about it."""
    global _told
    _told = True
    return KEPT if len(sys.argv) > 1 and sys.argv[1] in ASKED_TO_RUN else "interrupted"


def run_program(run: Callable[[], object]) -> NoReturn:
    """``run()``, and the end of the process with its exit code: 130 when a signal ended it, wherever it was."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ASKED_TO_RUN and sys.orig_argv[-len(arguments) :] == arguments:
        start_again()  # a run may hold a model in its own process (``pool: local``)
    interrupts = program_interrupts()
    _ask_for_memory()
    try:
        code = _code_of(run)
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt) and not interrupts.asked:
            raise
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED and interrupts.asked and not _told:
        print(interruption(), file=sys.stderr)
    interrupts.over(code)
    sys.exit(code)


def _ask_for_memory() -> None:
    """Where little memory is allowed (``ulimit -v``), libraries end the process in words of their own; so it ends here first."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY or limit > FEW_BYTES:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # each thread would take memory of its own
    if limit < FEWEST_BYTES:
        print(
            f"error: {limit / 2**20:.0f} MiB of memory are allowed (ulimit -v), {FEWEST_BYTES / 2**20:.0f} are needed",
            file=sys.stderr,
        )
        sys.exit(EXIT_MACHINE)


def _code_of(run: Callable[[], object]) -> int:
    from orchestrator import outlets

    outlets.install()
    try:
        code = _exit_code(run)
    finally:
        unwritten = outlets.finish()
    return code or unwritten


def _exit_code(run: Callable[[], object]) -> int:
    """Of what ended in the machine's own words, too: no memory, for instance, to import what is needed."""
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception as error:
        from orchestrator.errors import as_told

        told = as_told(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        return told.exit_code
    return 0
