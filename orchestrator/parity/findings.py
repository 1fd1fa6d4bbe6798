"""What a study found, worked out of its files: nothing here is stored, so that a table never disagrees with them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.parity.comparing import Difference, SiteMatch, cosines, difference, direction_of, matched_sites
from orchestrator.parity.costs import MistakeCost, Succeeds, read_costs
from orchestrator.parity.diagnosis import CLOSE, SURE, Diagnosis, PlantedDirection, Rounding, diagnose, read_planted
from orchestrator.parity.planned import OTHER_DTYPE, PlannedParity
from orchestrator.parity.regrouped import Parts, read_parts, regrouped
from orchestrator.parity.steering import ROUNDING, GreedyAnswers, SteeringDiagnosis, SteeringNear, diagnose_steering, read_steered

Float = npt.NDArray[np.float64]
Arrays = Mapping[str, npt.NDArray[Any]]


def parity_arrays(content: bytes) -> Arrays:
    """What the file of an item holds; ValueError where it is damaged."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"it is no .npz file: {error}") from error


@dataclass(frozen=True, eq=False)
class Compared:
    """One reading beside the reference. ``activations``: None where it gave directions alone. ``spread``: the largest absolute
    difference between its own repeats."""

    directions: Difference
    activations: Difference | None
    spread: float

    @property
    def nearer(self) -> Difference:
        """Of what is nearest to the tool: its activations, where it gave them."""
        return self.directions if self.activations is None else self.activations


@dataclass(frozen=True, eq=False)
class ToolFound:
    """What a tool reads: one prompt at a time beside the reference, and a class at a time beside the reference reading so.

    ``reason``: why there is nothing, from the tool itself. ``sites``: per layer, None without activations.
    """

    name: str
    alone: Compared | None
    together: Compared | None
    sites: tuple[SiteMatch, ...] | None
    diagnosis: Diagnosis | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class MistakeFound:
    """What a planted mistake makes of the direction, per layer: the ``cosine`` to the clean one, and its raw norm over the clean
    one's."""

    candidate: PlantedDirection
    cosine: Float
    norm_ratio: Float


class ParityFindings:
    """The findings of ``study``; ``read``: what the file of an item holds, by its id (None: there is none, or a damaged one);
    ``failed``: why items have no file, by id."""

    def __init__(self, study: PlannedParity, read: Callable[[str], Arrays | None], failed: Mapping[str, str]) -> None:
        self.study, self._read, self.failed = study, cache(read), failed

    @property
    def there(self) -> bool:
        """Whether the reading is there that all others are compared with."""
        return self._read(self.study.reference) is not None

    @cached_property
    def tools(self) -> list[ToolFound]:
        """Every tool, in the study's order."""
        return [self._tool(name) for name in self.study.readings]

    @cached_property
    def settings(self) -> dict[str, Compared]:
        """What a right reading differs by in another setting."""
        found = {title: self._compared(item, self.study.reference) for title, item in self.study.settings.items()}
        return {title: one for title, one in found.items() if one is not None}

    @cached_property
    def candidates(self) -> list[PlantedDirection]:
        """The direction of every planted mistake, the clean one first; none where none were planted."""
        return [] if self._planted is None else read_planted(self._planted)

    @cached_property
    def _planted(self) -> Arrays | None:
        return self._read(self.study.mistakes) if self.study.mistakes else None

    @cached_property
    def _parts(self) -> list[Parts]:
        return [] if self._planted is None else read_parts(self._planted)

    @cached_property
    def faults(self) -> list[MistakeFound]:
        """Each planted mistake beside the clean direction."""
        clean = next((one for one in self.candidates if not one.names), None)
        if clean is None:
            return []
        length = np.linalg.norm(clean.direction, axis=-1)
        found = [
            MistakeFound(one, cosines(one.direction, clean.direction), np.linalg.norm(one.direction, axis=-1) / length)
            for one in self.candidates
            if one.names
        ]
        return [one for one in found if np.isfinite(one.cosine).any()]

    @cached_property
    def steering(self) -> dict[str, SteeringDiagnosis | str]:
        """Of every tool what its answers are taken for, or why there are none."""
        if (read := self._steering_mistakes) is None:
            return {}
        known, rounding = read_steered(read), ROUNDING[self.study.dtype]
        told: dict[str, SteeringDiagnosis | str] = {}
        for name in self.study.readings:
            item = self.study.steered.get(name, "")
            answers = self._read(item) if item else None
            if not item:
                told[name] = "it reads, and adds nothing by itself"
            elif answers is None:
                told[name] = self.failed.get(item, "it has not run")
            else:
                found = GreedyAnswers(np.asarray(answers["tokens"], np.int64), answers.get("logits"))
                told[name] = diagnose_steering(found, known, rounding)
        return told

    @cached_property
    def steering_mistakes(self) -> dict[str, SteeringNear]:
        """How far each planted mistake's answers are from those of steering right."""
        if (read := self._steering_mistakes) is None:
            return {}
        known = read_steered(read)
        return {name: diagnose_steering(one, known, 0.0).right for name, one in known.items() if name}

    @property
    def _steering_mistakes(self) -> Arrays | None:
        return self._read(self.study.steering_mistakes) if self.study.steering_mistakes else None

    def costs(self, succeeds: Succeeds) -> list[MistakeCost]:
        """What every planted mistake costs; none where nothing was answered."""
        read = self._read(self.study.rates) if self.study.rates else None
        return [] if read is None else read_costs(read, succeeds)

    def diagnosis(self, direction: npt.ArrayLike, layers: list[int] | None = None) -> Diagnosis | None:
        """What a direction was extracted with; None where no mistakes were planted, or no layer can be compared."""
        further = partial(regrouped, parts=self._parts)
        return diagnose(direction, self.candidates, layers, self.rounding, further) if self.candidates else None

    @cached_property
    def rounding(self) -> Rounding:
        """How far a right direction is from the reference's in the settings that were read; with what is measured in the own
        dtype only a few batches and kernels are known, so twice as much is granted."""
        apart = {title: 1 - float(np.nanmean(one.directions.cosine)) for title, one in self.settings.items()}
        own = max([SURE, *(2 * value for title, value in apart.items() if not title.startswith(OTHER_DTYPE))])
        return Rounding(own, max([CLOSE, own, *apart.values()]))

    def _tool(self, name: str) -> ToolFound:
        item, several = self.study.readings[name]
        read = self._read(item)
        if read is None:
            return ToolFound(name, None, None, None, None, self.failed.get(item, "it has not run"))
        sites = self._read(self.study.sites)
        matches = None
        if sites is not None and "activations" in read:
            names = [str(one) for one in sites["names"]]
            matches = tuple(matched_sites(read["activations"][list(self.study.sites_rows)], sites["sites"], names))
        together = next(iter(self.study.settings.values()))
        return ToolFound(
            name,
            self._compared(item, self.study.reference),
            self._compared(several, together),
            matches,
            self.diagnosis(self._directions(read)),
            self.failed.get(several, ""),
        )

    def _compared(self, item: str, reference: str) -> Compared | None:
        found, right = self._read(item), self._read(reference)
        if found is None or right is None:
            return None
        return Compared(
            difference(self._directions(found)[None].astype(np.float32), self._directions(right)[None].astype(np.float32)),
            difference(found["activations"], right["activations"]) if "activations" in found else None,
            float(found["spread"].max()),
        )

    def _directions(self, read: Arrays) -> Float:
        if "directions" in read:
            return np.asarray(read["directions"], np.float64)
        return direction_of(read["activations"], self.study.prompts[0])
