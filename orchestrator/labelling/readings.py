"""The sample's responses out of a results folder, as a rater reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from actors.spoken import told_apart
from orchestrator.agreement.opinions import SWEEP, named_scorer
from orchestrator.errors import InputError
from orchestrator.labelling.sample import Draw, kept_sample
from orchestrator.labelling.session import AskedResponse
from orchestrator.results.folder import Folder
from orchestrator.results.frames import Frames, asked_once
from orchestrator.results.ratings import ResponseKey
from orchestrator.results.rows import digest_of
from orchestrator.scoring import LabelKind, LabelSet

_COLUMNS = (
    "cell_id",
    "prompt_id",
    "sample",
    "behavior",
    "prompt",
    "response",
    "marked_response",
    "prompt_opens",
    "finish_reason",
    "classifier",
)


def readings_of(folder: Folder, results: Frames, draw: Draw) -> list[AskedResponse]:
    """What a rater reads, in order. Responses of the sample that are no longer there are left out. InputError when none is."""
    labelled = _labelled(results, draw.scorer)
    sample = kept_sample(folder, draw, labelled) if labelled else ()
    found = found_readings(results, set(sample))
    if not found:
        raise InputError.because(f"{folder.place} holds no labelled response yet", "RESULTS", None, "a sweep with finished cells")
    return [found[key] for key in sample if key in found]


def found_readings(results: Frames, keys: Collection[ResponseKey]) -> dict[ResponseKey, AskedResponse]:
    """Those of the responses ``keys`` that have been labelled."""
    cells = sorted({cell_id for cell_id, *_ in keys})
    found = asked_once(results.responses.filter(results.responses["cell_id"].is_in(cells)))
    rows = found.select(_COLUMNS).iter_rows(named=True)
    labels = label_sets(results)
    wanted = (row for row in rows if _key(row) in keys and row["classifier"] in labels)
    return {_key(row): _reading(row, labels[row["classifier"]]) for row in wanted}


def label_sets(results: Frames) -> Mapping[str, LabelSet]:
    """The labels that people may give, by what decides on a behavior, as ``classifier`` has it."""
    kinds: defaultdict[str, list[LabelKind]] = defaultdict(list)
    rates = results.rates.drop_nulls("outcome").select("scorer", "label", "outcome").unique(maintain_order=True)
    for scorer, label, outcome in rates.iter_rows():
        kinds[scorer].append(LabelKind(label, outcome))
    return {scorer: LabelSet(tuple(found)) for scorer, found in kinds.items()}


def _labelled(results: Frames, scorer: str | None) -> list[tuple[ResponseKey, str]]:
    """Every response that has a label of ``scorer``, with it and its behavior."""
    found = named_scorer(results, scorer or SWEEP)
    if found.values:
        raise InputError.because("it gives numbers, not labels to draw evenly over", "--scorer", scorer)
    behaviors = dict(asked_once(results.cells).select("cell_id", "behavior").iter_rows())
    return [(key, f"{behaviors[key[0]]} {said.label}") for key, said in found.said.items()]


def _key(row: Mapping[str, Any]) -> ResponseKey:
    return row["cell_id"], row["prompt_id"], row["sample"]


def _reading(row: Mapping[str, Any], labels: LabelSet) -> AskedResponse:
    spoken = told_apart((row["prompt_opens"] or "") + (row["marked_response"] or row["response"]))
    return AskedResponse(
        key=_key(row),
        behavior=row["behavior"],
        prompt=row["prompt"],
        answer=spoken.answer,
        thought=spoken.thought,
        cut=row["finish_reason"] != "stop",
        labels=labels,
        response_sha256=digest_of(row["response"]),
    )
