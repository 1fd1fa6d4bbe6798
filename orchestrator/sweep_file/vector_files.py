"""The files of vectors that a sweep steers with, in place of directions that a method finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actors.errors import JobError
from actors.methods.file import FileOptions
from actors.sites import SITES, of_heads
from actors.tensor_files import VectorFile, read_file
from orchestrator.cells import Options
from orchestrator.errors import InputError, nearest_entry, why_no_file
from orchestrator.sweep_file.models import ModelVariant, absolute
from orchestrator.sweep_file.sections import Path as Steps
from orchestrator.sweep_file.sections import Sections

METHOD = "file"


@dataclass(frozen=True)
class UsedVectors:
    """A file of vectors as a grid uses it: what of it enters an identity (``options``), the ``layers`` that it has, their
    ``width``, the ``site`` that it says they are of ("": none that is known), and what a person should know of it (``remarks``, a
    sentence each)."""

    path: str
    options: Options
    layers: tuple[int, ...]
    width: int
    site: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of the file."""
        return Path(self.path).name

    def misfit(self, model: ModelVariant) -> str | None:
        """Why its vectors are not of ``model``; None when they are."""
        if self.width != model.shape.d_model:
            return f"{self.name} has vectors of width {self.width}, {model.name} is {model.shape.d_model} wide"
        if self.layers[-1] >= model.shape.n_layers:
            return f"{self.name} has a layer {self.layers[-1]}, {model.name} has 0..{model.shape.n_layers - 1}"
        return None


class VectorFiles:
    """The files of vectors of one sweep file; paths are relative to its ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._used: dict[Options, UsedVectors] = {}

    def used(self, options: FileOptions, view: Sections, at: Steps) -> UsedVectors | None:
        """The file that ``options`` name; None when it cannot be used, which is then reported."""
        if not options.path:
            view.report(at, "no file of vectors is named", allowed="{file: vectors.gguf}")
            return None
        try:
            path = Path(absolute(self._folder, options.path))
            found = read_file(path, options.convention, (options.feature, options.layer)) if path.is_file() else None
        except (JobError, InputError) as error:
            view.report(at, str(error))
            return None
        if found is None:
            view.report(at, why_no_file(path), options.path, allowed="a file of vectors", nearest=nearest_entry(path))
            return None
        if options.vectors not in ("", found.digest):
            view.report(
                at, f"{path.name} holds other vectors", options.vectors, allowed=f"vectors: {found.digest}, or none given"
            )
            return None
        content = {**options.content, "vectors": found.digest}
        identity = tuple(sorted(content.items()))
        told = found.told.get("site", "")
        told = told if told in SITES or of_heads(told) else ""
        remarks = tuple(_remarks(path.name, options, found))
        used = UsedVectors(str(path), identity, tuple(found.vectors), found.width, told, remarks)
        return self._used.setdefault(identity, used)

    def of(self, methods: Sequence[tuple[str, Options]]) -> tuple[UsedVectors, ...]:
        """Those that ``methods`` take their vectors from."""
        return tuple(dict.fromkeys(self._used[options] for name, options in methods if name == METHOD))


def ranges(numbers: Iterable[int]) -> str:
    """``0, 3..7, 9``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and runs[-1][-1] == number - 1:
            runs[-1] = [runs[-1][0], number]
        else:
            runs.append([number])
    return ", ".join("..".join(map(str, run)) for run in runs)


def _remarks(name: str, options: FileOptions, found: VectorFile) -> list[str]:
    """How the file is taken, where it does not say so itself."""
    said = []
    if options.convention == "block_output" and not {"layer_convention", "layer_type", "spec"} & found.told.keys():
        counted = f"{ranges(found.vectors)} are taken as outputs of decoder blocks, counted from 0"
        other = "convention: hidden_states where 0 is the embeddings"
        said.append(f"{name} does not say how it counts layers: {counted} ({other})")
    lengths = np.linalg.norm(list(found.vectors.values()), axis=1)
    if not np.isclose(lengths, 1.0, atol=1e-3).all():
        span = f"{lengths.min():.3g} to {lengths.max():.3g}"
        whole = "scales: raw_norm: as long as in the file"
        said.append(f"{name} has vectors of length {span}: a multiplier is of the vector of length 1 ({whole})")
    if (scale := found.told.get("scale")) not in (None, "1.0"):
        said.append(f"{name} says scale {scale}: so much its vectors are to be multiplied with, as multipliers: [{scale}] does")
    if (operation := found.told.get("operation", "addition")) != "addition":
        said.append(f"{name} says that its vectors are for {operation}, not for addition")
    return said
