"""Where the results of a sweep file go, of which no more need be valid than the two keys that say so."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.storage import Place, place_of
from orchestrator.sweep_file.yaml_text import read_yaml


def results_place(sweep: Path, name: str | None, results: str | None) -> Place:
    """Of the file ``sweep`` with these values of its keys ``name`` and ``results``: what ``results`` means from the file's own
    folder, or ``results/<name>`` of the folder that the program runs in."""
    return Path("results") / (name or sweep.stem) if results is None else place_of(results, sweep.parent)


def place_in(sweep: Path) -> Place:
    """As ``results_place``, from the file; InputError where it is no sweep file."""
    data = read_yaml(sweep).data
    name, results = (data.get(key) for key in ("name", "results")) if isinstance(data, dict) else (None, None)
    if not isinstance(data, dict) or not isinstance(name, str | None) or not isinstance(results, str | None):
        raise InputError.because("this is no sweep file", "RESULTS", str(sweep), "a YAML with models, behaviors and multipliers")
    return results_place(sweep, name, results)
