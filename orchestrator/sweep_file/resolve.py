"""What a sweep file refers to: models with shape and fingerprint, behaviors with prompts, and the grids over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cells import Options, variant_id
from orchestrator.damage import DamageSettings
from orchestrator.errors import Problem
from orchestrator.scoring.judges.pool_scorer import PoolScorer
from orchestrator.scoring.uses import Scoring
from orchestrator.sweep_file.analyses import AskedAnalysis, resolve_analyses
from orchestrator.sweep_file.behaviors import BehaviorFiles, BehaviorPrompts
from orchestrator.sweep_file.capability import Capability, resolve_capability
from orchestrator.sweep_file.damage import resolve_damage
from orchestrator.sweep_file.grid import Grid
from orchestrator.sweep_file.grids import GridResolver
from orchestrator.sweep_file.models import ModelVariant, resolve_models
from orchestrator.sweep_file.parity import AskedParity, resolve_parity
from orchestrator.sweep_file.schema import BehaviorEntry
from orchestrator.sweep_file.scorers import resolve_scorers
from orchestrator.sweep_file.sections import Sections
from orchestrator.sweep_file.vector_files import VectorFiles
from orchestrator.sweep_file.yaml_text import Document

__all__ = ["BehaviorPrompts", "Grid", "ModelVariant", "Resolved", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """What the valid sections refer to. ``models``, ``behaviors`` and ``methods``: those of all grids and judges, each once;
    ``unused``: keys of models that no grid runs; ``scoring``: what scores the behaviors; ``capability``: what else the models are
    tried on; ``damage``: how damage is measured; ``analyses``: what is analysed; ``parity``: which tools
    read the models beside each other (None: none do)."""

    grids: tuple[Grid, ...]
    models: tuple[ModelVariant, ...]
    behaviors: tuple[BehaviorPrompts, ...]
    methods: tuple[tuple[str, Options], ...]
    unused: tuple[str, ...]
    scoring: Scoring
    capability: Capability
    damage: DamageSettings | None = None
    analyses: tuple[AskedAnalysis, ...] = ()
    parity: AskedParity | None = None


def resolve(document: Document, folder: Path) -> tuple[Resolved, list[Problem]]:
    """Resolve all that can be, and what is wrong with it; paths in the document are relative to ``folder``.

    Works on every section that is valid by itself. What the schema itself refuses is not reported here again.
    """
    top = Sections(document)
    models, shapes = resolve_models(top, folder)
    resolver = GridResolver(models, shapes, BehaviorFiles(top, folder), VectorFiles(folder), folder)
    grids = tuple(resolver.resolve(number, view) for number, view in enumerate(top.grids()))
    every = {one.name: one for model in models.values() for one in model.variants(None)}
    scoring = resolve_scorers(top, folder, {name: one.spec for name, one in every.items()})
    damage = resolve_damage(top, folder)
    if damage is not None and damage.answers != 0:
        scoring = scoring.with_loss(key for key, _ in top.entries("behaviors", BehaviorEntry))
    judges = {one.variant for one in scoring.made.values() if isinstance(one, PoolScorer)}
    steered = [one for grid in grids for one in grid.variants]
    variants = _once_each(list(models), [*steered, *(one for one in every.values() if variant_id(one.spec) in judges)])
    found = Resolved(
        grids=grids,
        models=variants,
        behaviors=tuple({one.behavior.name: one for grid in grids for one in grid.behaviors}.values()),
        methods=_once([method for grid in grids for method in (*grid.methods, *(part.method for part in grid.together))]),
        scoring=scoring,
        capability=resolve_capability(top, folder),
        unused=tuple(key for key in models if key not in {variant.key for variant in variants}),
        damage=damage,
        analyses=resolve_analyses(top),
        parity=resolve_parity(top),
    )
    return found, top.problems


def _once_each(keys: Sequence[str], variants: Sequence[ModelVariant]) -> tuple[ModelVariant, ...]:
    """Each name once, by model in the file's order."""
    unique: dict[str, ModelVariant] = {}
    for variant in variants:
        unique.setdefault(variant.name, variant)
    return tuple(sorted(unique.values(), key=lambda variant: keys.index(variant.key)))


def _once(methods: Sequence[tuple[str, Options]]) -> tuple[tuple[str, Options], ...]:
    return tuple(method for number, method in enumerate(methods) if method not in methods[:number])
