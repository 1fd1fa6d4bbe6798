"""What a sweep file refers to: models with shape and fingerprint, behaviors with prompts; and checks across sections.

Works on every section that is valid by itself, so one bad section does not hide the problems of the others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model

from actors.methods import METHODS
from actors.types import ModelSpec, Prompt, Resources
from orchestrator.behaviors import Behavior, TestPrompt, load_behavior
from orchestrator.cells import Options
from orchestrator.errors import InputError, Problem, nearest_entry
from orchestrator.models import ModelShape, check_adapter, fingerprint_of, shape_of
from orchestrator.sweep_problems import problem_at, problems_of, unknown_name
from orchestrator.sweep_schema import BehaviorEntry, Entry, ModelEntry, SweepSettings
from orchestrator.sweep_yaml import Document

Section = TypeVar("Section", bound=BaseModel)


@dataclass(frozen=True)
class ModelVariant:
    """One model in one quantization, as the sweep names it.

    ``key`` is the model's key in the file, ``name`` the key and, when quantized, ``/quantization``.
    """

    key: str
    name: str
    spec: ModelSpec
    shape: ModelShape
    resources: Resources
    multipliers: tuple[float, ...]


@dataclass(frozen=True)
class BehaviorPrompts:
    """A behavior whose ``test`` prompts are the selected ones; ``warnings`` name near duplicates of extraction prompts."""

    behavior: Behavior
    warnings: tuple[str, ...]

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The test prompts as they cross the wire."""
        return tuple(Prompt(prompt.id, prompt.text) for prompt in self.behavior.test)


@dataclass(frozen=True)
class Resolved:
    """What the valid sections refer to."""

    models: tuple[ModelVariant, ...]
    behaviors: tuple[BehaviorPrompts, ...]
    methods: tuple[tuple[str, Options], ...]


class Resolver:
    """Resolves the sections of one document; ``problems`` holds what is wrong with what they refer to.

    Paths are relative to ``folder``. What the schema itself refuses is not reported here again.
    """

    def __init__(self, document: Document, folder: Path) -> None:
        self._document, self._folder = document, folder
        self.problems: list[Problem] = []

    def resolve(self) -> Resolved:
        """Resolve all that can be; look at ``problems`` before using the result."""
        shapes = {key: shape for key, entry in self._entries("models", ModelEntry) if (shape := self._shape(key, entry))}
        self._check_layers(shapes)
        models = tuple(self._variants(shapes))
        self._check_multipliers(shapes)
        self._check_transfer()
        behaviors = tuple(
            found for key, entry in self._entries("behaviors", BehaviorEntry) if (found := self._behavior(key, entry))
        )
        return Resolved(models, behaviors, tuple(self._methods()))

    # --- models

    def _shape(self, key: str, entry: ModelEntry) -> ModelShape | None:
        spec = self._spec(entry)
        given = None if entry.shape is None else entry.shape.as_config()
        try:
            return shape_of(spec, given, entry.family)
        except InputError as error:
            self._report_within(error, "models", key, spec.source)
            return None

    def _spec(self, entry: ModelEntry) -> ModelSpec:
        common: dict[str, Any] = {
            "adapter": None if entry.adapter is None else self._path(entry.adapter),
            "dtype": entry.dtype,
            "trust_remote_code": entry.trust_remote_code,
            "system_prompt": entry.system_prompt,
            "template_options": tuple(sorted(entry.template_options.items())),
        }
        if entry.embedded is not None:
            return ModelSpec("embedded", entry.embedded, **common)
        if entry.folder is not None:
            return ModelSpec("folder", self._path(entry.folder), **common)
        return ModelSpec("hub", entry.hub or "", entry.revision or "main", **common)

    def _variants(self, shapes: Mapping[str, ModelShape]) -> Iterator[ModelVariant]:
        for key, entry in self._entries("models", ModelEntry):
            if key not in shapes:
                continue
            spec = self._spec(entry)
            try:
                spec = replace(spec, fingerprint=fingerprint_of(spec))
                if spec.adapter is not None:
                    check_adapter(Path(spec.adapter), shapes[key])
            except InputError as error:
                self._report_within(error, "models", key, spec.source)
                continue
            resources = Resources(entry.gpus, entry.cpus, entry.accelerator)
            for quantization in dict.fromkeys(entry.quantizations):
                name = variant_name(key, quantization)
                variant = replace(spec, quantization=quantization)
                yield ModelVariant(key, name, variant, shapes[key], resources, self._multipliers(key, shapes[key].family))

    def _multipliers(self, key: str, family: str) -> tuple[float, ...]:
        valid = self._valid("multipliers")
        return () if valid is None else valid.of(key, family) or ()

    # --- behaviors and methods

    def _behavior(self, key: str, entry: BehaviorEntry) -> BehaviorPrompts | None:
        path = self._path(entry.file)
        if not Path(path).is_file():
            near = nearest_entry(Path(path))
            nearest = near and os.path.join(os.path.dirname(entry.file), near)
            at = ("behaviors", key, "file")
            self._report(at, "there is no such file", entry.file, allowed="a JSONL file of prompts", nearest=nearest)
            return None
        try:
            behavior = load_behavior(key, Path(path), os.path.normpath(Path(self._document.file).parent / entry.file))
        except InputError as error:
            self.problems += error.problems
            return None
        behavior = replace(behavior, test=self._selected(key, entry, behavior))
        warnings = tuple(
            f"behavior {key}: test prompt {test} nearly repeats extraction prompt {extraction}"
            for extraction, test in behavior.near_duplicates()
        )
        return BehaviorPrompts(behavior, warnings)

    def _selected(self, key: str, entry: BehaviorEntry, behavior: Behavior) -> tuple[TestPrompt, ...]:
        test = behavior.test
        known = [prompt.id for prompt in test]
        for number, name in enumerate(entry.prompts or ()):
            if name not in known:
                path = ("behaviors", key, "prompts", number)
                self.problems.append(unknown_name(self._document, path, name, "test prompt", known))
        splits = {prompt.split for prompt in test if prompt.split is not None}
        if entry.split is not None and entry.split not in splits:
            at = ("behaviors", key, "split")
            self._report(
                at,
                "no test prompt is of this split",
                entry.split,
                allowed=", ".join(sorted(splits)) or "no split is given in the file",
            )
            return test
        chosen = [prompt for prompt in test if entry.prompts is None or prompt.id in entry.prompts]
        chosen = [prompt for prompt in chosen if entry.split is None or prompt.split == entry.split]
        if not chosen:
            self._report(
                ("behaviors", key), "the selection leaves no test prompts", allowed="prompts and a split that have some in common"
            )
        return tuple(chosen[: entry.limit])

    def _methods(self) -> Iterator[tuple[str, Options]]:
        for number, entry in enumerate(self._valid("methods") or ()):
            section = METHODS[entry.name].options
            at = ("methods", number, "options")
            try:
                yield entry.name, tuple(sorted(section.model_validate(entry.options).model_dump().items()))
            except ValidationError as error:
                self.problems += problems_of(error, self._document, section, at)

    # --- checks across sections

    def _check_layers(self, shapes: Mapping[str, ModelShape]) -> None:
        for number, layer in enumerate(self._valid("layers") or ()):
            short = {key: shape.n_layers for key, shape in shapes.items() if layer >= shape.n_layers}
            if short:
                models = ", ".join(f"model {key} has {count} layers" for key, count in short.items())
                self._report(
                    ("layers", number), f"layer {layer} is out of range: {models}", layer, allowed=f"0..{min(short.values()) - 1}"
                )

    def _check_multipliers(self, shapes: Mapping[str, ModelShape]) -> None:
        multipliers = self._valid("multipliers")
        if multipliers is None:
            return
        known = {"families": {shape.family for shape in shapes.values()}, "models": set(shapes)}
        everything_known = len(shapes) == len(self._raw("models"))
        for section, names in known.items():
            for name in getattr(multipliers, section):
                if name not in names and everything_known:
                    kind = "model" if section == "models" else "family"
                    self.problems.append(unknown_name(self._document, ("multipliers", section, name), name, kind, sorted(names)))
        for key, shape in shapes.items():
            if not multipliers.of(key, shape.family):
                allowed = f"multipliers: default, families: {shape.family}, or models: {key}"
                self._report(("multipliers",), f"no multipliers for model {key}", allowed=allowed)
        if self._valid("intervention") == "ablation":
            self._check_ablation(multipliers)

    def _check_ablation(self, multipliers: Any) -> None:
        lists: dict[tuple[str, ...], Sequence[float]] = {("default",): multipliers.default or ()}
        lists |= {("families", name): values for name, values in multipliers.families.items()}
        lists |= {("models", name): values for name, values in multipliers.models.items()}
        for path, values in lists.items():
            for number, value in enumerate(values):
                if not 0 <= value <= 1:
                    at: tuple[str | int, ...] = ("multipliers", *path, number)
                    self._report(at, "out of range for ablation", value, allowed="0 (nothing) to 1 (the whole component removed)")

    def _check_transfer(self) -> None:
        transfer = self._valid("transfer")
        entries = dict(self._entries("models", ModelEntry))
        if transfer is None or len(entries) < len(self._raw("models")):
            return
        names = [*entries, *(variant_name(key, form) for key, entry in entries.items() for form in entry.quantizations)]
        for number, pair in enumerate(transfer.pairs or ()):
            for side in ("source", "target"):
                name = getattr(pair, side)
                if name not in names:
                    self.problems.append(unknown_name(self._document, ("transfer", number, side), name, "model", names))

    # --- the document

    def _raw(self, section: str) -> Mapping[str, object]:
        data = self._document.data
        found = data.get(section) if isinstance(data, dict) else None
        return found if isinstance(found, dict) else {}

    def _entries(self, section: str, kind: type[Section]) -> Iterator[tuple[str, Section]]:
        """The entries of a mapping section that are valid by themselves."""
        for key, raw in self._raw(section).items():
            try:
                yield key, kind.model_validate(raw)
            except ValidationError:
                continue

    def _valid(self, key: str) -> Any:
        """The value of a top-level key or its default, None when it is not valid by itself."""
        field = SweepSettings.model_fields[key]
        data = self._document.data
        if not isinstance(data, dict) or key not in data:
            return None if field.is_required() else field.get_default(call_default_factory=True)
        try:
            fields: Any = {"value": (field.annotation, field)}
            alone: Any = create_model("Alone", __base__=Entry, **fields)
            return alone(value=data[key]).value
        except ValidationError:
            return None

    def _path(self, written: str) -> str:
        return os.path.abspath(self._folder / Path(written).expanduser())

    def _report(self, path: Sequence[str | int], message: str, value: object = None, **more: str | None) -> None:
        self.problems.append(problem_at(self._document, path, message, value, **more))

    def _report_within(self, error: InputError, *path: str) -> None:
        """Report a problem that was found without the document; it may name the field of the entry that it is about."""
        for problem in error.problems:
            at = (*path[:-1], problem.field or path[-1])
            self._report(at, problem.message, problem.value, allowed=problem.allowed, nearest=problem.nearest)


def variant_name(key: str, quantization: str) -> str:
    """How a sweep calls one variant of a model: its key, and the quantization if there is one."""
    return key if quantization == "none" else f"{key}/{quantization}"
