"""The sweep file, read and resolved: settings, models with their shapes and fingerprints, behaviors with their prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from actors.types import EngineOptions
from orchestrator.cells import Options
from orchestrator.damage import DamageSettings
from orchestrator.errors import InputError, Problem
from orchestrator.scoring.uses import Scoring
from orchestrator.storage import Place
from orchestrator.sweep_file.analyses import AskedAnalysis
from orchestrator.sweep_file.capability import Capability
from orchestrator.sweep_file.parity import AskedParity
from orchestrator.sweep_file.problems import problem_at, problems_of
from orchestrator.sweep_file.resolve import BehaviorPrompts, Grid, ModelVariant, resolve
from orchestrator.sweep_file.results_place import results_place
from orchestrator.sweep_file.schema import PoolEntry, SweepSettings, TrackingEntry
from orchestrator.sweep_file.yaml_text import Document, read_yaml

_NUMBERS = frozenset({"multipliers", "multiplier", "layers", "layer", "depths", "depth", "decoding", "engine"})
"""Keys of a sweep file below which numbers stand."""

_ORDERED = ("grids", "scorers")
"""Lists whose items mean something by their place, and are not left out."""


@dataclass(frozen=True)
class Sweep:
    """A valid sweep. ``settings`` is the file key by key; ``document`` its text and lines; the rest is what it refers to.

    ``grids`` in the file's order; ``models``, ``behaviors`` and ``methods`` are those of all grids; ``scoring``
    says what scores the behaviors, ``capability`` what else the models are tried on, ``damage`` how damage is measured (None: it
    is not), ``analyses`` what is analysed, ``parity`` which tools read the models beside each other.
    """

    name: str
    document: Document
    settings: SweepSettings
    models: tuple[ModelVariant, ...]
    behaviors: tuple[BehaviorPrompts, ...]
    methods: tuple[tuple[str, Options], ...]
    grids: tuple[Grid, ...]
    unused: tuple[str, ...]
    results: Place
    scoring: Scoring = field(default_factory=Scoring)
    capability: Capability = field(default_factory=Capability)
    damage: DamageSettings | None = None
    analyses: tuple[AskedAnalysis, ...] = ()
    parity: AskedParity | None = None

    @property
    def text(self) -> str:
        """The file as it was read."""
        return self.document.text

    @property
    def chooses(self) -> bool:
        """Whether cells follow from the results of others: a grid searches, or takes settings from an earlier one."""
        return any(grid.choose is not None or grid.search is not None for grid in self.grids)

    @property
    def engine(self) -> EngineOptions:
        """How the workers' engines run."""
        return EngineOptions(slots=self.settings.engine.slots, threads=self.settings.engine.threads)

    @property
    def pool(self) -> PoolEntry:
        """What runs the workers, and how many."""
        return self.settings.pool

    @property
    def tracking(self) -> TrackingEntry:
        """Where progress is reported beside the results folder."""
        return self.settings.tracking

    @property
    def max_failures(self) -> int | float | None:
        """Stop after more failed items than this; below 1 (and above 0) a share of the run's cells. None: never."""
        limit = self.settings.max_failures
        return limit if limit is None or 0 < limit < 1 else int(limit)

    def problem(self, *path: str | int, message: str, value: object = None, allowed: str | None = None) -> Problem:
        """A problem with what stands at ``path`` in the file, with its line."""
        return problem_at(self.document, path, message, value, allowed=allowed)


def load_sweep(path: Path) -> Sweep:
    """Read a sweep file and everything it refers to. Paths in it are relative to its own folder.

    Raises :class:`InputError` with *every* problem of the file, each with its line: syntax, unknown keys and names, wrong
    types and ranges, missing or broken files, adapters that do not fit, layers that a model lacks.
    """
    document = read_yaml(path, _NUMBERS)
    if not isinstance(document.data, dict):
        required = "models, behaviors, multipliers"
        raise InputError(problem_at(document, (), "a sweep file is a mapping of keys", allowed=f"at least {required}"))
    settings, problems, whole = _validated(document)
    found, more = resolve(whole, path.parent.absolute())
    problems += more
    if settings is None or problems:
        unique = {str(problem): problem for problem in problems}
        raise InputError(*sorted(unique.values(), key=lambda problem: problem.line or 0))
    name = settings.name or path.stem
    return Sweep(
        name,
        document,
        settings,
        found.models,
        found.behaviors,
        found.methods,
        found.grids,
        found.unused,
        results=results_place(path, settings.name, settings.results),
        scoring=found.scoring,
        capability=found.capability,
        damage=found.damage,
        analyses=found.analyses,
        parity=found.parity,
    )


def _validated(document: Document) -> tuple[SweepSettings | None, list[Problem], Document]:
    """The settings or what is wrong with them, and the document without the list items that are wrong by themselves, so that
    the others are looked at too."""
    try:
        return SweepSettings.model_validate(document.data), [], document
    except ValidationError as error:
        places = (document.item_at(one["loc"]) for one in error.errors(include_url=False))
        items = {place for place in places if place is not None and place[-2] not in _ORDERED}
        return None, problems_of(error, document, SweepSettings), document.without(items)
