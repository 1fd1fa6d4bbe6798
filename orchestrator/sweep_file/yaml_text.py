"""YAML text -> plain data that remembers its lines. Safe: no tags, no anchors, no duplicate keys, bounded size.

What YAML 1.1 (PyYAML) and YAML 1.2 read as different things is refused, with what to write instead: ``010`` is 8 in the one
and 10 in the other, ``1:30`` is 90 or text, ``no`` is false or text.
Knows nothing of what a sweep is; ``Document.locate`` turns the path of a value into the line it stands in.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path

import yaml

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.sweep_file.yaml_faults import syntax_problem

MAX_BYTES = 5_000_000
MAX_NODES = 200_000
MAX_NESTING = 30
MAX_DIGITS = 100
"""Characters of a number: more have no use, and take long to read."""

_AMBIGUOUS = {
    "with a leading zero": re.compile(r"[-+]?0[0-9_]+"),
    "of another base": re.compile(r"[-+]?0[bo][0-9_]+|[-+]0x[0-9a-fA-F_]+"),
    "with underscores": re.compile(r"[-+]?[0-9.][0-9_.]*_[0-9_.]*([eE][-+]?[0-9]+)?"),
    "to the base of 60": re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
}
"""Plain scalars that look like numbers and are not the same, or no number, to every reader of YAML."""
_YES_OR_NO = {"yes": "true", "on": "true", "no": "false", "off": "false"}

_PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)

Steps = Sequence[str | int]


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader; also reads ``1e-3`` as the number that it is in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Document:
    """The data of a YAML file (mappings with text keys, lists, scalars), the nodes it came from, and the text itself.

    ``left_out``: places of list items that the data lacks; the numbers of those after them are then smaller than in the file.
    """

    file: str
    text: str
    data: object
    root: yaml.Node | None
    left_out: frozenset[tuple[str | int, ...]] = frozenset()

    def locate(self, path: Steps) -> tuple[str, int | None]:
        """The dotted name and the line (from 1) of what lies at ``path``; steps that the file does not spell out are skipped."""
        name, line, node = "", self._line(self.root), self.root
        here: tuple[str | int, ...] = ()
        for step in path:
            written = step if isinstance(step, str) else self._written(here, step)
            found = _child(node, written)
            if found is None:
                name += "" if isinstance(step, int) or not isinstance(node, yaml.MappingNode) else f".{step}"
                continue
            name += f"[{written}]" if isinstance(step, int) else f".{step}"
            here += (written,)
            mark, node = found
            line = self._line(mark)
        return name.lstrip("."), line

    def item_at(self, path: Steps) -> tuple[str | int, ...] | None:
        """The place of the innermost list item that ``path`` goes through, None where it goes through none; steps as of
        :meth:`locate`."""
        here: tuple[str | int, ...] = ()
        item, node = None, self.root
        for step in path:
            found = _child(node, step)
            if found is not None:
                here += (step,)
                item, node = here if isinstance(step, int) else item, found[1]
        return item

    def without(self, items: Collection[tuple[str | int, ...]]) -> Document:
        """The same without the list items at these places; :meth:`locate` still says where the others stand in the file."""
        return replace(self, data=_without(self.data, frozenset(items), ()), left_out=frozenset(items))

    def _written(self, here: tuple[str | int, ...], number: int) -> int:
        """The number in the file of the ``number``-th item that the data has of the list at ``here``."""
        for one in sorted(item[-1] for item in self.left_out if item[:-1] == here and isinstance(item[-1], int)):
            number += one <= number
        return number

    @staticmethod
    def _line(node: yaml.Node | None) -> int | None:
        return None if node is None else int(node.start_mark.line) + 1


def read_yaml(path: Path, numbers: Collection[str] = ()) -> Document:
    """Read a YAML file. Raises :class:`InputError`: unreadable, too large, bad syntax, an anchor, a duplicate key.

    ``numbers``: keys of which all that lies below is a number; a ``yes`` there is told so.
    """
    return parse_yaml(_read(path), str(path), numbers)


def parse_yaml(text: str, file: str, numbers: Collection[str] = ()) -> Document:
    """Parse ``text`` as the content of ``file``; raises as :func:`read_yaml` does."""
    try:
        _guard(text, file)
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise InputError(syntax_problem(error, text, file)) from error
    builder = _Builder(loader, file, numbers)
    data = None if root is None else builder.build(root)
    if builder.problems:
        raise InputError(*builder.problems)
    return Document(file, text, data, root)


@dataclass
class _Builder:
    """Builds plain data from nodes; gathers duplicate keys, keys that are not text, foreign tags."""

    loader: _Loader
    file: str
    numbers: Collection[str] = ()
    problems: list[Problem] = field(default_factory=list)

    def build(self, node: yaml.Node, name: str = "") -> object:
        """The data of ``node``, which stands at ``name`` in the file (``layers[0]``)."""
        if node.tag not in _PLAIN_TAGS:
            self.report(node, node.tag, "YAML tags are not used here", "plain mappings, lists, text and numbers")
            return None
        if isinstance(node, yaml.MappingNode):
            return dict(self.entries(node, name))
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{name}[{number}]") for number, item in enumerate(node.value)]
        if _is_half(node.value):
            self.report(node, _cut(node.value), "it holds half of a surrogate pair", "valid Unicode", name=name)
            return None
        if doubt := _doubt(node, any(key in self.numbers for key in re.split(r"[.\[]", name))):
            self.report(node, _cut(node.value), *doubt, name=name)
            return None
        if node.tag.endswith(":timestamp"):
            return node.value  # text, as in YAML 1.2
        try:
            return self.loader.construct_object(node)
        except (ValueError, OverflowError, LookupError):  # PyYAML looks up what a tag promises
            kind = node.tag.rpartition(":")[2]
            self.report(node, _cut(node.value), f"cannot read this value as {kind}", "a plain value, without a tag", name=name)
            return None

    def entries(self, node: yaml.MappingNode, inside: str) -> Iterator[tuple[str, object]]:
        first: dict[str, int] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) and key.tag.endswith(":str") else None
            line = int(key.start_mark.line) + 1
            if key.tag.endswith(":merge"):
                self.report(key, "<<", "merge keys are not used here", "write the keys out")
            elif name is None or _is_half(name):
                self.report(key, key.value if isinstance(key, yaml.ScalarNode) else None, "a key must be text", "quote the key")
            elif name in first:
                right = "a space after the '-' of an item" if name.startswith("-") else "each key once"
                self.report(key, name, f"duplicate key: '{name}' is already given in line {first[name]}", right, name)
            else:
                first[name] = line
                yield name, self.build(value, f"{inside}.{name}".lstrip("."))

    def report(self, node: yaml.Node, value: object, message: str, allowed: str | None = None, name: str = "") -> None:
        self.problems.append(Problem(name, value, message, allowed, line=int(node.start_mark.line) + 1, file=self.file))


def _doubt(node: yaml.Node, number: bool) -> tuple[str, str] | None:
    """What is ambiguous about a plain scalar, and what is allowed instead (where a ``number`` has to stand, one); None when
    nothing is."""
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    if len(node.value) > MAX_DIGITS:
        is_text = node.tag.endswith(":str")
        return None if is_text else ("the number is too long", f"at most {MAX_DIGITS} characters")
    if meant := _YES_OR_NO.get(node.value.lower()):
        allowed = "a number" if number else f"{meant}; in quotes if it is text"
        return "true or false to some readers of YAML, text to others", allowed
    kind = next((kind for kind, form in _AMBIGUOUS.items() if form.fullmatch(node.value)), None)
    if kind is None:
        return None
    return f"a number {kind} is not the same to every reader of YAML", f"{_decimal(node.value)}; in quotes if it is text"


def _decimal(written: str) -> str:
    """What is probably meant, in digits: ``010`` -> ``10``, ``1:30`` -> ``90``."""
    bare = written.replace("_", "")
    for base in (10, 0):
        with suppress(ValueError):
            return str(int(bare, base))
    with suppress(ValueError):
        return repr(float(bare))
    *sixties, last = bare.lstrip("+-").split(":")
    whole = reduce(lambda total, digits: total * 60 + int(digits), sixties, 0) * 60
    return f"{'-' * bare.startswith('-')}{whole + (float(last) if '.' in last else int(last))}"


def _is_half(text: object) -> bool:
    """Whether text cannot be written to any file: an escape has put half of a surrogate pair into it."""
    return isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text)


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def _read(path: Path) -> str:
    file = str(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # a pipe or a device: it may never end
            raise InputError(
                Problem("", None, "cannot read the file: it is a pipe or a device", "the path of a YAML file", file=file)
            )
        if found.st_size > MAX_BYTES:
            raise InputError(Problem("", found.st_size, "the file is too large", f"at most {MAX_BYTES} bytes", file=file))
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        near = _nearest(path) if isinstance(error, FileNotFoundError) else None
        raise InputError(
            Problem("", None, f"cannot read the file: {error.strerror}", "the path of a YAML file", near, file=file)
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(Problem("", None, f"the file is not UTF-8 text (byte {error.start})", "UTF-8", file=file)) from error


def _nearest(path: Path) -> str | None:
    """The YAML file of the folder of ``path``, or of ``sweeps``, whose path or name is closest."""
    files = [one for folder in dict.fromkeys((path.parent, Path("sweeps"))) for one in sorted(folder.glob("*.yaml"))]
    names = {**{one.stem: str(one) for one in reversed(files)}, **{str(one): str(one) for one in files}}
    found = nearest_name(path, names)
    return None if found is None else names[found]


def _guard(text: str, file: str) -> None:
    """Refuse, before anything is built, what could blow up: anchors and aliases, too many nodes, too deep nesting."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        line = None if event.start_mark is None else int(event.start_mark.line) + 1
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            raise InputError(
                Problem("", anchor, "anchors and aliases are not used here", "write the value out", None, line, file)
            )
        if number > MAX_NODES:
            raise InputError(Problem("", None, "the file has too many entries", f"at most {MAX_NODES}", None, line, file))
        if depth > MAX_NESTING:
            raise InputError(
                Problem("", None, "the file is nested too deeply", f"at most {MAX_NESTING} levels", None, line, file)
            )


def _without(data: object, items: frozenset[tuple[str | int, ...]], here: tuple[str | int, ...]) -> object:
    if isinstance(data, dict):
        return {key: _without(value, items, (*here, key)) for key, value in data.items()}
    if isinstance(data, list):
        places = [(*here, number) for number in range(len(data))]
        return [_without(value, items, place) for value, place in zip(data, places, strict=True) if place not in items]
    return data


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """(the node whose line to show, the value's node) of one step down, None when the file has no such step."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None
