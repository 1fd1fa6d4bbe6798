"""A sweep beside the paper: each printed rate with the finished cells that ran its condition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.compare.comparison import Question, Reader, compare, side_of
from orchestrator.paper.tables import MODELS, Measurement, PaperTable
from orchestrator.results.columns import Axis
from orchestrator.results.conditions import condition
from orchestrator.results.rows import CellRow
from orchestrator.statistics import TransferEffectiveness, fisher, holm

PAPER_TOKENS = 100
"""The paper's max_new_tokens (appendix B)."""

DEPTH_SLACK = 0.1
"""Where the paper prints a depth only ("about 50 %"), a cell this near to it counts as the same place."""

_INT4 = ("nf4", "nf4-double", "fp4", "fp4-double")
_COSMIC = ("cosmic", "cosmic_svd")


@dataclass(frozen=True)
class Beside:
    """A printed rate and one cell of ours. ``points``: ours minus the paper's; ``p``: Fisher, None where the paper has no n, or
    we have several samples.

    ``p_holm`` is adjusted within the paper's table. ``te`` is ours, for a transfer whose control is in the sweep.
    ``others``: (what, the paper's, ours) for further numbers that both have. ``notes``: how the conditions differ.
    """

    measurement: Measurement
    row: CellRow
    points: float
    p: float | None
    te: TransferEffectiveness | None
    others: tuple[tuple[str, float, float], ...]
    notes: tuple[str, ...]
    p_holm: float | None = None


def beside(tables: Iterable[PaperTable], rows: Sequence[CellRow], read: Reader) -> tuple[list[Beside], list[Measurement]]:
    """The printed rates of ``tables`` with each matching cell of ours, and those that the sweep did not run."""
    labelled = [row for row in rows if row.labelled and row.n]
    of_model: dict[str, list[CellRow]] = {}
    for row in labelled:
        of_model.setdefault(model_of(row) or "", []).append(row)
    names = {row.model: key for key, ours in of_model.items() if key for row in ours}
    found: list[Beside] = []
    missing: list[Measurement] = []
    for table in tables:
        pairs = [(one, matching_rows(one, of_model.get(one.model, []), names)) for one in table.measured]
        found += _adjusted([_beside(one, row, labelled, read) for one, matching in pairs for row in matching])
        missing += [one for one, matching in pairs if not matching]
    return found, missing


def matching_rows(one: Measurement, rows: Sequence[CellRow], names: Mapping[str, str]) -> list[CellRow]:
    """Of the cells of its model, those that ran the condition of ``one``; with as many prompts as the paper where there are.

    ``names``: the sweep's model names -> keys of ``MODELS``. A cosmic rate matches both algorithms of that name, INT4
    every 4-bit format: the paper leaves open which it was.
    """
    found = [row for row in rows if _same_target(one, row) and _same_steering(one, row, names)]
    if one.steered and one.layer is None and found:
        nearest = min(_apart(one, row) for row in found)
        found = [row for row in found if _apart(one, row) == nearest]
    as_many = [row for row in found if row.n == one.n]
    return as_many or found


def model_of(row: CellRow) -> str | None:
    """Which of ``MODELS`` a row's model is: by its repository, or its folder's name; None for any other, and with an adapter."""
    if row.adapter or row.system_prompt is not None:
        return None
    name = row.location.rsplit("/")[-1].casefold()
    return next((key for key, model in MODELS.items() if model.repo.rsplit("/")[-1].casefold() == name), None)


def _same_target(one: Measurement, row: CellRow) -> bool:
    quantizations = _INT4 if one.quantization == "int4" else (one.quantization,)
    return row.quantization in quantizations and row.behavior.startswith("refusal") and row.steered == one.steered


def _same_steering(one: Measurement, row: CellRow, names: Mapping[str, str]) -> bool:
    if not one.steered:
        return True
    if row.scope != "from_layer" or row.action or row.multiplier != one.multiplier:
        return False
    if row.method not in (_COSMIC if one.method == "cosmic" else (one.method,)) or one.extractor not in (None, row.extractor):
        return False
    if one.origin is None or row.source_model is None:
        same_origin = not row.is_transfer
    else:
        same_origin = row.is_transfer and names.get(row.source_model) == one.origin
    return same_origin and _same_place(one, row)


def _same_place(one: Measurement, row: CellRow) -> bool:
    if row.layer_selected:
        return one.selected
    return _apart(one, row) <= DEPTH_SLACK + 1e-9 if one.layer is None else row.layer == one.layer


def _apart(one: Measurement, row: CellRow) -> float:
    """Between the printed depth and the cell's, as a share of the depth."""
    return abs((row.relative_depth or 0.0) - (one.depth or 0) / 100)


def _beside(one: Measurement, row: CellRow, rows: Sequence[CellRow], read: Reader) -> Beside:
    k, n = row.count("success"), row.n
    others = [
        ("garbled %", one.garbled, 100 * row.count("garbled") / n),
        ("raw norm", one.norm, row.direction_raw_norm),
        ("cross-cosine", one.cross_cosine, row.cross_cosine),
        (
            "cosine with full precision",
            one.cosine if one.quantization != "none" else None,
            row.direction_cosine_to_full_precision,
        ),
    ]
    return Beside(
        measurement=one,
        row=row,
        points=100 * (k / n - paper_rate(one)),
        p=None if one.counts is None or row.samples > 1 else fisher(k, n, *one.counts),
        te=_effectiveness(row, rows, read) if one.te is not None else None,
        others=tuple((name, paper, ours) for name, paper, ours in others if paper is not None and ours is not None),
        notes=tuple(_notes(one, row)),
    )


def paper_rate(one: Measurement) -> float:
    """The paper's rate, 0 to 1: of its counts where it gives n, else as printed."""
    return one.coherent / 100 if one.counts is None else one.counts[0] / one.counts[1]


def _effectiveness(row: CellRow, rows: Sequence[CellRow], read: Reader) -> TransferEffectiveness | None:
    """TE of a transfer cell over the target's own direction under otherwise equal conditions; None if that was not run."""
    free = frozenset({Axis.ORIGIN, Axis.PROMPTS})
    question = Question()
    for control in rows:
        if control.steered and not control.is_transfer and condition(control, free) == condition(row, free):
            ours, own = side_of("ours", [row], question, read), side_of("its own", [control], question, read)
            return compare(ours, own, question).te
    return None


def _notes(one: Measurement, row: CellRow) -> list[str]:
    notes = []
    if row.max_new_tokens != PAPER_TOKENS:
        notes.append(f"{row.max_new_tokens} new tokens, the paper {PAPER_TOKENS}")
    if row.temperature:
        notes.append(f"temperature {row.temperature:g} with {row.samples} samples, the paper greedy")
    if row.dtype == "float32":
        notes.append("float32, the paper 16-bit")
    if one.quantization == "int4" or one.method == "cosmic":
        notes.append(row.quantization if one.quantization == "int4" else f"{row.method} L{row.layer}")
    if row.in_sample:
        notes.append("in-sample: its prompts chose its setting")
    if row.fired is False:
        notes.append("its steering did not fire")
    return notes


def _adjusted(group: list[Beside]) -> list[Beside]:
    tested = [one.p for one in group if one.p is not None]
    p_holm = iter(holm(tested) if len(tested) > 1 else [None] * len(tested))
    return [one if one.p is None else replace(one, p_holm=next(p_holm)) for one in group]
