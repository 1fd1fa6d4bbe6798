"""Which results a person means: a results folder, a sweep file, or the name of either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.storage import Place, place_of

ALLOWED = "a results folder, s3://bucket/prefix, a sweep file, or the name of either (below results/ or sweeps/)"
"""What a command that reads results takes, in words."""

_FIELD = "RESULTS"
_MARKS = ("plan.json", "driver.json")
"""One of these is there from the beginning of a run on."""
_HOMES = (Path("results"), Path("sweeps"))
_ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class Named:
    """The results that were named, and the sweep file where it was that (None: the folder was)."""

    place: Place
    sweep: Path | None = None


def named(written: str | Path) -> Named:
    """What ``written`` names: the folder itself or its ``s3://`` URL; a sweep file, for the folder that it says; or a name, for
    ``results/NAME``, else for ``sweeps/NAME.yaml``.

    InputError, with the nearest that there is, where nothing is called so, and for a folder or a sweep without results.
    """
    place = place_of(written)
    if not isinstance(place, Path):
        return Named(place)  # whether there is something in a bucket is asked by whoever reads it
    for path in _readings(place):
        if path.is_dir() and any((path / mark).is_file() for mark in _MARKS):
            return Named(path)
        if path.is_file() and path.suffix in _ENDINGS:
            return _of_file(path)
    message = "it holds no plan.json: no sweep ran here" if place.is_dir() else "there are no such results"
    if place.is_file():
        message = "this file is no sweep file"
    raise InputError(Problem(_FIELD, str(written), message, ALLOWED, nearest_name(written, _known(place))))


def results_named(written: str | Path) -> Place:
    """The place of what ``written`` names, as :func:`named`."""
    return named(written).place


def _readings(place: Path) -> Iterator[Path]:
    """Where that may be, the likeliest first."""
    yield place
    if len(place.parts) == 1:
        yield from (home / place for home in _HOMES)
        yield from (home / f"{place}{ending}" for home in (Path(), *_HOMES) for ending in _ENDINGS)


def _of_file(path: Path) -> Named:
    from orchestrator.sweep_file.results_place import place_in  # a folder needs no YAML

    if any((path.parent / mark).is_file() for mark in _MARKS):
        return Named(path.parent)  # the copy that lies among the results
    place = place_in(path)
    if isinstance(place, Path) and not any((place / mark).is_file() for mark in _MARKS):
        message = f"it has no results in {place}: `run` it, or name the folder that --results gave"
        raise InputError.because(message, _FIELD, str(path))
    return Named(place, path)


def _known(place: Path) -> Iterator[str]:
    """Names that would have been understood: by themselves, or as paths beside what was written."""
    results, sweeps = _HOMES
    for folder in dict.fromkeys((place.parent, results)):
        for path in sorted(folder.glob("*/plan.json")):
            yield str(path.parent)
            yield from [path.parent.name] if folder == results else []
    for folder in dict.fromkeys((place.parent, sweeps)):
        yield from (str(path) for path in sorted(folder.glob("*.yaml")))
