"""The models of a sweep file: shapes, fingerprints, and one variant for each quantization."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from actors.types import DATE, ModelSpec, Quantization, Resources
from orchestrator.errors import InputError
from orchestrator.models.files import ModelShape, check_adapter, fingerprint_of, shape_of
from orchestrator.models.templates import may_think, remarks_on
from orchestrator.paths import check_readable, expanded
from orchestrator.sweep_file.schema import ModelEntry
from orchestrator.sweep_file.sections import Sections


@dataclass(frozen=True)
class ModelVariant:
    """One model in one quantization, as the sweep names it.

    ``key`` is the model's key in the file, ``name`` the key and, when quantized, ``/quantization``. ``remarks``: what its files
    say that a person should know; ``thinks``: False where it is known that it marks no thoughts.
    """

    key: str
    name: str
    spec: ModelSpec
    shape: ModelShape
    resources: Resources
    remarks: tuple[str, ...] = ()
    thinks: bool = True


@dataclass(frozen=True)
class SweepModel:
    """A model of the file before its quantizations: ``spec`` is complete but for ``quantization``."""

    key: str
    spec: ModelSpec
    shape: ModelShape
    resources: Resources
    quantizations: tuple[Quantization, ...]
    remarks: tuple[str, ...] = ()
    steered: bool = True
    thinks: bool = True

    def variants(self, quantizations: Sequence[Quantization] | None) -> Iterator[ModelVariant]:
        """One variant per quantization (None: the model's own list)."""
        for quantization in dict.fromkeys(quantizations or self.quantizations):
            spec = replace(self.spec, quantization=quantization)
            name = variant_name(self.key, quantization)
            yield ModelVariant(self.key, name, spec, self.shape, self.resources, self.remarks, self.thinks)


def resolve_models(top: Sections, folder: Path) -> tuple[dict[str, SweepModel], dict[str, ModelShape]]:
    """The models that are in order by key, and the shapes of all whose shape is known. Paths are relative to ``folder``."""
    models: dict[str, SweepModel] = {}
    shapes: dict[str, ModelShape] = {}
    date: str = top.valid("date") or DATE
    for key, entry in top.entries("models", ModelEntry):
        spec = replace(spec_of(entry, folder), date=date)
        try:
            check_files(spec)
            shapes[key] = shape_of(spec, None if entry.shape is None else entry.shape.as_config(), entry.family)
            spec = replace(spec, fingerprint=fingerprint_of(spec))
            if spec.adapter is not None:
                check_adapter(Path(spec.adapter), shapes[key])
            remarks, thinks = remarks_on(spec), may_think(spec)
        except InputError as error:
            top.report_within(error, "models", key, spec.source)
            continue
        resources = Resources(entry.gpus, entry.cpus, entry.accelerator, entry.gpu_memory)
        models[key] = SweepModel(key, spec, shapes[key], resources, entry.quantizations, remarks, entry.steered, thinks)
    return models, shapes


def spec_of(entry: ModelEntry, folder: Path) -> ModelSpec:
    """The model that an entry names, without its fingerprint."""
    common: dict[str, Any] = {
        "adapter": None if entry.adapter is None else absolute(folder, entry.adapter),
        "dtype": entry.dtype,
        "trust_remote_code": entry.trust_remote_code,
        "system_prompt": entry.system_prompt,
        "template_options": tuple(sorted(entry.template_options.items())),
    }
    if entry.embedded is not None:
        return ModelSpec("embedded", entry.embedded, **common)
    if entry.folder is not None:
        return ModelSpec("folder", absolute(folder, entry.folder), **common)
    return ModelSpec("hub", entry.hub or "", entry.revision or "main", **common)


def check_files(spec: ModelSpec) -> None:
    """InputError when a file of the model's folder or of its adapter's cannot be read."""
    if spec.source == "folder":
        check_readable(Path(spec.location), "folder")
    if spec.adapter is not None:
        check_readable(Path(spec.adapter), "adapter")


def absolute(folder: Path, written: str) -> str:
    """A path of the sweep file, which is relative to the file's own ``folder``."""
    return os.path.abspath(folder / expanded(written))


def variant_name(key: str, quantization: str) -> str:
    """How a sweep calls one variant of a model: its key, and the quantization if there is one."""
    return key if quantization == "none" else f"{key}/{quantization}"


def families(shapes: Mapping[str, ModelShape]) -> list[str]:
    """The families of the models, sorted."""
    return sorted({shape.family for shape in shapes.values()})
