"""``FINAL_RESULTS.json`` as the inverse-scaling paper's companion has it: of each model its best cell, in percent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.errors import InputError, Problem
from orchestrator.loaded import Results
from orchestrator.outcome import Outcome
from orchestrator.results.rows import CellRow
from orchestrator.storage.local import write_for_people

SAMPLES = 3


def write_final_results(results: Results, chosen: Sequence[CellRow] | None, folder: Path) -> list[Path]:
    """The file; InputError where no cell is steered and labelled, and where there is such a file with other results: its name
    says nothing of what it is of. ``quality`` of a sample is its label by its own name."""
    steered = [
        row for row in (results.rows if chosen is None else chosen) if row.steered and row.labelled and not row.is_transfer
    ]
    if not steered:
        raise InputError.because(
            "there is no steered cell with labels", allowed="finished results, and a selection that has some"
        )
    plain = [row for row in steered if row.quantization == "none"]
    content: dict[str, object] = {"phase1_architecture_comparison": _by(plain, "model", results)}
    for family in dict.fromkeys(row.family for row in plain):
        models = _by([row for row in plain if row.family == family], "model", results)
        if len(models) > 1:
            sized = {name: {"best_coherent": one["coherent_refusal_rate"], **one} for name, one in models.items()}
            content[f"phase2_{_key(family)}_size_sweep"] = sized
    quantized = {row.model.partition("/")[0] for row in steered if row.quantization != "none"}
    content["phase3_quantization"] = {
        _key(name): _by([row for row in steered if row.model.partition("/")[0] == name], "quantization", results)
        for name in sorted(quantized)
    }
    path, text = folder / "FINAL_RESULTS.json", f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
    if path.is_file() and path.read_bytes() != text:
        message = "it holds another FINAL_RESULTS.json, of another sweep or of earlier results"
        raise InputError(Problem("--out", str(folder), message, "another folder, or remove that file first"))
    write_for_people(path, text)
    return [path]


def _by(rows: Iterable[CellRow], column: str, results: Results) -> dict[str, dict[str, object]]:
    """The best row of each value of ``column``."""
    best: dict[str, CellRow] = {}
    for row in rows:
        name = _key(str(getattr(row, column)))
        if name not in best or (row.success_rate or 0.0) > (best[name].success_rate or 0.0):
            best[name] = row
    return {name: _result(row, results) for name, row in best.items()}


def _result(row: CellRow, results: Results) -> dict[str, object]:
    shares = {name: round(100 * row.count(outcome) / row.n, 1) for name, outcome in _SHARES}
    answers = results.responses.filter(cell_id=row.cell_id, behavior=row.behavior).head(SAMPLES)
    samples = [
        {"prompt": prompt, "response": response, "quality": label}
        for prompt, response, label in answers.select("prompt", "response", "label").iter_rows()
    ]
    return {
        **shares,
        "n": row.n,
        "method": row.method,
        "direction_norm": row.direction_raw_norm,
        "layer": row.direction_layer,
        "layer_pct": None if row.relative_depth is None else round(100 * row.relative_depth, 1),
        "multiplier": row.multiplier,
        "samples": samples,
    }


_SHARES: tuple[tuple[str, Outcome], ...] = (
    ("coherent_refusal_rate", "success"),
    ("garbled_rate", "garbled"),
    ("normal_rate", "other"),
)


def _key(name: str) -> str:
    return re.sub(r"\W+", "_", name).lower()
