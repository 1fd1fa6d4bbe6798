"""The types of a sweep file's fields: names, lists, layers; how a wrong value is told. ``sweep_schema`` puts them together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import isfinite
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from actors import schedules, sites
from actors.curves import CURVE
from actors.interventions import INTERVENTIONS
from actors.interventions.own import REFERENCE
from actors.methods import METHODS
from actors.positions import ALLOWED, PROMPT_PARTS, Positions
from orchestrator.errors import InputError, fault, nearest_name, shown
from orchestrator.models.layers import PROFILE
from orchestrator.paths import checked, expanded
from orchestrator.scoring.judges.rubric import FIELD_NAME
from orchestrator.strict import FromList, FromListOrOne

NOT_FOR_SWEEPS = frozenset({"affine_ablation", "subspace_replacement"})
"""Interventions that need more than a direction and a multiplier: methods use them, a sweep cannot."""

SWEEP_INTERVENTIONS = dict.fromkeys([*(name for name in INTERVENTIONS if name not in NOT_FOR_SWEEPS), CURVE])

AUTO = -1
"""``auto`` in a list of layers: the layer that the method itself selects."""

Item = TypeVar("Item")


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise fault("not a date", "a day as 2024-07-26") from error


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
PathText = Annotated[Text, AfterValidator(lambda text: _a_path(text))]
Repository = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$"),
    AfterValidator(lambda text: _a_repository(text)),
]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
SHA256 = r"^[0-9a-f]{64}$"
IN_WORDS = {
    NAME: "letters, digits, '.', '-' and '_', first a letter or a digit, 100 at most",
    VARIABLE: "letters, digits and '_', first no digit, 100 at most",
    SHA256: "64 digits from 0 to 9 and a to f",
    FIELD_NAME: "small letters and '_', first a letter, 41 at most",
}
"""What the patterns of fields allow."""
Name = Annotated[str, StringConstraints(pattern=NAME)]
Variable = Annotated[str, StringConstraints(pattern=VARIABLE)]
Strength = Annotated[float, Field(allow_inf_nan=False), AfterValidator(lambda number: number + 0.0)]
"""A multiplier; the sum makes minus zero the zero that it is."""

Day = Annotated[str, AfterValidator(_day)]
"""A date as text: ``2024-07-26``."""
Depth = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def _a_path(text: str) -> str:
    try:
        checked(expanded(text))
    except InputError as error:
        found = error.problems[0]
        raise fault(found.message, found.allowed or "") from error
    return text


def _a_repository(text: str) -> str:
    # only sweeps with hub models pay for this import
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(text)
    except HFValidationError as error:
        allowed = "organisation/name, up to 96 characters, without '--', '..', '.git' at the end"
        raise fault("not a valid name", allowed) from error
    return text


def _listed_in(registry: Mapping[str, object], kind: str) -> BeforeValidator:
    """A name that must be a key of one of the actors' registries."""

    def check(name: object) -> object:
        if isinstance(name, str) and name not in registry:
            raise fault(f"unknown {kind}", ", ".join(registry))
        return name

    return BeforeValidator(check)


MethodName = Annotated[str, _listed_in(METHODS, "method")]


def _intervention(name: object) -> object:
    """A line of the registry, or ``file.py:name``."""
    if isinstance(name, str) and name not in SWEEP_INTERVENTIONS and not REFERENCE.fullmatch(name):
        raise fault(
            "unknown intervention",
            ", ".join([*SWEEP_INTERVENTIONS, "or file.py:name"]),
            nearest_name(name, [*SWEEP_INTERVENTIONS]) or "",
        )
    return name


InterventionName = Annotated[str, BeforeValidator(_intervention)]


def _scales(value: object) -> str:
    """``none``, ``raw_norm``, or a list of factors, as text."""
    if isinstance(value, list) and value and all(type(one) in (int, float) and isfinite(one) for one in value):
        return ",".join(f"{one:.9g}" for one in value)
    if value in ("none", "raw_norm"):
        return str(value)
    nearest = nearest_name(value, ("none", "raw_norm")) if isinstance(value, str) else None
    raise fault("it says how the multiplier differs by layer", SCALES, nearest or "")


SCALES = "none, raw_norm, or a list with one number for each steered layer"
Scales = Annotated[str, BeforeValidator(_scales)]


def _positions(value: object) -> str:
    """``last_prompt``, ``last_prompt+generation``, or ``{first: 8}`` for ``first:8``."""
    value = _in_words(value, ALLOWED)
    if not isinstance(value, str):
        raise fault("it says at which tokens the steering acts", ALLOWED)
    try:
        return Positions.of(value).text
    except ValueError as error:
        words = ("all", *PROMPT_PARTS, "generation", "first", "from")
        unknown = [part for part in value.split("+") if part.partition(":")[0] not in words]
        raise fault(str(error), ALLOWED, _nearest_word(unknown[0] if unknown else value, words)) from error


SteeredPositions = Annotated[str, BeforeValidator(_positions)]


def schedule_of(value: object) -> str:
    """``constant``, or ``{linear: 32}`` for ``linear:32``."""
    value = _in_words(value, schedules.ALLOWED)
    if not isinstance(value, str):
        raise fault("it says how the strength changes along the answer", schedules.ALLOWED)
    try:
        return schedules.Schedule.of(value).text
    except ValueError as error:
        raise fault(str(error), schedules.ALLOWED, _nearest_word(value, ("constant", "linear", "exponential"))) from error


def _in_words(value: object, allowed: str, kind: str = "whole number of tokens") -> object:
    """``{first: 8}`` as ``first:8``."""
    if not isinstance(value, dict):
        return value
    word, number = one_of(value, allowed, kind)
    return f"{word}:{number}"


def one_of(value: Mapping[str, object], allowed: str, kind: str = "whole number of tokens") -> tuple[str, int]:
    """The one key of a mapping, and its number."""
    if len(value) != 1:
        raise fault(f"one of them, not {len(value)}: {', '.join(map(str, value)) or 'nothing'}", allowed)
    ((word, number),) = value.items()
    if type(number) is not int:
        raise fault(f"{word!r} takes a {kind}, not {shown(number)}", allowed)
    return word, number


def _nearest_word(value: str, words: Sequence[str]) -> str:
    """Of ``words`` the one that was meant by what ``value`` begins with; empty where it is one of them."""
    word = value.partition(":")[0]
    return "" if word in words else nearest_name(word, words) or ""


def _layer(value: object, check: ValidatorFunctionWrapHandler) -> int:
    if value == "auto":
        return AUTO
    if isinstance(value, str) and not value.lstrip("+-").isdigit():
        raise fault("not a layer", "a whole number from 0, or auto", nearest_name(value, ("auto",)) or "")
    number: int = check(value)
    return number


Layer = Annotated[int, Field(ge=0), WrapValidator(_layer)]


def named(key: str) -> BeforeValidator:
    """``tool`` alone is short for ``{key: tool}``."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


Row = Annotated[tuple[Item, ...], FromList, Field(min_length=1)]
"""A list with at least one item."""

RowOrOne = Annotated[tuple[Item, ...], FromListOrOne, Field(min_length=1)]
"""The same; one name may stand without its brackets."""

Depths = Annotated[Row[Depth], BeforeValidator(lambda value: PROFILE if value == "profile" else value)]
Layers = Row[Layer]

one_or_some = BeforeValidator(lambda value: value if isinstance(value, list) else [value])

PositionsAxis = Annotated[Row[SteeredPositions], one_or_some]
"""The same of positions, of which one may be a mapping."""


def site_text(value: object) -> str:
    """``attention``, or ``{head: 3}`` for ``head:3``."""
    value = _in_words(value, sites.ALLOWED, "whole number")
    if not isinstance(value, str):
        raise fault("it says where in a block the steering acts", sites.ALLOWED)
    try:
        return sites.site_of(value)
    except ValueError as error:
        raise fault(str(error), sites.ALLOWED, _nearest_word(value, (*sites.SITES, sites.EVERYWHERE, "head"))) from error


SiteAxis = Annotated[Row[Annotated[str, BeforeValidator(site_text)]], one_or_some]
"""The same of sites."""

ScheduleAxis = Annotated[Row[Annotated[str, BeforeValidator(schedule_of)]], one_or_some]
"""The same of schedules."""
