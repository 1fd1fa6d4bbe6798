"""What every process of the command line does first and last, whatever it does in between: heeds signals, keeps its outlets,
ends in words. Imports next to nothing, so that it is there before what takes seconds to import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from orchestrator.interrupts import EXIT_INTERRUPTED, program_interrupts

KEPT = "interrupted; finished cells are kept: to continue run the same command"
ASKED_TO_RUN = ("run", "retry")

_told = False


def interruption() -> str:
    """What to say when a signal has ended a command that could say no more about it."""
    global _told
    _told = True
    return KEPT if len(sys.argv) > 1 and sys.argv[1] in ASKED_TO_RUN else "interrupted"


def run_program(run: Callable[[], object]) -> NoReturn:
    """``run()``, and the end of the process with its exit code: 130 when a signal ended it, wherever it was."""
    interrupts = program_interrupts()
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
