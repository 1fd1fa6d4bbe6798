"""From the words of the command to a study, and from a study to what is shown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.table import Table

from actors.parity.jobs import Classes, ReadJob, SteerJob
from actors.parity.tools import TOOLS
from actors.types import DType, ModelSpec, Source
from orchestrator.behaviors import BehaviorFile, read_behavior
from orchestrator.counting import counted
from orchestrator.duration import duration
from orchestrator.errors import InputError, Problem, nearest_name
from orchestrator.models.files import EMBEDDED, fingerprint_of, shape_of
from orchestrator.models.templates import REPOSITORY
from orchestrator.parity.diagnosis import Diagnosis
from orchestrator.parity.direction_given import read_direction
from orchestrator.parity.findings import ParityFindings
from orchestrator.parity.folder import ParityFolder
from orchestrator.parity.running import Tell, missing_of, run_study
from orchestrator.parity.study import ParityStudy, rated_answers, steering_place
from orchestrator.planning.parity import seconds_of
from orchestrator.report.as_html import html_page
from orchestrator.report.as_markdown import markdown_page
from orchestrator.report.parity import parity_blocks, reading_of, tables_of
from orchestrator.report.parity_json import parity_json
from orchestrator.report.report_table import stacked
from orchestrator.storage import Place

SHIPPED = Path(__file__).parents[1] / "sweeps" / "behaviors" / "refusal.jsonl"
"""In a checkout of the repository; a built package has none."""
MAKING = 60
"""Seconds that making an environment takes, about."""


@dataclass(frozen=True)
class ParityAsked:
    """The command's words; ``behavior``: None is the shipped one."""

    model: str
    behavior: Path | None
    tools: tuple[str, ...] | None
    own: Mapping[str, tuple[str, ...]]
    faults: bool
    pairs: bool
    steering: bool
    rates: float | None
    direction: Path | None
    layer: int | None
    prompts: int
    adapter: Path | None
    dtype: DType
    revision: str | None
    results: Place | None


@dataclass(frozen=True)
class ParityShown:
    """A finished study, for people and for programs."""

    found: ParityFindings
    diagnosis: Diagnosis | None
    lines: list[str]

    @property
    def json(self) -> dict[str, object]:
        """As ``parity.json``."""
        return parity_json(self.found, self.diagnosis)

    def table(self, width: int) -> Table:
        """The tables for a terminal of ``width`` columns."""
        return stacked([*tables_of(self.found)], width)


def run_parity(asked: ParityAsked, tell: Tell) -> ParityShown:
    """Run what is missing, write the page, and diagnose the direction that was given; InputError for what cannot be run."""
    study = study_of(asked)
    given = None if asked.direction is None else read_direction(asked.direction, asked.layer, shape_of(study.spec).n_layers)
    folder = ParityFolder(Path("results") / f"parity-{_short(study.spec)}" if asked.results is None else asked.results)
    for line in announced(study, folder):
        tell(line)
    failed = run_study(study, folder, tell)
    found = ParityFindings(study.planned(study.spec.location), folder.read, failed)
    if not found.there:
        reason = failed.get(study.reference.id, "nobody says why")
        raise InputError.because(f"the model cannot be read: {reason}", "MODEL", asked.model)
    diagnosis = None if given is None else found.diagnosis(given.vectors, given.layers)
    said = "no layer of it can be compared" if diagnosis is None else diagnosis.words
    told = [] if given is None else [f"{asked.direction}: {said}"]
    if given is not None and given.dtype not in ("", study.spec.dtype):
        told += [f"{asked.direction} was read in {given.dtype}: --dtype {given.dtype} compares it with readings in that"]
    shown = ParityShown(found, diagnosis, [*reading_of(found), *told, f"the page: {folder.html}"])
    blocks = parity_blocks(found, diagnosis)
    folder.json.write_bytes(json.dumps(shown.json, allow_nan=False).encode())
    folder.page.write_bytes(markdown_page(blocks).encode())
    folder.html.write_bytes("".join(html_page(blocks)).encode())
    return shown


def announced(study: ParityStudy, folder: ParityFolder) -> Iterator[str]:
    """What is about to be done, and how long about."""
    missing = missing_of(study, folder)
    names = counted(len(study.tools) + len(study.own), "tool")
    prompts = f"{len(study.classes.positive)} + {len(study.classes.negative)} prompts of {study.behavior}"
    yield f"{study.spec.location}, {study.spec.dtype}: {names}, {prompts}"
    there = len(study.items) - len(missing)
    takes = f"; the others take about {duration(seconds_of(missing, shape_of(study.spec)))} on two cores" if missing else ""
    yield f"{there} of {counted(len(study.items), 'reading')} are there{takes}"
    wanted = {item.job.tool for item in missing if isinstance(item.job, ReadJob | SteerJob) and not item.job.command}
    making = [name for name in study.tools if name in wanted and TOOLS[name].script and not TOOLS[name].environment.made]
    if making:
        takes = duration(MAKING * len(making))
        yield f"first use: environments are made for {', '.join(making)}, about {takes} more, from the package index"


def study_of(asked: ParityAsked) -> ParityStudy:
    """What is asked for, checked; InputError."""
    spec = spec_of(asked)
    file = SHIPPED if asked.behavior is None else asked.behavior
    if asked.behavior is None and not file.is_file():
        raise InputError.because(
            "the shipped refusal.jsonl is not beside this installation", "--behavior", None, "--behavior FILE"
        )
    read = read_behavior(file.stem, BehaviorFile(file)).behavior
    classes = Classes(read.positive[: asked.prompts], read.negative[: asked.prompts])
    tools = tuple(TOOLS) if asked.tools is None else asked.tools
    for name in tools:
        if name not in TOOLS:
            raise InputError(Problem("--tools", name, "unknown tool", ", ".join(TOOLS), nearest_name(name, TOOLS)))
    for name in asked.own:
        if name in TOOLS:
            raise InputError(Problem("--own", name, "this is the name of a tool", f"any but {', '.join(TOOLS)}"))
    if asked.direction is not None and not asked.faults:
        raise InputError.because("a direction is diagnosed by planted mistakes", "--no-faults", None, "--direction without it")
    if asked.direction is None and asked.layer is not None:
        raise InputError.because("it is of a direction", "--layer", asked.layer, "--direction FILE beside it")
    place = steering_place(classes, read.test, shape_of(spec).n_layers) if asked.steering else None
    rated = None
    if asked.rates is not None:
        if not (asked.rates > 0 and math.isfinite(asked.rates)):
            raise InputError(Problem("--rates", asked.rates, "no multiplier", "a number above 0"))
        if not read.test:
            raise InputError.because("the behavior has no test prompts to answer", "--rates", asked.rates)
        rated = rated_answers(classes, read.test, shape_of(spec).n_layers, asked.rates)
    return ParityStudy(spec, read.name, classes, tools, asked.own, asked.faults, asked.pairs, place=place, rated=rated)


def spec_of(asked: ParityAsked) -> ModelSpec:
    """The model by its name, with its files looked at; InputError where there is none such."""
    name = asked.model
    source: Source = "embedded" if name in EMBEDDED else "folder" if Path(name).is_dir() else "hub"
    if source == "hub" and not REPOSITORY.fullmatch(name):
        told = "an embedded model, a folder that is there, or organisation/name on the hub"
        raise InputError(Problem("MODEL", name, "there is no such model", told, nearest_name(name, EMBEDDED)))
    if source != "hub" and asked.revision is not None:
        raise InputError.because("it is of a model on the hub", "--revision", asked.revision, "organisation/name as the model")
    revision = (asked.revision or "main") if source == "hub" else None
    adapter = None if asked.adapter is None else str(asked.adapter)
    spec = ModelSpec(source, name, revision, adapter, asked.dtype)
    return replace(spec, fingerprint=fingerprint_of(spec))


def _short(spec: ModelSpec) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", Path(spec.location).name).strip("-.") or "model"
