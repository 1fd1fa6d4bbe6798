"""A rubric: a Markdown file whose front matter says what a judge may answer, and whose text asks for it.

``{prompt}`` and ``{response}`` in the text stand for what is judged; other slots are filled by the sweep file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, create_model, model_validator

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
_CODE = re.compile(r"```(?:json)?\n(.*)\n```", re.DOTALL)
_REASON = 500
_Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,40}$")]


class RubricScale(Entry):
    """The ends of a scale, and what its numbers measure."""

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    unit: LabelText


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

    @model_validator(mode="after")
    def _whole(self) -> RubricHead:
        if (self.labels is None) == (self.scale is None):
            raise fault("a rubric has labels or a scale", "labels: [...], or scale: {low, high, unit}")
        if self.scale is not None and self.scale.low >= self.scale.high:
            raise fault("the scale has no length", "low below high")
        if self.labels is None and self.target is not None:
            raise fault("a target is a label; a scale gets its threshold in the sweep file", "no target")
        if self.labels is not None and (self.parts or self.zero_if):
            raise fault("parts and zero_if go with a scale", "flags")
        if self.target is not None and self.target not in (self.labels or ()):
            raise fault(f"the target {self.target!r} is no label of it", ", ".join(self.labels or ()))
        if self.zero_if is not None and self.zero_if not in self.flags:
            raise fault(f"zero_if names {self.zero_if!r}, which is no flag", ", ".join(self.flags))
        if any(low >= high for low, high in self.parts.values()):
            raise fault("a part has no length", "parts: {convincing: [1, 5]}")
        names = [*self.flags, *self.parts, *("label", "score", "reason")]
        if len(set(names)) < len(names):
            raise fault("a name stands twice among flags and parts", "names but label, score and reason, each once")
        return self


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
        said = told_apart(reply).answer.strip()
        found = _CODE.fullmatch(said)
        try:
            given = self._form.model_validate(parse_json(found[1] if found else said, keys_once=True)).model_dump()
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

    def _value(self, given: dict[str, Any]) -> float | None:
        scale = self.head.scale
        if scale is None:
            return None
        if not self.head.parts:
            return float(given.pop("score"))
        if self.head.zero_if is not None and given[self.head.zero_if]:
            return scale.low
        shares = [(given[name] - low) / (high - low) for name, (low, high) in self.head.parts.items()]
        return scale.low + (scale.high - scale.low) * sum(shares) / len(shares)

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
    head, text = _read(name, file)
    wanted = set(_SLOT.findall(text)) - set(JUDGED)
    if "response" not in _SLOT.findall(text):
        raise InputError(Problem("rubric", name, "its text has no {response}", "{response}, and perhaps {prompt} and others"))
    if wanted != set(slots):
        what = ", ".join(sorted(wanted ^ set(slots)))
        allowed = ", ".join(sorted(wanted)) or "none: this rubric has no slot to fill"
        raise InputError(Problem("slots", None, f"missing, or unknown to the rubric '{name}': {what}", allowed))
    return Rubric(Path(name).stem, head, text, dict(slots))


def _read(name: str, file: Path) -> tuple[RubricHead, str]:
    with file.open("rb") as opened:
        content = opened.read(_MOST + 1)
    found = _HEAD.fullmatch(content.decode("utf-8-sig", "replace").replace("\r\n", "\n"))
    if found is None or len(content) > _MOST:
        raise InputError(Problem("rubric", name, "no rubric", "Markdown of at most 100 kB that begins with YAML between two ---"))
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(found["head"])):
            raise InputError(Problem("rubric", name, "its YAML has an alias, which is refused"))
        return RubricHead.model_validate(yaml.safe_load(found["head"])), found["text"]
    except yaml.YAMLError as error:
        raise InputError(Problem("rubric", name, f"its YAML cannot be read: {error}")) from error
    except ValidationError as error:
        told = [(".".join(map(str, one["loc"])), one["msg"], one.get("ctx", {})) for one in error.errors(include_url=False)]
        problems = [Problem("rubric", name, f"{at}: {why}".lstrip(": "), more.get("allowed")) for at, why, more in told]
        raise InputError(*problems) from error
