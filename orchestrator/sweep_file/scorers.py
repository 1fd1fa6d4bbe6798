"""What scores each behavior of a sweep file: the scorers' names and options, and the first one's target, checked against it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from actors.types import ModelSpec
from orchestrator.cells import variant_id
from orchestrator.errors import InputError, Problem
from orchestrator.scoring.judges.linear_probe import check_model
from orchestrator.scoring.judges.rubric import FrontMatterError, RubricHead
from orchestrator.scoring.own import OwnOptions
from orchestrator.scoring.planned import OF_THE_POOL, BehaviorScoring, Criterion, ScorerUse
from orchestrator.scoring.registry import make_scorer, options_of
from orchestrator.scoring.score import Scale, Scorer
from orchestrator.scoring.uses import Scoring, default_scorers, default_scoring
from orchestrator.scoring.verdict import Threshold, Verdicts
from orchestrator.sweep_file.problems import problems_of
from orchestrator.sweep_file.schema import BehaviorEntry
from orchestrator.sweep_file.sections import Path as Steps
from orchestrator.sweep_file.sections import Sections
from orchestrator.sweep_file.yaml_text import parse_yaml


def resolve_scorers(top: Sections, folder: Path, models: Mapping[str, ModelSpec]) -> Scoring:
    """The scorers of every behavior that names some; ``models``: the sweep's models by their names. A file of the
    user's own is run to make them."""
    made = dict(default_scorers())
    found = {}
    for key, entry in top.entries("behaviors", BehaviorEntry):
        at = ("behaviors", key, "scorers")
        named = [_with_variant(top, (*at, number), given, models) for number, given in enumerate(entry.scorers or ())]
        uses = [_use(top, (*at, number), given, folder) for number, given in enumerate(named)]
        whole = [use for use in uses if use is not None]
        if entry.scorers is None or len(whole) < len(uses):
            continue
        made |= {scorer.id: scorer for _, scorer in whole}
        target = entry.scorers[0].get("target")
        criterion = Criterion(whole[0][1].id, default_scoring().criterion.coherence, target)  # type: ignore[arg-type]
        found[key] = BehaviorScoring(tuple(use for use, _ in whole), criterion)
        _check_together(top, at, found[key], whole[0][1])
    return Scoring(found, made)


def _check_together(top: Sections, at: Steps, scoring: BehaviorScoring, first: Scorer) -> None:
    target = scoring.criterion.target
    try:
        labels = Verdicts(scoring.criterion, first.says).labels
        if isinstance(target, Mapping) and isinstance(first.says, Scale):
            Threshold.model_validate(dict(target)).check(first.says)
    except InputError as error:
        _report(top, (*at, 0), error)
    else:
        if labels.target is None:
            told = "an answer of this label is no language, or none: it never counts as success"
            allowed = ", ".join(kind.name for kind in labels.kinds if kind.outcome == "other")
            top.report((*at, 0, "target"), told, target, allowed=allowed)
    ids = [use.id for use in scoring.scorers]
    for number, use in enumerate(scoring.scorers):
        if use.id in ids[:number]:
            top.report((*at, number), "this scorer is listed twice", use.name, allowed="each scorer with its options once")


def _use(top: Sections, at: Steps, given: Mapping[str, object], folder: Path) -> tuple[ScorerUse, Scorer] | None:
    """The scorer that an entry names; None where something was wrong with its fields, which is reported."""
    name = given.get("name")
    if not isinstance(name, str):
        top.report((*at, "name") if "name" in given else at, "'name' is missing or no text", name, allowed=_NAMES)
        return None
    options = {key: value for key, value in given.items() if key not in ("name", "target")}
    before = len(top.problems)
    _check_target(top, (*at, "target"), given, first=at[-1] == 0)
    try:
        section = options_of(name, folder)
        if issubclass(section, OwnOptions) and None not in (given.get("labels"), given.get("unit")):
            told = "a scorer gives one of its labels, or numbers of which the unit says what they are"
            top.report((*at, "unit"), told, given["unit"], allowed="labels without unit, or unit without labels")
        try:
            checked = section.model_validate(options)
            scorer = make_scorer(name, options, folder)
        except ValidationError as error:
            top.problems += problems_of(error, top.document, section, at, ("target",) if at[-1] == 0 else ())
    except FrontMatterError as error:
        top.problems += _in_front_matter(top, str(given.get("rubric")), error)
        _report(top, at, InputError(*error.others))
    except InputError as error:
        _report(top, at, error)
    if len(top.problems) > before:
        return None
    if scorer.reads == "thought" and at[-1] == 0:
        told = "the first scorer decides, and that on what was said"
        top.report((*at, "reads"), told, "thought", allowed="answer, both, or a scorer after the first")
        return None
    return ScorerUse(name, checked.model_dump(mode="json", exclude_unset=True), scorer.id), scorer


def _in_front_matter(top: Sections, rubric: str, error: FrontMatterError) -> Sequence[Problem]:
    """What is wrong in the file of a rubric, each with its line there."""
    file = os.path.normpath(Path(top.document.file).parent / rubric)
    try:
        document = parse_yaml(error.text, file)
    except InputError as no_yaml:
        return no_yaml.problems
    return error.problems if error.found is None else problems_of(error.found, document, RubricHead)


def _with_variant(top: Sections, at: Steps, given: Mapping[str, object], models: Mapping[str, ModelSpec]) -> Mapping[str, object]:
    """A scorer of the pool with the id of its model, which a results folder knows it by."""
    if given.get("name") not in OF_THE_POOL:
        return given
    name = given.get("model")
    if "variant" in given:
        top.report((*at, "variant"), "'variant' follows from 'model'", given["variant"], allowed="model alone")
    if isinstance(name, str) and name not in models:
        top.report_unknown((*at, "model"), name, "model", list(models))
    model = models.get(str(name))
    if model is not None and given["name"] == "linear_probe":
        try:
            check_model(str(name), model)
        except InputError as error:
            _report(top, at, error)
    return {**given, "variant": "" if model is None else variant_id(model)}


_NAMES = "a scorer's name, or file.py:name"


def _check_target(top: Sections, at: Steps, given: Mapping[str, object], first: bool) -> None:
    target = given.get("target")
    if target is not None and not first:
        top.report(at, "only the first scorer has a target: it decides what counts as success", allowed="none here")
    elif isinstance(target, dict):
        try:
            Threshold.model_validate(target)
        except ValidationError as error:
            top.problems += problems_of(error, top.document, Threshold, at)
    elif not isinstance(target, str | None):
        top.report(at, "'target' is no text", target, allowed="a label, {at_least: 50}, or {at_most: 50}")


def _report(top: Sections, at: Steps, error: InputError) -> None:
    for one in error.problems:
        top.report((*at, *one.field.split(".", 1)), one.message, one.value, allowed=one.allowed, nearest=one.nearest)
