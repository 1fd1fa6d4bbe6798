"""Bad input as a value: everything that is wrong with what the user gave us, told at once (exit code 2, no traceback)."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.faults import is_out_of_memory
from orchestrator.interrupts import EXIT_MACHINE

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError

EXIT_CODE = 2
_SHOWN = 80


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (``file``, ``line`` from 1, ``field``), what (``value``), and what would be right.

    ``allowed`` says in words what the field takes; ``nearest`` is the valid name closest to the one given.
    """

    field: str
    value: object
    message: str
    allowed: str | None = None
    nearest: str | None = None
    line: int | None = None
    file: str | None = None

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        told = ": ".join(shown_path(part) for part in (where, self.field, self.message) if part)
        if self.value is not None:
            told += f" (got {shown(self.value)})"
        if self.allowed is not None:
            told += f"; allowed: {self.allowed}"
        if self.nearest is not None:
            told += f"; did you mean '{self.nearest}'?"
        return plain(told)


class InputError(Exception):
    """What the user gave cannot be run; ``problems`` holds every reason, ``str()`` one line for each."""

    exit_code = EXIT_CODE

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems: tuple[Problem, ...] = problems

    @classmethod
    def because(cls, message: str, field: str = "", value: object = None, allowed: str | None = None) -> InputError:
        """The usual case: one reason, not tied to a line of a file."""
        return cls(Problem(field, value, message, allowed))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


def fault(message: str, allowed: str = "", nearest: str = "", field: str = "") -> PydanticCustomError:
    """A validation error of a pydantic model in our own words; ``sweep_file.problems`` makes a problem of it. ``field``: the key
    of the mapping that is wrong, where not all of it is."""
    from pydantic_core import PydanticCustomError  # most commands read no sweep file

    told = {"message": message, "allowed": allowed, "nearest": nearest, "field": field}
    return PydanticCustomError("sweep", "{message}", told)


class MachineError(InputError):
    """The machine cannot do what was asked, whatever was asked: it has no memory, no threads, or refuses a file."""

    exit_code = EXIT_MACHINE


_WRONG_PATHS = (
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.EINVAL,
    errno.EILSEQ,
    errno.ENXIO,
)


def as_told(error: Exception) -> InputError | None:
    """What an error that nobody expected means for the user, in a line; None for one that is a fault of ours."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return error
    if is_out_of_memory(error):
        return MachineError.because("there is not enough memory; give it more, or raise its limit (ulimit -v)")
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return MachineError.because("no thread can be started; raise the limit of processes or memory (ulimit -u, ulimit -v)")
    if isinstance(error, OSError):
        kind = InputError if error.errno in _WRONG_PATHS else MachineError
        where = "" if error.filename is None else f"{shown_path(error.filename)}: "
        return kind.because(f"{where}{error.strerror or text}")
    if isinstance(error, UnicodeEncodeError) or (isinstance(error, ValueError) and "embedded null" in text):
        return InputError.because(f"a name or path that no file can have: {text}")
    return None


_LONG_WORD = re.compile(rf"\S{{{6 * _SHOWN},}}")


def shown_path(text: object) -> str:
    """Paths and names for a message: of a very long one the beginning and the end."""
    return _LONG_WORD.sub(lambda found: f"{found[0][:_SHOWN]}...{found[0][-_SHOWN:]}", str(text))


def nearest_name(given: object, names: Iterable[str]) -> str | None:
    """The valid name closest to ``given`` in spelling, or that begins with it; None if nothing is close."""
    folded, wanted = {name.casefold(): name for name in names}, str(given).casefold()
    close = difflib.get_close_matches(wanted, folded, n=1, cutoff=0.55)
    close += [name for name in folded if len(wanted) >= 3 and name.startswith(wanted)]
    return folded[close[0]] if close else None


def nearest_entry(missing: Path) -> str | None:
    """The name in the folder of ``missing`` that is closest to its own; None where it is there, but of another kind."""
    folder = missing.parent
    if missing.exists() or not folder.is_dir():
        return None
    return nearest_name(missing.name, sorted(entry.name for entry in folder.iterdir()))


def why_no_file(path: Path) -> str:
    """Why what was given as a file is none."""
    if path.is_dir():
        return "it is a folder, not a file"
    return "it is a pipe or a device, not a file" if path.exists() else "there is no such file"


def why_no_folder(path: Path) -> str:
    """Why what was given as a folder is none."""
    return "it is a file, not a folder" if path.exists() else "there is no such folder"


def shown(value: object) -> str:
    """``value`` for a message: at most one short line."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to write out numbers of more than a few thousand digits
        text = f"{type(value).__name__} with a number too long to show"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def plain(text: str) -> str:
    """``text`` without characters that could drive a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
