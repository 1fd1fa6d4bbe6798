"""The command line over fake workers that gets a signal at a chosen moment: ``python -m tests.signalled SIGTERM MOMENT run ...``.

A moment is ``import MODULE``: when that begins to be imported, ``end``: when Python ends, or ``MODULE:NAME``: each time that
function or method is entered, so ``MODULE:NAME`` twice is two signals (the second after the first no longer counts as recent).
"""

from __future__ import annotations

import atexit
import importlib
import importlib.abc
import os
import signal
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from orchestrator.program import run_program


class WhenImported(importlib.abc.MetaPathFinder):
    """Finds nothing; sends the signal when ``name`` is looked for."""

    def __init__(self, name: str, number: int) -> None:
        self._name, self._number = name, number

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Look, signal, find nothing."""
        if fullname == self._name:
            os.kill(os.getpid(), self._number)
        return None


def when_called(where: str, number: int) -> None:
    """Have the function or method at ``module:name`` begin with the signal."""
    module, _, name = where.partition(":")
    owner: Any = importlib.import_module(module)
    *outer, last = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    real = getattr(owner, last)

    def signalled(*arguments: Any, **options: Any) -> Any:
        os.kill(os.getpid(), number)
        return real(*arguments, **options)

    setattr(owner, last, signalled)


def program() -> None:
    """As ``tests.fake_cli``, signalled."""
    number, moment, *words = int(getattr(signal, sys.argv[1])), *sys.argv[2:]
    sys.argv[1:] = words
    if moment.startswith("import "):
        sys.meta_path.insert(0, WhenImported(moment.removeprefix("import "), number))
    elif moment == "end":
        atexit.register(lambda: os.kill(os.getpid(), number))
    from orchestrator.cli import app
    from orchestrator.pool import POOLS
    from tests.fake_cli import with_fake_worker

    POOLS.update({name: with_fake_worker(make) for name, make in POOLS.items()})
    if ":" in moment:
        when_called(moment, number)
    app()


if __name__ == "__main__":
    run_program(program)
