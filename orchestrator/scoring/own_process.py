"""A scorer of the user's own in a process of its own, with a limit of time for each answer.

A regular expression of Python's that backtracks holds the interpreter's lock until it has ended, and nothing can interrupt it
outside the main thread: beside the driver's threads it would stop all of them, Ctrl-C included.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from actors.boundary import TRACEBACK_CHARACTERS
from orchestrator.scoring.answer import Answer
from orchestrator.scoring.own import OwnCode, OwnOptions, OwnScorer, code_at
from orchestrator.scoring.score import Score, raised, require_declared

_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from orchestrator.scoring.own_process import serve
serve()
"""
_LINE = re.compile(r'File "(?P<file>.+)", line (?P<line>\d+)')


class _Traceback(Exception):
    """The traceback of what was raised in the other process, as text."""

    def __str__(self) -> str:
        return f"in the scorer's process:\n{self.args[0]}"


class ApartScorer:
    """An ``OwnScorer`` that runs in another process, which starts with the first answer. An answer over which it takes longer
    than its limit fails like one over which it raises, and the next one is asked of a new process."""

    def __init__(self, code: OwnCode, options: OwnOptions) -> None:
        """InputError as ``OwnCode.scorer`` raises."""
        made = code.scorer(options)
        self.id, self.says, self.reads = made.id, made.says, made.reads
        given = {key: value for key, value in options if key in options.model_fields_set}
        self._begin = {
            "place": dict(code.place),
            "kind": code.kind,
            "digest": code.digest,
            "options": yaml.safe_dump(given),
            "limit": options.limit_seconds,
        }
        self._file, self._limit = code.place.get("file"), options.limit_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def score(self, answer: Answer) -> Score:
        """What it says; TimeoutError after ``limit_seconds``, ChildProcessError where its process ended."""
        with self._lock:
            reply = self._asked({"prompt": answer.prompt, "text": answer.text})
        if "error" in reply:
            raise _error(reply)
        return Score(**reply)

    def _asked(self, question: Mapping[str, str]) -> dict[str, Any]:
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: what it said of that is read below
        line = process.stdout.readline()
        if line.startswith(b"{"):
            return dict(json.loads(line))
        told = (line + process.stdout.read()).decode("utf-8", "replace")
        self._process = None
        raise self._end(told, process.wait())

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        weakref.finalize(self, _ended, process)
        assert process.stdin is not None
        process.stdin.write(json.dumps(self._begin).encode() + b"\n")
        return process

    def _end(self, told: str, code: int) -> OSError:
        if "Timeout (" not in told:
            return ChildProcessError(f"its process ended with exit code {code}")
        error = TimeoutError(f"took longer than {self._limit:g} s over this answer (limit_seconds)")
        own = next((one for one in _LINE.finditer(told) if one["file"] == self._file), None)
        if own is not None:
            error.add_note(f"{Path(own['file']).name}, line {own['line']}")
        return error


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _error(reply: Mapping[str, Any]) -> Exception:
    """What was raised, by the name and with the words that it had there."""
    error: Exception = type(reply["error"], (Exception,), {})(reply["message"])
    for note in reply["notes"]:
        error.add_note(note)
    error.__cause__ = _Traceback(reply["trace"])
    return error


def serve() -> None:
    """Of the other process: makes the scorer that the first line of its input names, and answers each further one. What the
    scorer prints goes to the error stream; Ctrl-C is the driver's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    begin = json.loads(asked.readline())
    scorer: OwnScorer | None = None
    for line in asked:
        try:
            scorer = scorer or _made(begin)
            faulthandler.dump_traceback_later(begin["limit"], exit=True, file=replies)  # needs no lock of the interpreter
            reply = _scored(scorer, **json.loads(line))
        except BaseException as error:  # noqa: BLE001  # whatever it raises is told to the driver
            reply = _told(error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _made(begin: Mapping[str, Any]) -> OwnScorer:
    code = OwnCode(code_at(begin["place"]), begin["kind"], begin["digest"], begin["place"])
    return code.scorer(code.options.model_validate(yaml.safe_load(begin["options"])))


def _scored(scorer: OwnScorer, prompt: str, text: str) -> dict[str, Any]:
    score = scorer.score(Answer("", prompt, text))
    require_declared(scorer.says, score.label, score.value)
    return asdict(score)


def _told(error: BaseException) -> dict[str, Any]:
    """Its name, its words, its notes and its traceback, each of bounded length."""
    name, _, words = raised(error).partition(": ")
    notes = [str(note) for note in getattr(error, "__notes__", ())]
    trace = "".join(traceback.format_exception(error))[-TRACEBACK_CHARACTERS:]
    return {"error": name, "message": words, "notes": notes, "trace": trace}
