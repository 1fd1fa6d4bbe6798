"""An intervention of the user's own: a function of a Python file, which runs with the rights of whoever runs the worker.

The file's text travels with the steering, so that a worker on another machine runs what the sweep was planned with; the
intervention's name holds a digest of it, and a text with another digest is refused.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sys
from functools import cache
from types import ModuleType
from typing import Any

from actors.interventions.edit import Change

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


def own_change(name: str, code: str) -> Change:
    """The function that the intervention ``name`` is, from the text of its file, which is run once; ValueError where it cannot
    be, or is not the file that the name is of."""
    found = NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"intervention {name!r} is no function of a file: allowed is file.py:name@digest")
    if digest_of(code, found["name"]) != found["digest"]:
        raise ValueError(f"intervention {name!r}: the text that came with it is {'another' if code else 'missing'}")
    try:
        function = getattr(_module(found["file"], code), found["name"])
    except Exception as error:  # whatever the user's own code raises is told as a fault of the file
        raise ValueError(f"intervention {name!r}: the file cannot be run: {type(error).__name__}: {error}") from error
    _check_change(name, function)
    return function


@cache
def _module(file: str, code: str) -> ModuleType:
    name = f"intervention_{digest_of(code, file)}"
    module = sys.modules[name] = ModuleType(name)
    exec(compile(code, file, "exec"), module.__dict__)
    return module


@cache
def _check_change(name: str, function: Any) -> None:
    """Try it on a few numbers, so that a batch with other cells does not end with it: ValueError where it does not put out what
    it was given, edited, row by row."""
    import torch

    from actors.interventions.edit import References

    source = torch.Generator().manual_seed(0)
    hidden, vectors = (torch.randn(2, n, 8, generator=source, dtype=torch.float64) for n in (3, 1))
    vectors = torch.nn.functional.normalize(vectors, dim=-1)
    strengths, components = (torch.tensor([[[one]], [[other]]], dtype=torch.float64) for one, other in ((2.0, -3.0), (0.5, 1.0)))
    basis = torch.eye(8, dtype=torch.float64)[None, :1].expand(2, -1, -1)
    for dtype in (torch.float32, torch.float64):
        given = [one.to(dtype) for one in (hidden, vectors, strengths, components, basis)]
        before = given[0].clone()
        try:
            after = function(*given[:3], References(*given[3:]))
            alone = function(*(one[:1] for one in given[:3]), References(*(one[:1] for one in given[3:])))
        except Exception as error:  # whatever the user's own code raises
            raise ValueError(f"intervention {name!r} cannot be run: {type(error).__name__}: {error}") from error
        if not isinstance(after, torch.Tensor) or after.shape != hidden.shape or after.dtype != dtype:
            found = f"{after.dtype} {list(after.shape)}" if isinstance(after, torch.Tensor) else type(after).__name__
            raise ValueError(f"intervention {name!r} gives {found} for activations {dtype} {list(hidden.shape)}")
        if not torch.equal(before, given[0]):
            raise ValueError(f"intervention {name!r} changes the activations that it is given; allowed: new ones")
        if not torch.isfinite(after).all() or not torch.allclose(after[:1], alone, atol=1e-4):
            raise ValueError(f"intervention {name!r} gives numbers that are not finite, or depend on the rows beside")
