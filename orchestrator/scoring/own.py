"""A scorer of the user's own: ``file.py:name``, or an entry point. It is Python that runs with the rights of whoever scores."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.abc import SourceLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_loader
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

from pydantic import Field, create_model

from orchestrator.errors import InputError, Problem, nearest_entry, nearest_name
from orchestrator.scoring.answer import Answer, Reads
from orchestrator.scoring.options import LabelText, ScorerOptions, encodable, scorer_id
from orchestrator.scoring.score import Labels, Scale, Score, is_own, raised
from orchestrator.strict import FromList

GROUP = "steering_sweeps.scorers"
"""The entry points that a package gives its scorers in; a sweep names one by its name."""

_REFERENCE = re.compile(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)")
_LONGEST = 1000


class OwnOptions(ScorerOptions):
    """``labels`` that it may give; without them it gives numbers, of which ``unit`` says what they are. ``limit_seconds`` that it
    may take over an answer: no part of its id."""

    labels: Annotated[tuple[LabelText, ...] | None, FromList] = Field(default=None, min_length=1, max_length=100)
    unit: LabelText = "score"
    limit_seconds: float = Field(default=60.0, gt=0, le=86_400, exclude=True)


@dataclass(frozen=True)
class OwnCode:
    """What a name stands for: the ``code``, a function or a class, under its ``kind`` in ids, with the ``digest`` of its file.
    ``place``: what ``code_at`` finds it by in another process."""

    code: Callable[..., Any]
    kind: str
    digest: str
    place: Mapping[str, str]

    @property
    def options(self) -> type[OwnOptions]:
        """The options that it takes: of a class also the keyword arguments of its constructor."""
        if not inspect.isclass(self.code):
            return OwnOptions
        fields: dict[str, Any] = {}
        for name, one in inspect.signature(self.code).parameters.items():
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY) and name not in OwnOptions.model_fields:
                fields[name] = (Any, ... if one.default is one.empty else one.default)
        return create_model(self.kind, __base__=OwnOptions, __doc__=OwnOptions.__doc__, **fields)

    def scorer(self, options: OwnOptions) -> OwnScorer:
        """The scorer; InputError where its constructor raises, and where it does not take two arguments."""
        says = Scale(options.unit) if options.labels is None else Labels(options.labels)
        if not inspect.isclass(self.code):
            _require_called(self.code)
            return OwnScorer(scorer_id(self.kind, self.digest, options), says, self.code, options.reads)
        given = {key: value for key, value in options if key not in OwnOptions.model_fields and key in options.model_fields_set}
        try:
            made: Any = self.code(**given)
        except BaseException as error:  # whatever the user's own code raises is told as a fault of its options
            if not is_own(error):
                raise
            told = raised(error)
            named = next((key for key in given if key in told), "name")
            message = f"it cannot be made: {told}"
            raise InputError(Problem(named, None if named == "name" else str(given[named]), message)) from error
        _require_called(made)
        return OwnScorer(scorer_id(self.kind, self.digest, options), says, made, options.reads)


def _require_called(function: Any) -> None:
    """InputError unless ``function`` can be called with a prompt and an answer, as far as its signature says."""
    try:
        inspect.signature(function).bind("prompt", "answer")
    except TypeError as error:
        message = f"it cannot be called with a prompt and an answer: {error}"
        raise InputError(
            Problem("name", None, message, "a function of two arguments, or a class whose objects are called so")
        ) from error
    except ValueError:
        return  # no signature is known, as of some builtins


def own_code(name: str, folder: Path) -> OwnCode | None:
    """What ``name`` stands for: ``file.py:name`` relative to ``folder``, or an entry point; None where it is neither. Runs the
    file, once for the same content. InputError when there is none such, or it cannot be run."""
    found = _REFERENCE.fullmatch(name)
    if found is not None:
        return _of_file(name, folder / found["file"], found["name"])
    return next((_of_package(point) for point in entry_points(group=GROUP, name=name)), None)


def own_file(name: str, folder: Path) -> Path | None:
    """The Python file that a name stands for; None where it is no reference to one."""
    found = _REFERENCE.fullmatch(name)
    return None if found is None else folder / found["file"]


def installed() -> list[str]:
    """The names of the entry points that there are."""
    return sorted(entry_points(group=GROUP).names)


def _of_file(reference: str, file: Path, name: str) -> OwnCode:
    if not file.is_file():
        nearest = nearest_entry(file)
        message = f"there is no such file in {file.parent}"
        raise InputError(Problem("name", reference, message, "file.py:name", nearest and f"{nearest}:{name}"))
    content = file.read_bytes()
    try:
        module = _module(file.resolve(), content)
    except BaseException as error:  # whatever the user's own code raises is told as a fault of the file
        if not is_own(error):
            raise
        raise InputError(Problem("name", reference, f"the file cannot be run: {raised(error)}")) from error
    code = getattr(module, name, None)
    if not callable(code):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        message = f"the file has no function or class '{name}'"
        raise InputError(Problem("name", reference, message, ", ".join(names), nearest_name(name, names)))
    place = {"file": str(file.resolve()), "content": content.decode("latin-1"), "name": name}
    return OwnCode(code, f"{file.stem}.{name}", _digest(content, name), place)


def code_at(place: Mapping[str, str]) -> Callable[..., Any]:
    """The code that was found at a place, of the same bytes of its file; raises whatever those raise."""
    if "file" not in place:
        return EntryPoint(place["name"], place["value"], GROUP).load()
    module = _module(Path(place["file"]), place["content"].encode("latin-1"))
    return getattr(module, place["name"])


class _SourceBytes(SourceLoader):
    """Loads a module from these bytes, which its id is of, and from no cached ones."""

    def __init__(self, file: Path, content: bytes) -> None:
        self._file, self._content = file, content

    def get_filename(self, fullname: str) -> str:
        return str(self._file)

    def get_data(self, path: str | bytes) -> bytes:
        return self._content


@cache
def _module(file: Path, content: bytes) -> ModuleType:
    """``content``: a file that has changed is another module."""
    name, loader = f"scorer_{_digest(content, str(file))}", _SourceBytes(file, content)
    spec = spec_from_loader(name, loader)
    assert spec is not None
    module = sys.modules[name] = module_from_spec(spec)  # where dataclasses, pickle and annotations look a module up
    loader.exec_module(module)
    return module


def _of_package(point: EntryPoint) -> OwnCode:
    try:
        code = point.load()
        source = inspect.getsourcefile(inspect.unwrap(code))
        content = Path(source).read_bytes() if source else b""
    except BaseException as error:  # whatever an installed package raises is told as a fault of what was named
        if not is_own(error):
            raise
        raise InputError(Problem("name", point.name, f"it cannot be loaded: {raised(error)}")) from error
    release = "" if point.dist is None else f"{point.dist.name} {point.dist.version} "
    digest = _digest(content, f"{release}{point.value}")
    return OwnCode(code, point.name, digest, {"name": point.name, "value": point.value})


def _digest(content: bytes, name: str) -> str:
    """Eight hex digits: of the file, and of what is taken from it."""
    return hashlib.sha256(content + b"\0" + name.encode()).hexdigest()[:8]


class OwnScorer:
    """``(prompt, answer) -> label | number | (either, evidence)``."""

    def __init__(self, own_id: str, says: Labels | Scale, function: Callable[[str, str], Any], reads: Reads = "answer") -> None:
        self.id, self.says, self.reads = own_id, says, reads
        self._function = function

    def score(self, answer: Answer) -> Score:
        """What the function says; it may raise whatever that raises, with a note of the line."""
        try:
            given = self._function(answer.prompt, answer.text)
        except Exception as error:
            _note_line(error)
            raise
        said, evidence = given if isinstance(given, tuple) and len(given) == 2 else (given, {})
        if isinstance(said, str):
            return Score(str.__str__(said), evidence=_shown(evidence))
        number = None if isinstance(said, bool) else said
        if isinstance(number, Real):  # those of numpy are, too
            return Score(value=float(number), evidence=_shown(evidence))
        return Score(said, evidence=_shown(evidence))


def _note_line(error: Exception) -> None:
    """Notes ``mine.py, line 8``: the innermost line, of the file that was called, that an error came from; nothing where the
    call itself failed."""
    _, *frames = traceback.extract_tb(error.__traceback__)
    lines = [one.lineno for one in frames if one.filename == frames[0].filename]
    if lines:
        error.add_note(f"{Path(frames[0].filename).name}, line {lines[-1]}")


def _shown(evidence: object) -> str:
    """Evidence as a JSON object of at most ``_LONGEST`` characters; what JSON cannot say (numbers that are not finite, keys that
    are no words, a structure that holds itself) as text."""
    try:
        said = json.dumps(evidence if isinstance(evidence, dict) else {"evidence": evidence}, default=str)
    except (TypeError, ValueError, RecursionError):
        said = json.dumps({"evidence": str(evidence)})
    told = encodable(json.dumps(json.loads(said, parse_constant=str), ensure_ascii=False))
    return told if len(told) <= _LONGEST else json.dumps({"evidence": told[:_LONGEST]}, ensure_ascii=False)
