"""An intervention of the user's own: a function of a Python file, which runs with the rights of whoever runs the worker.

The file's text travels with the steering, so that a worker on another machine runs what the sweep was planned with; the
intervention's name holds a digest of it, and a text with another digest is refused.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
import sys
import traceback
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from actors.faults import says_nothing_of_the_work
from actors.interventions.edit import Change, References

if TYPE_CHECKING:
    from torch import Tensor

    from actors.types import Steering

REFERENCE = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)")
"""``file.py:name``, as a sweep file has it."""
NAME = re.compile(r"(?P<file>[^/:]+\.py):(?P<name>[A-Za-z_]\w*)@(?P<digest>[0-9a-f]{8})")
"""The same with the digest, and without the file's folder: what names it in ids."""
ARGUMENTS = ("activation", "vector", "strength", "references")
LONGEST = 2**18
"""Characters of a file."""


def digest_of(code: str, name: str) -> str:
    """Eight hex digits: of the file's text, and of what is taken from it."""
    return hashlib.sha256(code.encode() + b"\0" + name.encode()).hexdigest()[:8]


def check_code(code: str, name: str) -> None:
    """Refuse, without running it, a text that is no Python or has no function ``name`` of four arguments: ValueError says why."""
    if len(code) > LONGEST:
        raise ValueError(f"the file has {len(code)} characters; allowed: {LONGEST}")
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"the file is no Python: {error}") from error
    functions = {one.name: one.args for one in tree.body if isinstance(one, ast.FunctionDef)}
    if name not in functions:
        raise ValueError(f"the file has no function {name!r}; it has: {', '.join(functions) or 'none'}")
    given = functions[name]
    most, least = len(given.posonlyargs) + len(given.args), len(ARGUMENTS) + len(given.defaults)
    if given.vararg is None and not len(ARGUMENTS) <= most <= least:
        raise ValueError(f"{name} takes {most} arguments; allowed: {', '.join(ARGUMENTS)}")


def own_change(name: str, code: str, width: int) -> OwnChange:
    """The function that the intervention ``name`` is, from the text of its file, which is run once; ValueError where it cannot
    be, is not the file that the name is of, or edits no activations of ``width`` numbers."""
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"intervention {name!r} is no function of a file: allowed is file.py:name@digest")
    if digest_of(code, found["name"]) != found["digest"]:
        raise ValueError(f"intervention {name!r}: the text that came with it is {'another' if code else 'missing'}")
    change = _loaded(name, found["file"], found["name"], code)
    _check_change(change, width)
    return change


@dataclass(eq=False)
class OwnChange:
    """A function of the user's own, of a ``file``. Where it fails in a batch ``fault`` says why, and its rows get NaN: they end
    as rows that are not finite, and no other row with them."""

    name: str
    file: str
    function: Change
    fault: str = ""

    def __call__(self, activation: Tensor, vector: Tensor, strength: Tensor, references: References) -> Tensor:
        """As any ``Change``."""
        try:
            return self.tried(activation, vector, strength, references)
        except ValueError as error:
            self.fault = str(error)
            return activation * float("nan")

    def tried(self, activation: Tensor, vector: Tensor, strength: Tensor, references: References) -> Tensor:
        """The same; ValueError where it fails, or gives something else than activations of this shape and dtype."""
        import torch

        try:
            after = self.function(activation, vector, strength, references)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever the user's own code raises, sys.exit among it
            if says_nothing_of_the_work(error) or (isinstance(error, RuntimeError) and being_recorded(activation)):
                raise  # a function that waits for the device cannot be recorded, and runs eagerly
            raise ValueError(f"intervention {self.name!r} cannot be run: {_told(error, self.file)}") from error
        given = f"activations {activation.dtype} {list(activation.shape)}"
        if not isinstance(after, torch.Tensor):
            raise ValueError(f"intervention {self.name!r} gives a {type(after).__name__} for {given}; it must give a tensor")
        for what in ("shape", "dtype"):
            if getattr(after, what) != getattr(activation, what):
                found = f"{after.dtype} {list(after.shape)}"
                raise ValueError(f"intervention {self.name!r} gives {found} for {given}; it must keep the {what}")
        return after


def being_recorded(activation: Tensor) -> bool:
    """Whether the step at hand is recorded as a CUDA graph, or run once before that, when nothing may wait for the device."""
    import torch

    return activation.is_cuda and (torch.cuda.get_sync_debug_mode() == 2 or torch.cuda.is_current_stream_capturing())


def fault_in(steering: Steering | None) -> str:
    """Why a function of a steering failed in a batch; empty where none did."""
    parts = () if steering is None else [part for part in steering.parts if part.code]
    changes = (own_change(part.intervention, part.code, part.vectors.shape[1]) for part in parts)
    return next((change.fault for change in changes if change.fault), "")


def _told(error: BaseException, file: str) -> str:
    """What was raised, and at which line of the user's file."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" ({file}, line {lines[-1]})" if lines else f" ({file})"
    return f"{type(error).__name__}: {error}{where}"


@cache
def _loaded(name: str, file: str, function: str, code: str) -> OwnChange:
    try:
        return OwnChange(name, file, getattr(_module(file, code), function))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's own code raises, sys.exit among it, is told as a fault of the file
        raise ValueError(f"intervention {name!r}: the file cannot be run: {_told(error, file)}") from error


@cache
def _module(file: str, code: str) -> ModuleType:
    name = f"intervention_{digest_of(code, file)}"
    module = sys.modules[name] = ModuleType(name)
    exec(compile(code, file, "exec"), module.__dict__)
    return module


@cache
def _check_change(change: OwnChange, width: int) -> None:
    """Try it on a few numbers, of a prompt and of a single token, so that a batch with other cells does not end with it:
    ValueError where it does not put out what it was given, edited, row by row."""
    import torch

    for tokens, dtype in itertools.product((5, 1), (torch.float32, torch.float64)):
        hidden, vectors, strengths, *others = (one.to(dtype) for one in _trial(tokens, width))
        before = hidden.clone()
        after = change.tried(hidden, vectors, strengths, References(*others))
        alone = change.tried(hidden[:1], vectors[:1], strengths[:1], References(*(one[:1] for one in others)))
        if not torch.equal(before, hidden):
            raise ValueError(f"intervention {change.name!r} changes the activations that it is given; allowed: new ones")
        if not torch.isfinite(after).all():
            raise ValueError(f"intervention {change.name!r} gives numbers that are not finite for activations that are")
        if not torch.allclose(after[:1], alone, atol=1e-4 * max(1.0, float(after.abs().max()))):
            raise ValueError(
                f"intervention {change.name!r} lets rows depend on the rows beside them; allowed: sums over the last dimension"
            )


def _trial(tokens: int, width: int) -> list[Tensor]:
    """What a function is tried on: activations, vectors, strengths, components and bases of two rows."""
    import torch

    source = torch.Generator().manual_seed(0)
    hidden, vectors = (torch.randn(2, n, width, generator=source, dtype=torch.float64) for n in (tokens, 1))
    strengths, components = (torch.tensor([[[one]], [[other]]], dtype=torch.float64) for one, other in ((2.0, -3.0), (0.5, 1.0)))
    basis = torch.eye(width, dtype=torch.float64)[None, :1].expand(2, -1, -1)
    return [hidden, torch.nn.functional.normalize(vectors, dim=-1), strengths, components, basis]
