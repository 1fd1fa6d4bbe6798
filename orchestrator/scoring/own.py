"""A scorer of the user's own: ``file.py:name``. Its file is Python that runs with the rights of whoever scores."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from orchestrator.errors import InputError, Problem, nearest_entry, nearest_name
from orchestrator.scoring.options import LabelText, ScorerOptions, scorer_id
from orchestrator.scoring.score import Labels, Scale, Score
from orchestrator.strict import FromList

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")
_LONGEST = 1000
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.]")


class UndeclaredError(ValueError):
    """A scorer gave what it had not said that it may give."""


class OwnOptions(ScorerOptions):
    """``labels`` that the function may give; without them it gives numbers, of which ``unit`` says what they are."""

    labels: Annotated[tuple[LabelText, ...] | None, FromList] = Field(default=None, min_length=1, max_length=100)
    unit: LabelText = "score"


def is_own(name: str) -> bool:
    """Whether a scorer's name is a reference to a file."""
    return _REFERENCE.fullmatch(name) is not None


def own_scorer(reference: str, options: OwnOptions, folder: Path) -> OwnScorer:
    """The scorer that ``reference``, relative to ``folder``, stands for; InputError when there is none. Runs the file."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise InputError(Problem("name", reference, "not the name of a scorer in a file", "file.py:name"))
    file, name = folder / found["file"], found["name"]
    if not file.is_file():
        nearest = nearest_entry(file)
        raise InputError(Problem("name", reference, "there is no such file", "file.py:name", nearest and f"{nearest}:{name}"))
    module, digest = _module(file, reference)
    function = getattr(module, name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise InputError(
            Problem("name", reference, f"the file has no function '{name}'", ", ".join(names), nearest_name(name, names))
        )
    says = Scale(options.unit) if options.labels is None else Labels(options.labels)
    kind = _NOT_IN_IDS.sub("_", f"{file.stem}.{name}")
    return OwnScorer(scorer_id(kind, digest, options), says, function)


def _module(file: Path, reference: str) -> tuple[Any, str]:
    """The module of a file, and eight hex digits of the digest of its bytes."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"scorer_{digest}", file)
    if spec is None or spec.loader is None:
        raise InputError(Problem("name", reference, "the file is no Python module", "file.py:name"))
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's own code raises is told as a fault of the file
        raise InputError(Problem("name", reference, f"the file cannot be run: {type(error).__name__}: {error}")) from error
    return module, digest


class OwnScorer:
    """A function ``(prompt, response) -> label | number | (either, evidence)``. Where it raises, or gives what it has not
    declared, the score has neither label nor value, and the error as evidence."""

    def __init__(self, own_id: str, says: Labels | Scale, function: Callable[[str, str], Any]) -> None:
        self.id, self.says = own_id, says
        self._function = function

    def score(self, prompt_id: str, prompt: str, answer: str) -> Score:
        """What the function says."""
        try:
            label, value, evidence = self._said(self._function(prompt, answer))
        except Exception as error:  # noqa: BLE001  # whatever the user's own code raises is told with the response that it is of
            label, value, evidence = None, None, _shown({"error": f"{type(error).__name__}: {error}"})
        return Score(prompt_id, label, value, evidence, self.id)

    def _said(self, given: object) -> tuple[str | None, float | None, str]:
        said, evidence = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        if isinstance(self.says, Labels):
            if not isinstance(said, str) or said not in self.says.names:
                raise UndeclaredError(f"gave {said!r}; declared: {', '.join(self.says.names)}")
            return said, None, _shown(evidence)
        if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
            raise UndeclaredError(f"gave {said!r}, which is no finite number, and has declared no labels")
        return None, float(said), _shown(evidence)


def _shown(evidence: object) -> str:
    """Evidence as a JSON object of at most ``_LONGEST`` characters."""
    told = json.dumps(evidence if isinstance(evidence, dict) else {"evidence": evidence}, ensure_ascii=False, default=str)
    return told if len(told) <= _LONGEST else json.dumps({"evidence": told[:_LONGEST]}, ensure_ascii=False)
