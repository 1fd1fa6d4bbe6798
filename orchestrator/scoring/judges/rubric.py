"""A rubric: a Markdown file whose front matter says what a judge may answer, and whose text asks for it.

``{prompt}`` and ``{response}`` in the text stand for what is judged; other slots are filled by the sweep file.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from actors.spoken import told_apart
from orchestrator.errors import InputError, Problem, fault, nearest_entry, nearest_name
from orchestrator.json_text import parse_json
from orchestrator.scoring.judges.fence import RULE, fenced, mark_of
from orchestrator.scoring.options import LabelText, encodable
from orchestrator.scoring.score import Labels, Scale, Score
from orchestrator.strict import Entry, FromList
from orchestrator.untrusted import visible

SHIPPED = Path(__file__).parents[1] / "rubrics"
JUDGED = ("prompt", "response")
_MOST = 100_000
_HEAD = re.compile(r"---\n(?P<head>.{,10000}?)\n---\n(?P<text>.*)", re.DOTALL)
_SLOT = re.compile(r"\{([a-z_]+)\}")
_CODE = re.compile(r"```(?:json)?[ \t]*\r?\n(.*)\n```", re.DOTALL | re.IGNORECASE)
_REASON = 500
FIELD_NAME = r"^[a-z][a-z_]{0,40}$"
_Name = Annotated[str, Field(pattern=FIELD_NAME)]


class RubricScale(Entry):
    """The ends of a scale, and what its numbers measure."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    unit: LabelText

    @field_validator("high")
    @classmethod
    def _above(cls, high: float, known: ValidationInfo) -> float:
        low = known.data.get("low")
        if low is not None and low >= high:
            raise fault("the scale has no length", f"a number above its low end, {low:g}")
        return high


class RubricHead(Entry):
    """What a judge may answer: one of ``labels``, or a number on the ``scale``.

    With ``parts``, each a whole number between two ends, the number is their mean, brought to the scale, and its low end where
    the flag ``zero_if`` holds. ``flags``: what else is asked, yes or no; they go into the evidence. ``reason``: whether the judge
    first says why in a sentence. ``source``: whose rubric it is, for readers.
    """

    labels: Annotated[tuple[LabelText, ...] | None, FromList] = Field(default=None, min_length=2, max_length=100)
    target: LabelText | None = None
    scale: RubricScale | None = None
    parts: dict[_Name, Annotated[tuple[int, int], FromList]] = Field(default_factory=dict)
    flags: Annotated[tuple[_Name, ...], FromList] = ()
    zero_if: _Name | None = None
    reason: bool = True
    source: str | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _whole(cls, given: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        """Of fields that are wrong by themselves the others are checked against each other too, so that all is told at once."""
        found: list[ErrorDetails] = []
        try:
            head = check(given)
        except ValidationError as error:
            found = error.errors(include_url=False)
            if not isinstance(given, dict):
                raise
            wrong = {one["loc"][0] for one in found}
            head = check({key: value for key, value in given.items() if key not in wrong})
            told = [(key, why) for key, why in head._faults() if key in given and key not in wrong]
        else:
            told = list(head._faults())
        if not (found or told):
            return head
        faults = [InitErrorDetails(type=why, loc=(key,), input=given.get(key)) for key, why in told]
        raise ValidationError.from_exception_data("rubric", [*map(_once_more, found), *faults])

    def _faults(self) -> Iterator[tuple[str, PydanticCustomError]]:
        """What its fields forbid each other, by the one that is wrong."""
        if self.labels is None and self.scale is None:
            yield "labels", fault("a rubric has labels or a scale", "labels: [...], or scale: {low, high, unit}")
        elif self.labels is None:
            if self.target is not None:
                yield "target", fault("a target is a label; a scale gets its threshold in the sweep file", "no target")
        else:
            if self.scale is not None:
                yield "scale", fault("a rubric has labels or a scale, not both", "labels: [...], or scale: {low, high, unit}")
            elif beside := [key for key in ("parts", "zero_if") if getattr(self, key)]:
                yield beside[0], fault("parts and zero_if go with a scale", "flags")
            if self.target is not None and self.target not in self.labels:
                yield "target", fault(f"the target {self.target!r} is no label of it", ", ".join(self.labels))
        if self.zero_if is not None and self.zero_if not in self.flags:
            yield "zero_if", fault(f"zero_if names {self.zero_if!r}, which is no flag", ", ".join(self.flags) or "no zero_if")
        if any(low >= high for low, high in self.parts.values()):
            yield "parts", fault("a part has no length", "parts: {convincing: [1, 5]}")
        names = Counter([*self.flags, *self.parts, *("label", "score", "reason")])
        if twice := [name for name, count in names.items() if count > 1]:
            told = f"a name stands twice among flags and parts: {', '.join(twice)}"
            where = "flags" if set(twice) & set(self.flags) else "parts"
            yield where, fault(told, "names but label, score and reason, each once")


def _once_more(found: ErrorDetails) -> InitErrorDetails:
    """What was found, to be raised again beside more."""
    context = found.get("ctx", {})
    kind = PydanticCustomError("sweep", "{message}", context) if found["type"] == "sweep" else found["type"]
    return InitErrorDetails(type=kind, loc=found["loc"], input=found["input"], ctx=context)


class FrontMatterError(InputError):
    """The front matter of a rubric is wrong. ``text``: it, in the lines in which the file has it; ``found``: what is wrong with
    its keys (None: it is no YAML); ``others``: what else is wrong with the rubric."""

    def __init__(self, told: Sequence[Problem], text: str, found: ValidationError | None, others: Sequence[Problem]) -> None:
        super().__init__(*told, *others)
        self.text, self.found, self.others = text, found, tuple(others)


class UnreadableReplyError(ValueError):
    """What a judge replied is not what the rubric asks for."""


@dataclass(frozen=True)
class Rubric:
    """A rubric by its ``name``, with the slots filled that the sweep file fills."""

    name: str
    head: RubricHead
    text: str
    slots: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of all that it is."""
        content = [self.head.model_dump(mode="json", exclude={"source"}), self.text, sorted(self.slots.items()), RULE]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def says(self) -> Labels | Scale:
        """What comes of it."""
        if self.head.scale is None:
            return Labels(self.head.labels or (), self.head.target)
        return Scale(self.head.scale.unit, self.head.scale.low, self.head.scale.high)

    @cached_property
    def _form(self) -> type[Entry]:
        fields: dict[str, Any] = {"reason": (str, ...)} if self.head.reason else {}
        fields |= dict.fromkeys(self.head.flags, (bool, ...))
        fields |= {name: (Annotated[int, Field(ge=low, le=high)], ...) for name, (low, high) in self.head.parts.items()}
        if self.head.scale is None:
            fields["label"] = (Literal[self.head.labels], ...)
        elif not self.head.parts:
            kind = Annotated[float, Field(ge=self.head.scale.low, le=self.head.scale.high, allow_inf_nan=False)]
            fields["score"] = (kind, ...)
        form: type[Entry] = create_model("verdict", __base__=Entry, __doc__="", **fields)
        return form

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of a reply."""
        return self._form.model_json_schema()

    def ask(self, prompt: str, response: str) -> str:
        """The whole message to a judge, with what is judged marked off as data."""
        mark = mark_of(prompt, response)
        filled = dict(self.slots) | {"prompt": fenced(prompt, mark), "response": fenced(response, mark)}
        text = _SLOT.sub(lambda found: filled.get(found[1], found[0]), self.text)
        return encodable(f"{RULE.format(mark=mark)}\n\n{text.strip()}\n\n{self._asked_for()}")

    def read(self, reply: str) -> Score:
        """The score that a reply gives; ``UnreadableReplyError`` unless it is exactly the JSON object that was asked for."""
        try:
            given = self._given(reply)
        except ValueError:  # a verdict may quote the marks of a thought: only what is none is looked through for them
            try:
                given = self._given(told_apart(reply).answer)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(map(str, first["loc"]))
                raise UnreadableReplyError(f"{where}: {first['msg']}: {visible(reply, 200)}") from None
            except ValueError as error:
                raise UnreadableReplyError(f"it is no JSON object ({error}): {visible(reply, 200)}") from None
        label, value = given.pop("label", None), self._value(given)
        if "reason" in given:
            given["reason"] = given["reason"][:_REASON]
        return Score(label, value, json.dumps(given, ensure_ascii=False))

    def _given(self, said: str) -> dict[str, Any]:
        """The object of which ``said`` consists, alone or in one code block; ValueError."""
        text = said.removeprefix("\ufeff").strip()
        found = _CODE.fullmatch(text)
        return self._form.model_validate(parse_json(found[1] if found else text, keys_once=True)).model_dump()

    def _value(self, given: dict[str, Any]) -> float | None:
        scale = self.head.scale
        if scale is None:
            return None
        if not self.head.parts:
            return float(given.pop("score"))
        if self.head.zero_if is not None and given[self.head.zero_if]:
            return scale.low
        shares = [(given[name] - low) / (high - low) for name, (low, high) in self.head.parts.items()]
        width = scale.high - scale.low
        if math.isinf(width):
            share = sum(shares) / len(shares)
            return (1 - share) * scale.low + share * scale.high
        return min(scale.low + width * sum(shares) / len(shares), scale.high)  # rounding can lead past the end

    def _asked_for(self) -> str:
        """How the reply has to look, said behind the data."""
        shown = [f'"{name}": {_in_words(kind)}' for name, kind in self.schema["properties"].items()]
        return "Reply with one JSON object and nothing else: {" + ", ".join(shown) + "}"


def _in_words(kind: Mapping[str, Any]) -> str:
    if "enum" in kind:
        return " or ".join(json.dumps(one, ensure_ascii=False) for one in kind["enum"])
    if kind["type"] == "boolean":
        return "true or false"
    if kind["type"] == "string":
        return "a sentence"
    return f"{'a whole' if kind['type'] == 'integer' else 'a'} number from {kind['minimum']:g} to {kind['maximum']:g}"


def load_rubric(name: str, slots: Mapping[str, str], folder: Path) -> Rubric:
    """The rubric ``name``: a shipped one, or a Markdown file in ``folder``. InputError, field ``rubric`` or ``slots``."""
    shipped = sorted(file.stem for file in SHIPPED.glob("*.md"))
    file = folder / name if name.endswith(".md") else SHIPPED / f"{name}.md"
    if (name.endswith(".md") and not file.is_file()) or (not name.endswith(".md") and name not in shipped):
        nearest = nearest_entry(file) if name.endswith(".md") else nearest_name(name, shipped)
        raise InputError(Problem("rubric", name, "there is no such rubric", f"{', '.join(shipped)}, or a .md file", nearest))
    found, text = _read(name, file)
    others = [*_text_faults(name, text), *_slot_faults(name, text, slots)]
    head = _head(name, found, others)
    if others:
        raise InputError(*others)
    return Rubric(Path(name).stem, head, text, dict(slots))


def _text_faults(name: str, text: str) -> Iterator[Problem]:
    if "response" not in _SLOT.findall(text):
        yield Problem("rubric", name, "its text has no {response}", "{response}, and perhaps {prompt} and others")


def _slot_faults(name: str, text: str, slots: Mapping[str, str]) -> Iterator[Problem]:
    """A slot that is missing because another one is misspelled is told once."""
    wanted = sorted(set(_SLOT.findall(text)) - set(JUDGED))
    missing = [slot for slot in wanted if slot not in slots]
    allowed = ", ".join(wanted) or "none: this rubric has no slot to fill"
    for slot in sorted(set(slots) - set(wanted)):
        nearest = nearest_name(slot, missing)
        missing = [one for one in missing if one != nearest]
        yield Problem(f"slots.{slot}", slot, f"the rubric '{name}' has no such slot", allowed, nearest)
    for slot in missing:
        yield Problem("slots", None, f"the slot '{slot}' of the rubric '{name}' is not filled", f"slots: {{{slot}: ...}}")


def _read(name: str, file: Path) -> tuple[str, str]:
    """The front matter, and the text."""
    with file.open("rb") as opened:
        content = opened.read(_MOST + 1)
    found = _HEAD.fullmatch(content.decode("utf-8-sig", "replace").replace("\r\n", "\n"))
    if found is None or len(content) > _MOST:
        raise InputError(Problem("rubric", name, "no rubric", "Markdown of at most 100 kB that begins with YAML between two ---"))
    return found["head"], found["text"]


def _head(name: str, text: str, others: Sequence[Problem]) -> RubricHead:
    """What the front matter says; ``FrontMatterError``, with the ``others``."""
    lines = f"\n{text}"  # below the first ---
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise FrontMatterError([Problem("rubric", name, "its YAML has an alias, which is refused")], lines, None, others)
        return RubricHead.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        told = Problem("rubric", name, f"its YAML cannot be read: {error}")
        raise FrontMatterError([told], lines, None, others) from error
    except ValidationError as error:
        found = [(".".join(map(str, one["loc"])), one["msg"], one.get("ctx", {})) for one in error.errors(include_url=False)]
        problems = [Problem("rubric", name, f"{at}: {why}".lstrip(": "), more.get("allowed")) for at, why, more in found]
        raise FrontMatterError(problems, lines, error, others) from error
