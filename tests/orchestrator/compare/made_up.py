"""Finished cells for the comparisons, without a folder: rows as of the sample sweep, with any axis replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.compare.comparison import Outcomes, Reader
from orchestrator.results.rows import CellRow, tally_of
from orchestrator.results.schema import LABEL_PART
from orchestrator.results.scored_cells import given_labels
from orchestrator.scoring import LABELS, Label
from tests.orchestrator.report.made_up import row_of
from tests.orchestrator.samples import cell

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def made(name: str, k: int, n: int, garbled: int = 0, **axes: Any) -> CellRow:
    """A steered cell called ``name`` (hex digits) in which ``k`` of ``n`` responses are refusals."""
    names = enumerate(_labels(k, n, garbled))
    labels = [Label(f"T{number}", name, "{}", "text@1", outcome=LABELS.kind(name).outcome) for number, name in names]
    tally = {key: value for key, value in vars(tally_of(given_labels(LABEL_PART.table(labels)), NOW)).items() if key not in axes}
    plain: dict[str, Any] = {"adapter": False, "n": n, "behavior": "refusal", "max_new_tokens": 100, "dtype": "bfloat16"}
    return replace(row_of(cell(16, 15.0)), cell_id=f"cell-{name}", **{**tally, **plain, **axes})


def unsteered(name: str, k: int, n: int, **axes: Any) -> CellRow:
    """A baseline."""
    nothing = dict.fromkeys(
        (
            "method",
            "method_options",
            "extractor",
            "source_model",
            "scope",
            "source_layer",
            "depth",
            "layers",
            "intervention",
            "multiplier",
        )
    )
    return made(name, k, n, **{**nothing, "direction_id": None, "fired": None, **axes})


def reader(stored: Mapping[str, Outcomes] | None = None) -> Reader:
    """Outcomes as in ``stored``, else the first prompts refused."""

    def read(row: CellRow) -> Outcomes:
        found = {(f"T{number}", 0): number < row.count("success") for number in range(row.n)}
        return (stored or {}).get(row.cell_id, found)

    return read


def _labels(k: int, n: int, garbled: int) -> list[str]:
    return [*(["coherent_refusal"] * k), *(["garbled"] * garbled), *(["normal"] * (n - k - garbled))]
